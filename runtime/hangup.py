"""What SIGHUP means: that the file is to be read again, or that the terminal is gone."""

from __future__ import annotations

import os
import signal


class Hangup:
    """Tells the two apart. Made before SIGHUP is handled."""

    def __init__(self) -> None:
        self._had_terminal = _terminal()
        self._ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # under `nohup`

    @property
    def terminal_gone(self) -> bool:
        """Whether the terminal that the process was started from was closed, and it is to end with that."""
        return self._had_terminal and not self._ignored and not _terminal()


def _terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
