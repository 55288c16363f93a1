"""The state folder of an environment: everything that it keeps lives there."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class StateFolder:
    """The paths inside a state folder.

    Args:
        path: the folder; made with mode 0700 by `create`.
        own: what belongs to this process alone: a worker beside others has a folder within.
    """

    def __init__(self, path: Path, own: Path | None = None) -> None:
        self.path = path
        self.own = own or path
        self.operator_key = path / "operator.key"
        self.redis = path / "redis"
        self.mail = path / "mail"
        self.texts = path / "sms"
        self.journal = self.own / "journal"

    @classmethod
    def of(cls, data: Mapping[str, Any], root: Path) -> StateFolder:
        """The state folder that a spec names.

        Args:
            data: the merged spec with its defaults.
            root: the root spec's folder, from which a relative path starts.
        """
        return cls((root / str((data.get("storage") or {}).get("path") or ".runtime")).resolve())

    def beside(self, number: int) -> StateFolder:
        """The folder of one of several workers on this machine."""
        return StateFolder(self.path, self.path / f"worker-{number}")

    def create(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        ignore = self.path / ".gitignore"
        if not ignore.exists():  # it holds keys, which must never be committed by accident
            ignore.write_text("*\n")
        self.own.mkdir(exist_ok=True, mode=0o700)

    def instance(self) -> str:
        """A name that no other folder has, made once: whose jobs and events a killed process has left."""
        file = self.own / "instance"
        if not file.exists():
            file.write_text(secrets.token_hex(8))
        return file.read_text()
