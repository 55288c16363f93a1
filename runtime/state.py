"""The state folder of an environment, and what other commands learn from it.

Everything an environment keeps lives there: the lock, the operator's key, the embedded server's files, the database, the
journal, caught mails. `run.json` says where a running one answers.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import NamedTuple


class Running(NamedTuple):
    """A running environment, as its `run.json` says.

    Args:
        pid: of the main process.
        url: where its API answers, `http://127.0.0.1:8080`.
        started: ISO 8601, UTC.
    """

    pid: int
    name: str
    url: str
    revision: int
    started: str


class StateFolder:
    """The paths inside a state folder.

    Args:
        path: the folder; made with mode 0700 by `create`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = path / "lock"
        self.operator_key = path / "operator.key"
        self.redis = path / "redis"
        self.mail = path / "mail"
        self.journal = path / "journal"
        self._run = path / "run.json"

    def create(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        ignore = self.path / ".gitignore"
        if not ignore.exists():  # state holds keys: it must never be committed by accident
            ignore.write_text("*\n")

    def announce(self, running: Running) -> None:
        """Tells other commands where the environment answers."""
        draft = self._run.with_suffix(".new")
        draft.write_text(json.dumps(running._asdict()) + "\n")
        draft.replace(self._run)

    def withdraw(self) -> None:
        self._run.unlink(missing_ok=True)

    def running(self) -> Running | None:
        """The environment that runs on this folder now; None where none does, or none has come up yet."""
        if self.holder() is None:
            return None
        try:
            return Running(**json.loads(self._run.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def holder(self) -> int | None:
        """The process that holds the lock now, by its id; None where it is free."""
        try:
            descriptor = os.open(self.lock, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(json.loads(os.read(descriptor, 4096) or b"{}").get("pid", 0)) or None
        else:
            return None
        finally:
            os.close(descriptor)


def state_folder(data: dict[str, object], root: Path) -> StateFolder:
    """The state folder that a merged spec names.

    Args:
        data: the merged spec with its defaults.
        root: the root spec's folder, which a relative path starts from.
    """
    storage = data.get("storage")
    path = storage.get("path") if isinstance(storage, dict) else None
    return StateFolder((root / str(path or ".runtime")).resolve())
