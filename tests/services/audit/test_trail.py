"""The chain: without gaps under several writers, whole after a kill, and whoever changes it by hand is found."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import SQLAlchemyError

from runtime.errors import Fault
from runtime.services.audit.chain import GENESIS, Seal
from runtime.services.audit.ports import Place as At
from runtime.services.audit.ports import Wanted
from runtime.telemetry.audit import Act
from tests.services.audit.conftest import KEY, OLD_KEY, Place

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.services.conftest import Server

    Build = Callable[..., Awaitable[Place]]

WRITERS = 4
EACH = 500
ROWS = 12
COLUMNS = ("id", "time", "actor", "action", "target", "outcome", "request", "address", "details", "key", "hash")


async def broken(at: Place, **more: Any) -> tuple[int, str] | None:
    """The number of the first entry that does not hold, and why."""
    found = await at.trail.verify(**more)
    return (found.broken.seq, found.broken.why) if found.broken else None


async def test_writers_at_once_leave_no_gap_and_lose_nothing(place: Build) -> None:
    instances = [await place() for _ in range(WRITERS)]

    async def write(at: Place, number: int) -> None:
        await at.watch()
        for count in range(EACH):
            await at.trail.record(Act("thing.change", f"user:{number}", f"thing:{count}"))

    await asyncio.gather(*[write(at, number) for number, at in enumerate(instances)])
    await instances[0].until(WRITERS * EACH)
    rows = await instances[0].sql("SELECT seq, actor, target FROM audit ORDER BY seq")
    assert [row.seq for row in rows] == list(range(1, WRITERS * EACH + 1))
    assert {(row.actor, row.target) for row in rows} == {
        (f"user:{number}", f"thing:{count}") for number in range(WRITERS) for count in range(EACH)
    }
    found = await instances[1].trail.verify()
    assert (found.broken, found.checked, found.done) == (None, WRITERS * EACH, True)


async def test_transactions_at_once_wait_for_each_other(place: Build) -> None:
    """Straight into the chain, an entry a transaction, as while Redis is away."""
    instances = [await place() for _ in range(WRITERS)]

    async def write(at: Place) -> None:
        for _ in range(25):
            await at.trail._trail.append([{**ENTRY, "id": f"{id(at)}-{_}"}])

    await asyncio.gather(*[write(at) for at in instances])
    assert (await instances[0].trail.head()).seq == 25 * WRITERS
    assert await broken(instances[0]) is None


ENTRY = {
    "time": 1, "actor": "system", "action": "a.b", "target": None, "outcome": "done", "request": None, "address": None,
    "details": "{}",
}  # fmt: skip


@pytest.mark.parametrize("moment", ["spooled", "committed", "any"])
async def test_a_killed_process_leaves_a_whole_chain(
    place: Build, url: str, tmp_path: Path, shared_server: Server, moment: str
) -> None:
    at = await place()
    script = Path(__file__).with_name("dying_process.py")
    process = subprocess.Popen([sys.executable, script, shared_server.socket, url, tmp_path, moment])
    try:
        if moment == "any":
            await at.until(40)
            process.kill()
        assert await asyncio.to_thread(process.wait, 30) == -signal.SIGKILL
    finally:
        process.kill()
        process.wait()
    waiting = await at.spool.length()
    assert waiting or moment == "any"
    chained = (await at.trail.head()).seq
    assert moment == "any" or chained == (0 if moment == "spooled" else 3)
    await at.watch()
    async with asyncio.timeout(30):
        while await at.spool.length():
            await asyncio.sleep(0.01)
    assert await broken(at) is None
    rows = await at.sql("SELECT seq, target FROM audit ORDER BY seq")
    assert [row.target for row in rows] == [f"thing:{number}" for number in range(len(rows))], "lost, or twice"
    assert len(rows) >= 3


async def test_anybody_can_compute_the_chain_from_the_table(place: Build) -> None:
    at = await place()
    await at.watch()
    await at.fill(3)
    before = GENESIS
    for row in await at.sql(f"SELECT seq, {', '.join(COLUMNS)} FROM audit ORDER BY seq"):
        *values, hash_ = row
        before = hashlib.sha256(json.dumps([before, *values], separators=(",", ":")).encode()).hexdigest()
        assert before == hash_


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit WHERE seq = 1"])
async def test_the_database_itself_refuses_to_change_entries(place: Build, statement: str) -> None:
    at = await place()
    await at.watch()
    await at.fill(2)
    with pytest.raises(SQLAlchemyError, match="append-only"):
        await at.sql(statement)


# Whoever changes it by hand

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
TAMPERINGS = st.one_of(
    st.tuples(st.just("change"), st.integers(1, ROWS), st.sampled_from(COLUMNS), TEXTS, st.integers(0, 2**40)),
    st.tuples(st.just("delete"), st.integers(1, ROWS), st.integers(0, 3)),
    st.tuples(st.just("swap"), st.integers(1, ROWS), st.integers(1, ROWS), st.booleans()),
    st.tuples(st.just("insert"), st.sampled_from([-1, 0, ROWS + 1, ROWS + 7]), TEXTS),
    st.tuples(st.just("head"), st.sampled_from(["seq", "hash", "anchor_seq", "anchor_hash"]), st.integers(0, ROWS + 3)),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
async def test_any_change_by_hand_is_found_and_named(tampered: Place, data: st.DataObject) -> None:
    at = tampered
    what, *how = data.draw(TAMPERINGS)
    kept = await at.sql("SELECT * FROM audit ORDER BY seq")
    head = await at.head_row()
    expected = await tamper(at, what, how)
    try:
        if await at.sql("SELECT * FROM audit ORDER BY seq") != kept or await at.head_row() != head:
            found = await broken(at)
            assert found is not None, (what, how)
            assert found[0] in expected, (what, how, found)
            assert str(found[0]) in found[1] or what == "head"
    finally:
        await restore(at, kept, head)
    assert await broken(at) is None


@pytest.fixture
async def tampered(place: Build) -> Place:
    at = await place()
    await at.watch()
    await at.fill(ROWS)
    await at.disarm()
    return at


async def tamper(at: Place, what: str, how: list[Any]) -> set[int]:
    """Changes the tables; returns the numbers one of which must be named."""
    if what == "change":
        seq, column, word, number = how
        value = number if column == "time" else word[:10]
        await at.sql(f"UPDATE audit SET {column} = :value WHERE seq = :seq", value=value, seq=seq)
        return {seq}
    if what == "delete":
        seq, more = how
        await at.sql("DELETE FROM audit WHERE seq BETWEEN :seq AND :last", seq=seq, last=seq + more)
        return {seq}
    if what == "swap":
        one, other, whole = how
        if whole:
            await at.sql("UPDATE audit SET seq = -1 WHERE seq = :one", one=one)
            await at.sql("UPDATE audit SET seq = :one WHERE seq = :other", one=one, other=other)
            await at.sql("UPDATE audit SET seq = :other WHERE seq = -1", other=other)
        else:
            rows = {row.seq: row for row in await at.sql("SELECT seq, target, details FROM audit")}
            for seq, of in ((one, other), (other, one)):
                row = rows[of]
                await at.sql(
                    "UPDATE audit SET target = :target, details = :details WHERE seq = :seq",
                    target=row.target, details=row.details, seq=seq,
                )  # fmt: skip
        return {min(one, other)}
    if what == "insert":
        seq, word = how
        await at.sql(
            "INSERT INTO audit SELECT :seq, 'mine', time, :word, action, target, outcome, request, address, details, "
            "key, hash FROM audit WHERE seq = 3", seq=seq, word=word,
        )  # fmt: skip
        return {seq}
    column, number = how
    value = f"{number:064}" if column.endswith("hash") else number
    await at.sql(f"UPDATE audit_head SET {column} = :value", value=value)
    return set(range(ROWS + 5))


async def restore(at: Place, kept: list[Any], head: Any) -> None:
    await at.sql("DELETE FROM audit")
    names = ("seq", *COLUMNS)
    for row in kept:
        values = ", ".join(f":{name}" for name in names)
        await at.sql(f"INSERT INTO audit ({', '.join(names)}) VALUES ({values})", **dict(zip(names, row, strict=True)))
    await at.sql(
        "UPDATE audit_head SET seq = :seq, hash = :hash, anchor_seq = :anchor_seq, anchor_hash = :anchor_hash",
        **head._mapping,
    )


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("value", ["x'ff00'", "CAST(x'ff' AS TEXT)", "1.5", "'\ud7ff'"], ids=repr)
@pytest.mark.parametrize("column", ["details", "time", "target", "hash"])
async def test_what_no_entry_can_hold_is_found(tampered: Place, column: str, value: str) -> None:
    await tampered.sql(f"UPDATE audit SET {column} = {value} WHERE seq = 5")
    found = await broken(tampered)
    assert found is not None
    assert found[0] == 5


@pytest.mark.parametrize("change", ["DELETE FROM audit_head", "UPDATE audit_head SET seq = 'x'"])
async def test_a_chain_without_its_ends_is_found(tampered: Place, change: str) -> None:
    try:
        await tampered.sql(change)
    except SQLAlchemyError:
        return  # PostgreSQL takes no text for a number
    assert await broken(tampered) == (1, "the row with the ends of the chain is gone")


async def test_whoever_owns_the_database_can_rewrite_a_chain_without_a_key_and_is_told_by_a_noted_head(
    tampered: Place,
) -> None:
    noted = await tampered.trail.head()
    await forge(tampered, Seal())
    assert await broken(tampered) is None, "it says that it protects from this; then the docs are wrong"
    seq, why = await broken(tampered, noted=noted) or (0, "")
    assert (seq, why) == (ROWS, f"entry {ROWS} has another hash than the one that was noted")


async def test_entries_cut_off_at_the_end_are_told_by_a_noted_head(tampered: Place) -> None:
    noted = await tampered.trail.head()
    await tampered.sql("DELETE FROM audit WHERE seq > 9")
    await tampered.sql("UPDATE audit_head SET seq = 9, hash = (SELECT hash FROM audit WHERE seq = 9)")
    assert await broken(tampered) is None
    seq, why = await broken(tampered, noted=noted) or (0, "")
    assert seq == 10
    assert "removed" in why


async def test_with_a_key_nobody_without_it_can_rewrite_the_chain(place: Build) -> None:
    at = await place(KEY)
    await at.watch()
    await at.fill(5)
    await at.disarm()
    assert await broken(at) is None
    await forge(at, Seal())
    assert await broken(at) == (5, "no entry was hashed with the key of the spec, not even the last one")
    await forge(at, Seal("a key that an attacker has made up"))
    assert (await broken(at) or (0, ""))[0] == 1


async def test_a_forged_end_is_found_also_where_a_page_begins_with_it(place: Build) -> None:
    at = await place(KEY)
    await at.watch()
    await at.fill(4)
    page = await at.trail.verify(limit=4)
    await at.disarm()
    await forge(at, Seal(), begin=5, count=2)
    found = await at.trail.verify(after=page.through, limit=1)
    assert found.broken is not None
    assert (found.broken.seq, "without a key" in found.broken.why) == (5, True)


async def forge(at: Place, seal: Seal, *, begin: int = 1, count: int = 0) -> None:
    """Makes entries fit again after changing one, as somebody with the database and the code can."""
    rows = await at.sql(f"SELECT seq, {', '.join(COLUMNS)} FROM audit ORDER BY seq")
    for number in range(count):
        rows.append([begin + number, f"forged{number}", *rows[0][2:]])
    before = rows[begin - 2][-1] if begin > 1 else GENESIS
    for row in rows[begin - 1 :]:
        values = [*row[:3], "user:mallory", *row[4:-2], seal.name]
        before = seal.hash(before, values)
        await at.sql("DELETE FROM audit WHERE seq = :seq", seq=row[0])
        names = ("seq", *COLUMNS)
        into = f"INSERT INTO audit ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)})"
        await at.sql(into, **dict(zip(names, [*values, before], strict=True)))
        await at.sql("UPDATE audit_head SET seq = :seq, hash = :hash", seq=row[0], hash=before)


async def test_a_key_is_changed_with_the_old_one_named(place: Build) -> None:
    for key, previous in ((None, ()), (OLD_KEY, ()), (KEY, (OLD_KEY,))):
        at = await place(key, previous_keys=previous)
        await at.watch()
        await at.fill(2)
        assert await broken(at) is None
        await at.close()
    forgetful = await place(KEY)
    seq, why = await broken(forgetful) or (0, "")
    assert seq == 3
    assert "previous_keys" in why


def test_a_short_key_is_refused() -> None:
    with pytest.raises(Fault, match="fewer than 32"):
        Seal("hunter2")


# Age


async def test_old_entries_go_from_the_old_end_and_the_rest_still_holds(place: Build) -> None:
    at = await place()
    old, new = datetime.now(UTC) - timedelta(days=10), datetime.now(UTC)
    for number, time in enumerate([old, old, old, new, old, new]):
        await at.trail.record(Act("a.b", "system", f"thing:{number}", time=time))
    await at.watch()
    await at.until(6)
    before = await at.trail.head()
    assert await at.trail._trail.prune(86_400) == 3, "the old one behind a new one stays"
    assert await at.trail._trail.prune(86_400) == 0
    found = await at.trail.verify()
    assert (found.broken, found.first, found.checked) == (None, 4, 4)
    newest, *_ = await at.trail.entries(Wanted(), before=None, limit=1)
    assert (newest.action, newest.actor, newest.details["through"]) == ("audit.prune", "system", 3)
    assert await broken(at, noted=before) is None
    assert await broken(at, noted=At(3, "0" * 64)) == (
        3,
        "entry 3, removed for its age, had another hash than the one noted",
    )
    await at.fill(1)
    assert await broken(at) is None


async def test_what_was_removed_by_hand_is_not_taken_for_old(tampered: Place) -> None:
    await tampered.sql("UPDATE audit_head SET anchor_seq = 4, anchor_hash = (SELECT hash FROM audit WHERE seq = 4)")
    await tampered.sql("DELETE FROM audit WHERE seq <= 4")
    seq, why = await broken(tampered) or (0, "")
    assert seq == 4
    assert "no entry says" in why


async def test_entries_that_are_removed_during_a_walk_do_not_break_it(place: Build) -> None:
    at = await place()
    old = datetime.now(UTC) - timedelta(days=10)
    await at.trail._trail.append([{**ENTRY, "id": f"{n}", "time": int(old.timestamp() * 1e6)} for n in range(600)])
    began = asyncio.Event()
    walk = asyncio.create_task(at.trail.verify(on_progress=lambda _: began.set()))
    await began.wait()
    assert await at.trail._trail.prune(86_400) == 600
    assert (await walk).broken is None


# Reading


async def test_entries_are_found_newest_first(place: Build) -> None:
    at = await place()
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(6):
        who = f"user:{number % 2}"
        await at.trail.record(Act("a.b" if number < 3 else "c.d", who, "x", time=begin + timedelta(days=number)))
    await at.watch()
    await at.until(6)

    async def seqs(*, before: int | None = None, limit: int = 10, **wanted: Any) -> list[int]:
        return [entry.seq for entry in await at.trail.entries(Wanted(**wanted), before=before, limit=limit)]

    assert await seqs() == [6, 5, 4, 3, 2, 1]
    assert await seqs(before=4, limit=2) == [3, 2]
    assert await seqs(actor="user:1") == [6, 4, 2]
    assert await seqs(action="c.d", actor="user:0") == [5]
    assert await seqs(target="y") == []
    assert await seqs(since=begin + timedelta(days=1), until=begin + timedelta(days=3)) == [3, 2]
    (first,) = await at.trail.entries(Wanted(), before=2, limit=1)
    assert first.time == begin


async def test_a_walk_goes_on_where_an_earlier_one_stopped(place: Build) -> None:
    at = await place()
    await at.trail._trail.append([{**ENTRY, "id": f"{n}"} for n in range(600)])
    first = await at.trail.verify(limit=1)
    assert (first.done, first.through.seq) == (False, 250)
    rest = await at.trail.verify(after=first.through)
    assert (rest.broken, rest.done, rest.checked) == (None, True, 350)
    wrong = await at.trail.verify(after=At(250, "0" * 64))
    assert wrong.broken is not None
    assert wrong.broken.seq == 251
