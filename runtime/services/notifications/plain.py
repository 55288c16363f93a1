"""The text of a mail, made of its HTML where the template has none."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Final

_SILENT: Final = frozenset({"head", "style", "script", "title"})
_BLOCKS: Final = frozenset({"p", "div", "table", "tr", "h1", "h2", "h3", "h4", "ul", "ol", "blockquote", "section"})


def text_of(html: str) -> str:
    """What a reader without HTML gets: paragraphs apart, list items marked, links with their addresses.

    Example:
        >>> text_of('<p>Hello <b>Ada</b>,</p><p>see <a href="https://x.example">this</a>.</p>')
        'Hello Ada,\\n\\nsee this (https://x.example).'
    """
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.text()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._silent = 0
        self._hidden: list[str] = []
        self._links: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if self._hidden:
            self._hidden += [tag] if tag == self._hidden[0] else []
            return
        if "display:none" in (known.get("style") or "").replace(" ", ""):  # what an inbox shows beside the subject
            self._hidden.append(tag)
        elif tag in _SILENT:
            self._silent += 1
        elif tag == "br":
            self._parts.append("\n")
        elif tag == "li":
            self._parts.append("\n- ")
        elif tag in _BLOCKS:
            self._parts.append("\n\n")
        elif tag == "a":
            self._links.append((known.get("href") or "", len(self._parts)))

    def handle_endtag(self, tag: str) -> None:
        if self._hidden:
            if tag == self._hidden[0]:
                self._hidden.pop()
        elif tag in _SILENT:
            self._silent = max(0, self._silent - 1)
        elif tag in _BLOCKS:
            self._parts.append("\n\n")
        elif tag == "a" and self._links:
            address, begin = self._links.pop()
            shown = "".join(self._parts[begin:]).strip()
            if address and address not in (shown, f"mailto:{shown}"):
                self._parts.append(f" ({address})")

    def handle_data(self, data: str) -> None:
        if not self._silent and not self._hidden:
            self._parts.append(re.sub(r"\s+", " ", data))

    def text(self) -> str:
        joined = re.sub(r" *\n *", "\n", "".join(self._parts))
        joined = re.sub(r"\s+(?=\(https?:|\(mailto:)", " ", joined)
        return re.sub(r"\n{3,}", "\n\n", re.sub(r" {2,}", " ", joined)).strip()
