"""A plugin whose tasks do to their process whatever a task can do to it."""

from __future__ import annotations

import ctypes
import logging
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

from runtime import Reject, Retry, task

_leaked: list[bytearray] = []


@dataclass
class Sum:
    numbers: list[int]


@task("sum", process=True)
def total(job: Any, payload: Sum) -> dict[str, Any]:
    job.progress(0.5, "halfway")
    return {"sum": sum(payload.numbers), "pid": os.getpid(), "job": job.id, "attempt": job.attempt}


@task("do", process=True)
def do(job: Any, payload: dict[str, Any]) -> Any:
    match payload["what"]:
        case "environment":
            return dict(os.environ)
        case "kill":
            os.kill(os.getpid(), 9)
        case "exit":
            sys.exit(3)
        case "hard exit":
            os._exit(4)
        case "segfault":
            ctypes.string_at(0)
        case "memory":
            return len(bytearray(4_000_000_000))
        case "leak":
            _leaked.append(bytearray(os.urandom(1)) * payload["bytes"])
            return os.getpid()
        case "no json":
            return threading.Lock()
        case "large":
            return "x" * 2_000_000
        case "value error":
            raise ValueError("no such thing")
        case "retry":
            raise Retry("later", after="7s")
        case "reject":
            raise Reject("never")
        case "print":
            print("printed by the job")
            os.write(2, b"written to the descriptor\n")
            logging.getLogger("plugin").warning("logged by the job")
        case "flood":
            while True:
                print("x" * 1000)
        case "a little much":
            print("y" * 100_000)
        case "count to 1000":
            for number in range(1000):
                job.progress(number / 1000)
            return 1000
        case "spin":
            job.progress(0.1, "spinning")
            while True:
                pass
        case "family":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            job.progress(0.1, str(child.pid))
            time.sleep(600)
        case "close":
            os.closerange(3, 64)
            time.sleep(600)
    return None
