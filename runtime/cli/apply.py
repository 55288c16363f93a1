"""`runtime apply`: boots an environment and stays in the foreground; one that runs already takes the changed spec.

Where the spec runs already, the running environment reads its file again; the plan is shown, and the command ends when
it holds, or says why it was undone. What ran before runs on then.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.cli.demonstrations import demonstrations
from runtime.errors import Fault, SpecFault, UsageFault

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection
    from datetime import datetime

    from runtime.environment import Environment
    from runtime.kernel.status import ComponentStatus
    from runtime.part import Part
    from runtime.reapply import Applied
    from runtime.running import Running
    from runtime.spec.declare import Declared

EXAMPLE = "runtime apply specs/development.yaml"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spec", type=Path, metavar="SPEC", help="the file that declares the environment")
    parser.add_argument(
        "--role",
        choices=("all", "api", "worker"),
        default="all",
        help="run a part of it: the API, or workers; any number of workers, on any machine that reaches the same Redis",
    )
    parser.add_argument("--queues", metavar="A,B", help="of a worker: run the jobs of these queues, and no subscribers")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE",
        help="a variable for ${NAME}, before the environment; not for secrets: others see it in the process list",
    )  # fmt: skip
    parser.add_argument(
        "--watch", action="store_true", help="apply again when a file that the spec was read from changes"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress, only what goes wrong")


def run(args: argparse.Namespace) -> int:
    from runtime.spec.declare import declare

    given, declared = variables(args.set), declare(args.spec)
    if args.role != "worker" and (there := _running(declared, given, str(args.spec))) is not None:
        return _hand_over(args, there, declared)

    import anyio

    from runtime.environment import Environment
    from runtime.loading import load
    from runtime.settings import Settings

    loaded = load(args.spec, given=given, declared=declared)
    part = _part(args, loaded.data.get("queues") or {})
    environment = Environment(loaded, Settings(), part, watch=args.watch)
    report = Report(args.spec, environment, quiet=args.quiet)
    serve = partial(environment.serve, report.change, report.ready, report.applied)
    anyio.run(serve, backend_options={"use_uvloop": True})
    report.stopped()
    return 0


def _running(declared: Declared, given: dict[str, str], spec: str) -> Running | None:
    """The environment that runs on the spec's state folder; None, too, where that cannot be known: loading tells why.

    Raises:
        NotRunning: it is still starting.
    """
    from runtime.kernel.lock import running
    from runtime.running import declared_state, find_on

    try:
        state = declared_state(declared, given)
    except SpecFault:
        return None
    return find_on(state, spec) if running(state.path) is not None else None


def _hand_over(args: argparse.Namespace, environment: Running, declared: Declared) -> int:
    """Gives the spec to the environment that runs it.

    Raises:
        UsageFault: an option is of use at the start alone.
    """
    from runtime.cli.handover import hand_over

    for option, given in (("--set", args.set), ("--watch", args.watch), ("--role", args.role != "all")):
        if given:
            raise UsageFault(
                f"{args.spec} runs already (process {environment.holder.pid}), and {option} is given at the start",
                remedy=f"Apply without it, or stop it first: runtime down {args.spec}",
            )
    declared.checked()
    hand_over(environment, declared, quiet=args.quiet)
    return 0


def variables(given: list[str]) -> dict[str, str]:
    """The variables of `--set`.

    Raises:
        UsageFault: one of them is no NAME=VALUE.
    """
    found = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise UsageFault("--set wants NAME=VALUE", remedy="For example: --set PORT=9000")
        found[name] = value
    return found


def _part(args: argparse.Namespace, known: Collection[str]) -> Part:
    """The part of the environment that is asked for.

    Raises:
        UsageFault: `--queues` without workers, or a queue that the spec does not have.
    """
    from runtime.part import Part
    from runtime.services.names import unknown

    if args.queues is None:
        return Part(args.role)
    if args.role != "worker":
        raise UsageFault("--queues chooses the queues of a worker", remedy="Add --role worker.")
    wanted = [name.strip() for name in args.queues.split(",") if name.strip()]
    for name in wanted:
        if name not in known:
            fault = unknown("queue", name, known)
            raise UsageFault(fault.message, remedy=fault.remedy)
    if not wanted:
        raise UsageFault("--queues names no queue", remedy="Write them with commas: --queues email,push")
    return Part("worker", frozenset(wanted))


class Report:
    """What a person sees while an environment starts, serves and stops: one line a component."""

    def __init__(self, spec: Path, environment: Environment, *, quiet: bool = False) -> None:
        self._spec = spec
        self._environment = environment
        self._quiet = quiet
        self._colour = sys.stdout.isatty()
        self._begun: dict[str, datetime] = {}

    def change(self, status: ComponentStatus) -> None:
        """A component has changed its state."""
        if status.id in self._environment.absent:
            return
        if status.state == "starting":
            self._begun[status.id] = status.since
        elif status.state == "running" and not status.restarts:
            took = f"{(status.since - self._begun.get(status.id, status.since)).total_seconds() * 1000:.0f} ms"
            self._print(f"  {self._dim('✓')} {status.id:<28} {self._dim(f'{status.title:<34} {took:>8}')}")
        elif status.state == "restarting":
            self._print(f"  ↻ {status.id:<28} restarting: {status.error}")

    def ready(self) -> None:
        """Everything runs: where it answers, and lines to try it with."""
        environment = self._environment
        if not environment.url:
            queues = "all queues" if environment.part.queues is None else ", ".join(sorted(environment.part.queues))
            self._print(f"\n{environment.name}: a worker of {queues} is up. Ctrl+C stops it.\n")
            return
        spec = shlex.quote(str(self._spec))
        key = f'-H "Authorization: Bearer $(cat {shlex.quote(_short(environment.state.operator_key))})"'
        self._print(
            f"\n{environment.name} is up: {environment.url}  (revision {environment.revision}, "
            f"{environment.boot_seconds:.1f} s; pages at {environment.url}/docs)\n\nTry it, in a second terminal:\n"
        )
        self._print(f"  curl {key} {environment.url}/v1/queues")
        for path, body in demonstrations(environment.loaded.data):
            typed = "-H 'Content-Type: application/json'"
            self._print(f"  curl {key} {typed} \\\n       {environment.url}{path} -d {shlex.quote(body)}")
        if environment.catches_mail:
            self._print(f"  {command()} notify mails {spec}")
        if environment.absent:
            self._print(f"\nDeclared, not built in this version: {', '.join(sorted(environment.absent))}.")
        self._print(f"Ctrl+C or `{command()} down {spec}` stops it.\n")

    def applied(self, outcome: Applied | Fault) -> None:
        """A signal or a changed file has asked for an apply: what came of it."""
        if isinstance(outcome, Fault):
            from runtime.cli.render import write_fault

            write_fault(outcome)
            print("Nothing has changed: what ran before runs on.", file=sys.stderr, flush=True)
        elif not self._quiet:
            from runtime.cli.plans import held, write_plan

            write_plan(outcome.to_data())
            self._print(held(outcome.to_data()))

    def stopped(self) -> None:
        self._print("Stopped; nothing is left running.")

    def _print(self, text: str) -> None:
        if not self._quiet:
            print(text, flush=True)

    def _dim(self, text: str) -> str:
        return f"\x1b[2m{text}\x1b[0m" if self._colour else text


def _short(path: Path) -> str:
    """A path as a person would write it from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def command() -> str:
    """How this very command is called from here: by its name where the PATH finds it, else by its place."""
    place = Path(sys.argv[0])
    if shutil.which("runtime") or place.name != "runtime":
        return "runtime"
    return _short(place.absolute())
