"""`runtime graph`: the components of a spec and what each of them needs, as Mermaid or dot."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from runtime.outline import outline
from runtime.spec.declare import declare

if TYPE_CHECKING:
    import argparse

EXAMPLE = "runtime graph specs/development.yaml --format dot | dot -Tsvg > graph.svg"

Nodes = Iterable[tuple[str, tuple[str, ...]]]


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spec", metavar="SPEC", help="the spec; - is standard input")
    parser.add_argument(
        "--format", choices=("mermaid", "dot", "json"), default="mermaid", help="what to print (mermaid)"
    )


def run(args: argparse.Namespace) -> int:
    nodes = outline(declare(args.spec).checked())
    if args.format == "json":
        import json

        sys.stdout.write(json.dumps({"components": [{"id": n, "needs": list(m)} for n, m in nodes]}, indent=2) + "\n")
        return 0
    lines = mermaid(nodes) if args.format == "mermaid" else dot(nodes)
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0


def mermaid(nodes: Nodes) -> Iterator[str]:
    """A Mermaid flowchart: an arrow from each component to those that it needs.

    Example:
        >>> list(mermaid([("storage.redis", ()), ("jobs", ("storage.redis",))]))[-1]
        '  n1 --> n0'
    """
    every = list(nodes)
    keys = {name: f"n{index}" for index, (name, _) in enumerate(every)}
    yield "flowchart TD"
    for name, key in keys.items():
        yield f'  {key}["{name}"]'
    for name, needs in every:
        for need in needs:
            yield f"  {keys[name]} --> {keys[need]}"


def dot(nodes: Nodes) -> Iterator[str]:
    """The same in Graphviz's language."""
    every = list(nodes)
    yield "digraph runtime {"
    yield "  rankdir=TB;"
    yield '  node [shape=box, style=rounded, fontname="sans-serif"];'
    for name, _ in every:
        yield f'  "{name}";'
    for name, needs in every:
        for need in needs:
            yield f'  "{name}" -> "{need}";'
    yield "}"
