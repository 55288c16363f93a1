"""Cursors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import Invalid
from runtime.http.paging import cursor, position

if TYPE_CHECKING:
    import httpx

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3),
)


@given(VALUES)
def test_a_cursor_gives_its_position_back(value: Any) -> None:
    assert position("jobs", cursor("jobs", value)) == value


@given(st.text(max_size=60))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="not a cursor"):
        position("jobs", text)


@given(st.integers(0, 1000), st.integers(0, 30))
def test_so_is_a_changed_one_and_one_of_another_list(value: int, place: int) -> None:
    good = cursor("jobs", value)
    changed = list(good)
    changed[place % len(changed)] = "A" if changed[place % len(changed)] != "A" else "B"
    for wrong in ("".join(changed), good + "A", cursor("events", value)):
        try:
            assert position("jobs", wrong) == value  # the last character may hold bits that do not count
        except Invalid:
            pass


async def test_a_list_is_walked_to_its_end(client: httpx.AsyncClient) -> None:
    seen: list[int] = []
    after = None
    for _ in range(9):
        page = (await client.get("/v1/things", params={"limit": 3, **({"after": after} if after else {})})).json()
        seen += [item["number"] for item in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert seen == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("query", ["after=nonsense", "after=", "limit=0", "limit=201", "limit=x", f"after={'A' * 600}"])
async def test_wrong_ones_are_400(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/v1/things?{query}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["in"] == "query"
