"""The files of the page, read once: each with its type and a tag of its content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

FOLDER: Final = Path(__file__).parent / "page"
INDEX: Final = "index.html"
OPERATIONS: Final = "operations/"
"""The operator's views, which nobody else's browser loads."""
WORKER: Final = "worker.js"
"""Kept by browsers under one address for as long as push messages come, and so not among the assets."""

_TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


class File(NamedTuple):
    """What a browser gets.

    Args:
        type: the media type.
        tag: of the content, as an `ETag` has it (RFC 9110, section 8.8.3).
    """

    content: bytes
    type: str
    tag: str


class Files(NamedTuple):
    """All of the page.

    Args:
        version: of all assets together; a part of their addresses, since modules name each other by relative ones.
        document: the page, which names the assets.
        worker: the service worker.
        assets: the rest, by path.
    """

    version: str
    document: File
    worker: File
    assets: Mapping[str, File]


@cache
def files() -> Files:
    """The files that came with this version."""
    texts = {path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in sorted(FOLDER.rglob("*.*"))}
    index, worker = texts.pop(INDEX), texts.pop(WORKER)
    version = _digest(b"".join(name.encode() + b"\0" + content for name, content in texts.items()))
    modules = "\n".join(
        f'<link rel="modulepreload" href="/dashboard/{version}/{name}">'
        for name in texts
        if name.endswith(".js") and not name.startswith(OPERATIONS)
    )
    text = index.decode().replace("{version}", version).replace("{modules}", modules)
    assets = {name: _file(name, content) for name, content in texts.items()}
    return Files(version, _file(INDEX, text.encode()), _file(WORKER, worker), assets)


def _file(name: str, content: bytes) -> File:
    return File(content, _TYPES[Path(name).suffix], f'"{_digest(content)}"')


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
