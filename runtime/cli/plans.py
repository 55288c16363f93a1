"""How a plan is shown to people."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from runtime.cli.render import Style, counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MARKS = {"create": ("+", "green"), "replace": ("±", "yellow"), "update": ("~", "cyan"), "remove": ("-", "red")}
WORDS = {"create": "to create", "replace": "to replace", "update": "to update live", "remove": "to remove"}


def write_plan(plan: Mapping[str, Any], *, indent: str = "  ") -> None:
    """Prints what happens to each component, why, and what becomes of its work in flight."""
    sys.stdout.writelines(f"{line}\n" for line in lines(plan["steps"], Style(sys.stdout), indent))
    for warning in plan["warnings"]:
        sys.stdout.write(f"{Style(sys.stdout)('warning', 'yellow', 'bold')}: {warning}\n")


def lines(steps: Sequence[Mapping[str, Any]], style: Style, indent: str = "  ") -> Iterator[str]:
    """A line a component, and one for its work in flight where that is touched.

    Example:
        >>> list(lines([step], Style(sys.stdout)))                                           # doctest: +SKIP
        ['  ~ jobs.email  concurrency changed, live']
    """
    width = max((len(step["id"]) for step in steps), default=0)
    for step in steps:
        mark, colour = MARKS[step["action"]]
        yield f"{indent}{style(mark, colour, 'bold')} {step['id']:<{width}}  {step['reason']}"
        if not step["effect"].startswith("none"):
            yield f"{indent}  {'':<{width}}  {style(step['effect'], 'dim')}"


def summed(steps: Sequence[Mapping[str, Any]]) -> str:
    """How many components are touched in which way: `1 to create, 2 to replace`."""
    found = [step["action"] for step in steps]
    parts = [f"{found.count(action)} {words}" for action, words in WORDS.items() if action in found]
    return ", ".join(parts) or "Nothing to do: what runs is what the spec says"


def held(applied: Mapping[str, Any]) -> str:
    """That an apply holds, in a sentence."""
    steps = applied["steps"]
    if not steps:
        return f"Revision {applied['revision']} runs; no component changes."
    leaving = sum(step["action"] in ("replace", "remove") for step in steps)
    rest = f"; {counted(leaving, 'old instance')} may yet finish work in flight" if leaving else ""
    return f"Revision {applied['revision']} holds ({applied['seconds']:.2f} s){rest}."
