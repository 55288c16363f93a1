"""Who is next: first in, first out for each caller, and callers in turn."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """A queue in which nobody who asks for much keeps out one who asks for little.

    Example:
        >>> queue = FairQueue[str]()
        >>> for caller, item in (("a", "a1"), ("a", "a2"), ("b", "b1")):
        ...     queue.put(caller, item)
        >>> [queue.take() for _ in range(3)]
        ['a1', 'b1', 'a2']
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[Item]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def of(self, caller: str) -> int:
        """How many items of a caller wait."""
        return len(self._waiting.get(caller, ()))

    def put(self, caller: str, item: Item) -> None:
        self._waiting.setdefault(caller, deque()).append(item)
        self._length += 1

    def put_back(self, caller: str, item: Item) -> None:
        """Returns an item to the very front: it has had its turn already."""
        self._waiting.setdefault(caller, deque()).appendleft(item)
        self._waiting.move_to_end(caller, last=False)
        self._length += 1

    def take(self) -> Item:
        """The next item; its caller goes to the end of the line.

        Raises:
            IndexError: nobody waits.
        """
        if not self._waiting:
            raise IndexError("nobody waits")
        caller, items = self._waiting.popitem(last=False)
        item = items.popleft()
        self._length -= 1
        if items:
            self._waiting[caller] = items
        return item
