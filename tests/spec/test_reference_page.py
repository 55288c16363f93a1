"""The reference page: made from the schema, every key in it, every link of it leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

from runtime.spec.reference import page
from runtime.spec.schema import build

COMMITTED = Path(__file__).parents[2] / "docs" / "spec-reference.md"
SCHEMA = build("spec")
PAGE = page(SCHEMA)


def test_the_committed_page_is_what_the_models_say() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == PAGE, "run: python -m runtime.spec.reference"


def test_every_link_leads_to_one_anchor() -> None:
    anchors = re.findall(r'<a id="([^"]+)"></a>', PAGE)
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= set(anchors)


def test_every_section_has_its_table() -> None:
    tables = PAGE.count("| key | type | default | meaning |")
    sections = [name for name, section in SCHEMA["$defs"].items() if section.get("type") == "object"]
    assert tables == 1 + len([name for name in sections if not name.startswith("BuiltIn")])


def test_every_key_is_in_a_table() -> None:
    for section in (SCHEMA, *SCHEMA["$defs"].values()):
        for key, field in section.get("properties", {}).items():
            assert re.search(
                rf"^\| `{key}`( ●)? \| .*{re.escape(field['description'].replace('|', ''))}",
                PAGE,
                re.MULTILINE,
            ), key
