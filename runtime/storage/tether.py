"""Runs a program that dies with its parent, however the parent dies.

    python -I -S tether.py PARENT PROGRAM [ARGUMENT …]

The program takes over this process, so that it keeps its id. Linux sends it SIGKILL when the *thread* that
made the process ends: make it from a thread that lives as long as it should. This file imports nothing of the
project, to start at once.
"""

import os
import sys

PR_SET_PDEATHSIG = 1
SIGKILL = 9


def main() -> None:
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the signal was asked for
        sys.exit(1)
    os.execv(program[0], program)  # noqa: S606


if __name__ == "__main__":
    main()
