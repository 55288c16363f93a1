"""Loads a spec with all its sources of secrets, Vault among them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runtime.services.secrets.store import VaultStore
from runtime.spec.load import Declared, Loaded
from runtime.spec.load import load as load_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Loaded", "load"]


def load(
    path: str | os.PathLike[str],
    environ: Mapping[str, str] = os.environ,
    *,
    given: Mapping[str, str] | None = None,
    declared: Declared | None = None,
) -> Loaded:
    """Reads a spec with all that it extends and refers to, secrets in Vault included.

    Args:
        path: the file; `-` is standard input.
        environ: the environment variables that references are resolved from.
        given: variables that come before those of the environment.
        declared: the file as it has been read already.

    Raises:
        SpecFault: it is wrong, or a reference cannot be resolved; carries every diagnostic.

    Example:
        >>> load("specs/development.yaml").spec.api.port
        8080
    """
    return load_spec(path, environ, given=given, vault=VaultStore(), declared=declared)
