"""`extends`: how files merge, and that each value keeps the place where it was written."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.spec import yaml
from runtime.spec.emit import emit
from runtime.spec.overlay import MAX_FILES, Layer, compose, merge
from runtime.spec.places import Place, Source

if TYPE_CHECKING:
    from pathlib import Path

KEYS = st.sampled_from(["a", "b", "c", "d"])
SCALARS = st.integers(0, 9) | st.text("xyz", max_size=3) | st.booleans()
VALUES = st.recursive(
    SCALARS | st.lists(SCALARS, max_size=2),
    lambda below: st.dictionaries(KEYS, below, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=4)
LEAVES = st.fixed_dictionaries({}, optional={"a": SCALARS, "b": st.lists(SCALARS, max_size=2)})
SAME_SHAPE = st.fixed_dictionaries(
    {}, optional={"a": SCALARS, "c": LEAVES, "d": st.dictionaries(KEYS, LEAVES, max_size=3)}
)
WITH_NULLS = st.dictionaries(KEYS, VALUES | st.none(), max_size=4)


def layer(data: dict[str, Any], name: str = "file") -> Layer:
    document = yaml.parse(Source(name, f"/{name}", emit(data)))
    assert document.place is not None
    assert not document.diagnostics
    return document.data, document.place


def merged(*documents: dict[str, Any]) -> dict[str, Any]:
    result = layer(documents[0])
    for document in documents[1:]:
        result = merge(result, layer(document))
    return result[0]


def expected(base: Any, over: Any) -> Any:
    """The law in its plainest form."""
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    kept = {key: value for key, value in base.items() if key not in over}
    changed = {
        key: expected(base[key], value) if key in base else value for key, value in over.items() if value is not None
    }
    return kept | changed


@given(DOCUMENTS)
def test_nothing_changes_nothing(a: dict[str, Any]) -> None:
    assert merged(a, {}) == a
    assert merged({}, a) == a
    assert merged(a, a) == a


@given(SAME_SHAPE, SAME_SHAPE, SAME_SHAPE)
def test_merging_is_associative_where_keys_keep_their_kind(
    a: dict[str, Any], b: dict[str, Any], c: dict[str, Any]
) -> None:
    left = merge(merge(layer(a), layer(b)), layer(c))
    right = merge(layer(a), merge(layer(b), layer(c)))
    assert left[0] == right[0]


@given(DOCUMENTS, WITH_NULLS)
def test_mappings_merge_and_all_else_replaces(base: dict[str, Any], over: dict[str, Any]) -> None:
    assert merged(base, over) == expected(base, over)


@given(DOCUMENTS, KEYS)
def test_null_removes(base: dict[str, Any], key: str) -> None:
    assert key not in merged(base, {key: None})


@given(DOCUMENTS, WITH_NULLS, WITH_NULLS)
def test_every_value_knows_the_file_that_it_was_written_in(
    a: dict[str, Any], b: dict[str, Any], c: dict[str, Any]
) -> None:
    layers = [layer(a, "a.yaml"), layer(b, "b.yaml"), layer(c, "c.yaml")]
    data, place = merge(merge(layers[0], layers[1]), layers[2])
    texts = {"a.yaml": emit(a), "b.yaml": emit(b), "c.yaml": emit(c)}
    for path, value in walked(data):
        found: Place | None = place
        for part in path:
            assert found is not None
            found = found.child(part)
        assert found is not None, path
        assert found.source.name in texts
        if not isinstance(value, dict | list):
            where = found.value_span()
            line = texts[found.source.name].splitlines()[where.line - 1]
            written = line[where.column - 1 : where.column - 1 + where.length]
            assert yaml.parse(Source("x", "/x", f"v: {written}")).data["v"] == value


def walked(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[tuple[str | int, ...], Any]]:
    found: list[tuple[tuple[str | int, ...], Any]] = [(path, value)] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        found += walked(below, (*path, key))
    return found


@given(DOCUMENTS, WITH_NULLS)
def test_merging_changes_neither_layer(a: dict[str, Any], b: dict[str, Any]) -> None:
    base, over = layer(a), layer(b)
    merge(base, over)
    assert (base[0], over[0]) == (a, b)
    assert base[1] == layer(a)[1] or len(base[1].children or ()) == len(a)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path = path.with_name(path.name + ".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def complaints(name: str) -> list[str]:
    return [str(diagnostic) for diagnostic in compose(name).diagnostics]


def test_later_bases_win_and_the_file_wins_over_all(folder: Path) -> None:
    write(
        folder,
        one="a: 1\nb: 1\nc: 1\n",
        two="b: 2\nc: 2\n",
        top="extends: [one.yaml, two.yaml]\nc: 3\n",
    )
    composition = compose("top.yaml")
    assert composition.data == {"a": 1, "b": 2, "c": 3}
    assert composition.whole
    assert composition.place is not None
    origins = {key: composition.place.at((key,)).source.name for key in "abc"}
    assert origins == {"a": "one.yaml", "b": "two.yaml", "c": "top.yaml"}


def test_bases_are_found_from_the_file_that_names_them(folder: Path) -> None:
    write(
        folder,
        base="a: 1\n",
        specs__middle="extends: ../base.yaml\nb: 2\n",
        top="extends: specs/middle.yaml\n",
    )
    composition = compose("top.yaml")
    assert composition.data == {"a": 1, "b": 2}
    assert composition.place is not None
    assert composition.place.at(("a",)).source.name == "base.yaml"
    assert composition.place.at(("a",)).source.folder == f"{folder}/specs/.."
    assert compose(str(folder / "top.yaml")).data == {"a": 1, "b": 2}


def test_a_base_that_is_reached_twice_is_no_circle(folder: Path) -> None:
    write(
        folder,
        base="a: 1\n",
        left="extends: base.yaml\nb: 1\n",
        right="extends: base.yaml\nc: 1\n",
        top="extends: [left.yaml, right.yaml]\n",
    )
    assert compose("top.yaml").data == {"a": 1, "b": 1, "c": 1}


def test_null_in_a_file_without_a_base_stays_for_the_default(folder: Path) -> None:
    write(folder, base="a: null\nb: 1\n", top="extends: base.yaml\nb: null\n")
    assert compose("base.yaml").data == {"a": None, "b": 1}
    assert compose("top.yaml").data == {"a": None}


def test_a_circle_is_named(folder: Path) -> None:
    write(
        folder,
        a="extends: b.yaml\n",
        b="x: 1\nextends: [c.yaml]\n",
        c="extends: a.yaml\n",
        me="extends: me.yaml\n",
    )
    assert complaints("a.yaml") == [
        'c.yaml:1:10: extends: "extends" goes in a circle: a.yaml → b.yaml → c.yaml → a.yaml'
    ]
    assert complaints("me.yaml") == ['me.yaml:1:10: extends: "extends" goes in a circle: me.yaml → me.yaml']


def test_a_circle_through_a_link_is_one(folder: Path) -> None:
    write(folder, a="extends: link.yaml\n")
    (folder / "link.yaml").symlink_to("a.yaml")
    assert "goes in a circle: a.yaml → a.yaml" in complaints("a.yaml")[0]


def test_wrong_bases_are_told_with_their_place(folder: Path) -> None:
    write(folder, base="a: 1\n", top="extends: [bse.yaml, 5, '${BASE}', https://x/y.yaml, '']\n")
    name = '"extends" takes a file name or a list of them, and no references; write "base.yaml"'
    assert complaints("top.yaml") == [
        'top.yaml:1:11: extends: there is no file "bse.yaml", did you mean "base.yaml"?',
        f"top.yaml:1:21: extends: {name}",
        f"top.yaml:1:24: extends: {name}",
        'top.yaml:1:35: extends: "https://x/y.yaml" is an address; a base is a file on this machine',
        f"top.yaml:1:53: extends: {name}",
    ]


def test_the_mistakes_of_all_files_are_told(folder: Path) -> None:
    write(folder, one="a: [\n", two="b: 1\nb: 2\n", top="extends: [one.yaml, two.yaml]\nc: 1\nc: 2\n")
    assert [line.split(" ")[0] for line in complaints("top.yaml")] == [
        "top.yaml:3:1:",
        "one.yaml:1:4:",
        "two.yaml:2:1:",
    ]
    assert not compose("top.yaml").whole


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", 'x.yaml:1:1: the file is empty; a spec begins with "version: 1"'),
        (b"# only a comment\n", 'x.yaml:1:1: the file is empty; a spec begins with "version: 1"'),
        (b"- a\n", 'x.yaml:1:1: a spec is a mapping ("version: 1" and so on), this is a list'),
        (b"just text\n", 'x.yaml:1:1: a spec is a mapping ("version: 1" and so on), this is a single value'),
        (b"a: \xff\n", "x.yaml:1:4: the byte 0xff is not UTF-8; save the file as UTF-8"),
        ("a: é\nb: ü".encode("latin-1"), "x.yaml:1:4: the byte 0xe9 is not UTF-8; save the file as UTF-8"),
        ("a: 1".encode("utf-16"), "x.yaml: the file is UTF-16; save it as UTF-8"),
        (b"a: 1\0", "x.yaml:1:5: a control character (U+0000) has no place in a text file"),
        (b"a" * (yaml.MAX_BYTES + 1), "x.yaml: the file is larger than 2 MiB"),
    ],
)  # fmt: skip
def test_files_that_are_no_spec(folder: Path, content: bytes, complaint: str) -> None:
    (folder / "x.yaml").write_bytes(content)
    assert complaints("x.yaml") == [complaint]


def test_a_byte_order_mark_does_no_harm(folder: Path) -> None:
    (folder / "x.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")
    composition = compose("x.yaml")
    assert composition.data == {"a": 1}
    assert composition.place is not None
    assert composition.place.at(("a",)).key_span() == (1, 1, 1)


def test_what_is_no_readable_file(folder: Path) -> None:
    (folder / "folder.yaml").mkdir()
    os.mkfifo(folder / "pipe.yaml")
    (folder / "loop.yaml").symlink_to("loop.yaml")
    (folder / "specs.yaml").write_text("a: 1")
    assert complaints("folder.yaml") == ["folder.yaml: this is a folder, not a file"]
    assert complaints("pipe.yaml") == ["pipe.yaml: this is no regular file"]
    assert complaints("loop.yaml") == ["loop.yaml: too many symbolic links on the way to the file"]
    assert complaints("/dev/zero") == ["/dev/zero: this is no regular file"]
    assert complaints("spec.yaml") == ['spec.yaml: no such file, did you mean "specs.yaml"?']
    assert complaints("x\0y") == ["x\0y: no such file"]
    assert complaints("") == [": no such file"]
    assert complaints("a" * 5000)[0].endswith("the name of the file is too long")


def test_a_file_that_may_not_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, x="a: 1")

    def refuse(*_: object) -> int:  # as root, whom no mode stops, tests run too
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert complaints("x.yaml") == ["x.yaml: the file may not be read; check its permissions"]


def test_the_number_of_files_and_of_their_values_is_capped(folder: Path) -> None:
    for number in range(MAX_FILES + 5):
        write(folder, **{f"f{number}": f"extends: f{number + 1}.yaml\n"})
    (complaint,) = complaints("f0.yaml")
    assert f"more than {MAX_FILES} files are extended" in complaint
    values = "[" + "1," * 30_000 + "]"
    for number in range(5):
        write(folder, **{f"big{number}": f"k{number}: {values}\n"})
    write(folder, top=f"extends: [{', '.join(f'big{number}.yaml' for number in range(5))}]\n")
    (complaint, *_) = complaints("top.yaml")
    assert complaint == "big3.yaml: with this file the spec has more than 100,000 values"
