"""`runtime init`: a commented spec, a tasks module and a test, ready to run."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import Fault

if TYPE_CHECKING:
    import argparse

EXAMPLE = "runtime init shop && runtime apply shop/spec.yaml"
FILES = ("spec.yaml", "tasks.py", "test_spec.py")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), help="where to write (default: here)")
    parser.add_argument("--name", help="the environment's name (default: the folder's)")


def run(args: argparse.Namespace) -> int:
    folder: Path = args.folder
    name = args.name or _name_of(folder)
    taken = [file for file in FILES if (folder / file).exists()]
    if taken:
        raise Fault(
            f"{folder / taken[0]} exists already, nothing was written",
            remedy="Choose another folder: runtime init FOLDER.",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in FILES:
            text = resources.files("runtime.cli").joinpath("starter", file).read_text(encoding="utf-8")
            if file.endswith(".yaml"):
                text = text.format(name=name)
            (folder / file).write_text(text, encoding="utf-8")
            print(f"wrote {folder / file}")
    except OSError as error:
        raise Fault(f"cannot write to {folder}: {error.strerror}", remedy="Choose another folder.") from error
    spec = folder / "spec.yaml"
    print(f"\nNext:\n  runtime validate {spec}\n  runtime apply {spec}\n  python -m pytest {folder}")
    return 0


def _name_of(folder: Path) -> str:
    """A valid name made of the folder's."""
    plain = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")
    return plain if plain and plain[0].isalpha() else "my-services"
