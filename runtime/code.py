"""Tells when the code of plugins on the disk is another than that which runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Signature = tuple[int, int] | None


class Code:
    """The files of the plugins as they were when they were imported.

    Code is not reloaded while an environment runs: what other modules, threads and processes hold of it would stay
    the old one, and half of a program would be new.

    Args:
        plugins: each module with the folder of the file that names it; imported already.
    """

    def __init__(self, plugins: Iterable[tuple[str, Path]]) -> None:
        self._known = {file: _signature(file) for file in _files(plugins)}

    def changed(self) -> list[str]:
        """The names of the files that are others now."""
        return sorted(Path(file).name for file, known in self._known.items() if _signature(file) != known)


def _files(plugins: Iterable[tuple[str, Path]]) -> set[str]:
    """The files of the modules, and of what lies beside them and was imported too."""
    folders = {str(folder) for _, folder in plugins}
    if not folders:
        return set()
    files = {file for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))}
    own = Path(__file__).parent
    return {
        file
        for file in files
        if any(file.startswith(f"{folder}/") for folder in folders)
        and "site-packages" not in file
        and not Path(file).is_relative_to(own)
    }


def _signature(file: str) -> Signature:
    try:
        state = Path(file).stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size
