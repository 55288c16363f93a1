"""The command line: finds the command, loads its module and no other, turns every fault into words and an exit code.

Each command is a module of this package with `EXAMPLE`, `arguments(parser)` and `run(args) -> int`. Exit
codes: 0 done; 1 the spec or the request is at fault; 2 wrong usage; 3 a dependency could not be reached; 4 a plan
with changes (`plan --exit-code`); 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from runtime.errors import Fault, NotBuilt, UsageFault

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "validate": "everything that is wrong with a spec, at once",
    "show": "a spec with its bases merged in and its defaults filled in",
    "explain": "what a key means, its type, default and an example",
    "schema": "the JSON Schema of the spec",
    "graph": "components and what they need, as Mermaid or dot",
    "plan": "what an apply would change in the environment that runs",
    "apply": "boot an environment and stay in the foreground; one that runs takes the changed spec",
    "revisions": "what was applied, newest first, and what changed",
    "rollback": "make an earlier revision hold again",
    "status": "how a running environment is",
    "down": "stop a running environment",
    "jobs": "put jobs into queues by hand, look at them, cancel and retry them",
    "events": "publish and follow events, see what could not be handled",
    "secrets": "where secrets come from, whether each is there, how old it is",
    "keys": "API keys, keys that sign, push and encrypt: create, list, rotate, revoke",
    "api-keys": "API keys with scopes: create, list, find, revoke",
    "signing-keys": "keys that access tokens are signed with: list, rotate",
    "audit": "who did what: list, verify that nothing was changed, note the head",
    "notify": "send a notification by hand, look at caught mails",
    "ai": "ask a model, see the providers, what was used",
    "routines": "list routines, run one and watch its steps",
    "sandbox": "run code in a sandbox of its own, prepare its Python",
    "init": "a commented spec, a tasks module and a test, ready to run",
    "doctor": "what this machine lacks, and the command that brings it",
}
ISSUES = "the project's issue tracker"


class Parser(argparse.ArgumentParser):
    """A parser whose help begins with an example, and whose complaints end with it."""

    example = ""

    def format_help(self) -> str:
        return f"example:\n  {self.example}\n\n{super().format_help()}"

    def error(self, message: str) -> NoReturn:
        hint = f"\n  Try: {self.example}" if self.example else ""
        self.exit(UsageFault.exit_code, f"{self.prog}: {message}{hint}\n  {self.prog} -h explains the options.\n")


class _Help(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: what follows `runtime` on the command line; those of this process by default.

    Returns:
        The exit code.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(given)
        sys.stdout.flush()
    except Fault as fault:
        from runtime.cli.render import write_fault

        write_fault(fault)
        return fault.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; the interpreter must not complain of it when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    except OSError as error:
        return _refused(error)
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback reaches a user
        return _unexpected(error)
    return code


def _run(given: list[str]) -> int:
    if not given or given[0] in ("-h", "--help", "help"):
        if len(given) > 1 and not given[1].startswith("-"):
            return _run([given[1], "--help"])
        sys.stdout.write(overview())
        return 0 if given else UsageFault.exit_code
    if given[0] in ("-V", "--version"):
        from runtime import __version__

        sys.stdout.write(f"runtime {__version__}\n")
        return 0
    name = given[0]
    if name not in COMMANDS:
        raise UsageFault(
            f'there is no command "{_shown(name)}"{_near(name)}', remedy="`runtime -h` lists the commands."
        )
    command = _module(name)
    parser = Parser(
        prog=f"runtime {name}",
        description=_about(command),
        formatter_class=_Help,
        allow_abbrev=False,
    )
    parser.example = command.EXAMPLE
    command.arguments(parser)
    code: int = command.run(parser.parse_args(given[1:]))
    return code


def overview() -> str:
    """The list of commands."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {meaning}" for name, meaning in COMMANDS.items()]
    return (
        "example:\n  runtime apply specs/development.yaml\n\nusage: runtime COMMAND [options]\n\ncommands:\n"
        + "\n".join(lines)
        + "\n\n`runtime COMMAND -h` explains one of them.\n"
    )


def _module(name: str) -> Any:
    module = f"runtime.cli.{name.replace('-', '_')}"
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name == module:
            raise NotBuilt(f"the command `runtime {name}`") from None
        raise Fault(
            f"`runtime {name}` needs the module {error.name}, which is not installed",
            remedy="Install the package again with its dependencies; `runtime doctor` tells what is absent.",
        ) from None


def _about(command: Any) -> str:
    """The command's docstring, without its name in front."""
    first, _, rest = (command.__doc__ or "").partition("\n")
    return f"{first.partition(': ')[2] or first}\n{rest}".strip()


def _near(name: str) -> str:
    from runtime.spec.suggest import did_you_mean

    near = did_you_mean(name, COMMANDS)
    return f', did you mean "{near}"?' if near else ""


def _shown(name: str) -> str:
    from runtime.spec.diagnostics import printable

    return printable(name)


def _refused(error: OSError) -> int:
    """The system said no: a full disk, a file that may not be written."""
    if error.errno is None or os.environ.get("RUNTIME_DEBUG"):
        return _unexpected(error)
    file = f": {error.filename}" if isinstance(error.filename, str) else ""
    sys.stderr.write(f"error: {error.strerror or os.strerror(error.errno)}{file}\n")
    return 1


def _unexpected(error: Exception) -> int:
    """One line instead of a traceback; the message of the error is left out, since it may hold a secret."""
    if os.environ.get("RUNTIME_DEBUG"):
        import traceback

        traceback.print_exception(error)
        return 1
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f" at {os.path.basename(frame.tb_frame.f_code.co_filename)}:{frame.tb_lineno}" if frame else ""  # noqa: PTH119
    sys.stderr.write(
        f"error: this is a bug in the runtime: {type(error).__name__}{where}\n"
        f"  Please report it in {ISSUES}; RUNTIME_DEBUG=1 prints the traceback (it may hold secrets).\n"
    )
    return 1
