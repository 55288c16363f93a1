"""The other ends: maildev takes the mails, web-push-testing is a push service with browsers that decrypt.

npm install --prefix examples/notifications
python examples/notifications/parts.py              (until Ctrl-C)
"""

from __future__ import annotations

import signal
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULES = Path(__file__).parent / "node_modules"


@contextmanager
def parts(smtp: int = 1025, web: int = 1080, push: int = 8090) -> Iterator[None]:
    """Runs both on these ports, for the length of the block."""
    local = "127.0.0.1"
    mail = [MODULES / "maildev/bin/maildev", "--smtp", smtp, "--web", web, "--ip", local, "--web-ip", local, "--silent"]
    with ExitStack() as ends:
        for command in (mail, [MODULES / "web-push-testing/src/bin/server.js", push]):
            line = ["node", *map(str, command)]
            process = ends.enter_context(subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            ends.callback(process.terminate)
        for url in (f"http://{local}:{web}/healthz", f"http://{local}:{push}/status"):
            _await(url)
        yield


def _await(url: str) -> None:
    """Returns as soon as a server answers, whatever it says."""
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


if __name__ == "__main__":
    with parts():
        print("Mails: http://127.0.0.1:1080. Ctrl-C ends it.")
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
