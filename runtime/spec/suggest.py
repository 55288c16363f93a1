"""Did you mean: the nearest of a few names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_LONGEST = 64


class Speller:
    """Suggests names as long as its patience lasts, so that a hostile file cannot keep it comparing for ever.

    Args:
        patience: how many names it compares in all.
    """

    __slots__ = ("_patience",)

    def __init__(self, patience: int = 20_000) -> None:
        self._patience = patience

    def nearest(self, word: str, names: Collection[str]) -> str | None:
        """As `did_you_mean`, and None once the patience has run out."""
        self._patience -= len(names)
        return did_you_mean(word, names) if self._patience >= 0 else None


def did_you_mean(word: str, names: Iterable[str]) -> str | None:
    """The name that `word` was most likely meant to be, or None where none is near.

    A slip is a missing, added, wrong or swapped letter; short words may have one, long ones three. Case, `-` and `_`
    count for nothing.

    Example:
        >>> did_you_mean("concurency", ["timeout", "concurrency"])
        'concurrency'
        >>> did_you_mean("zebra", ["timeout", "concurrency"]) is None
        True
    """
    if len(word) > _LONGEST:
        return None
    plain = _plain(word)
    allowed = 1 if len(plain) < 5 else 2 if len(plain) < 9 else 3
    best: str | None = None
    for name in names:
        if name == word or abs(len(name) - len(word)) > allowed:
            continue
        slips = distance(plain, _plain(name), allowed)
        if slips <= allowed:
            best, allowed = name, slips - 1
            if allowed < 0:
                break
    return best


def distance(a: str, b: str, most: int) -> int:
    """Slips between two words (optimal string alignment); `most + 1` where there are more than `most`."""
    if a == b:
        return 0
    before: list[int] = []
    last = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
        before, last = last, row
    return min(last[-1], most + 1)


def _plain(word: str) -> str:
    return word.lower().replace("-", "").replace("_", "")
