"""The journal: one file for each spec that was applied, with what came of it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runtime.errors import Fault, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

logger = logging.getLogger("runtime.kernel")

KEPT = 100


@dataclass(frozen=True, slots=True)
class Revision:
    """One apply.

    Args:
        number: counts up from 1.
        time: ISO 8601, UTC.
        digest: of the declared spec; equal specs have equal digests.
        spec: as declared, references as written and never resolved.
        plan: the steps, as `Plan.to_data` gives them.
        outcome: `applied` or `failed`.
        error: why it failed.
        note: what is wrong with the file, where it could not be read; the rest is empty then.
    """

    number: int
    time: str = ""
    digest: str = ""
    spec: Mapping[str, Any] | None = None
    plan: Sequence[Mapping[str, Any]] = ()
    outcome: str = "unknown"
    error: str | None = None
    note: str | None = None


class Journal:
    """Revisions in a folder, `000001.json` and on.

    Args:
        folder: made when the first revision is written; `<state folder>/journal`.
        kept: how many of the newest stay.
        clock: tells the time.
    """

    def __init__(
        self, folder: Path, *, kept: int = KEPT, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._folder = folder
        self._kept = kept
        self._clock = clock

    def append(
        self,
        spec: Mapping[str, Any],
        plan: Sequence[Mapping[str, Any]],
        outcome: str,
        error: str | None = None,
        *,
        runs: Revision | None = None,
    ) -> Revision:
        """Writes a revision to the disk; the same spec with the same outcome as the last one is no new
        revision, nor is the spec that runs.

        Args:
            runs: the revision that runs, which need not be the last one.

        Returns:
            The new revision, or the one that was there.

        Raises:
            Fault: the folder cannot be written.
        """
        digest = hashlib.sha256(json.dumps(spec, sort_keys=True, default=str).encode()).hexdigest()
        last = self.last()
        if last is not None and (last.digest, last.outcome, last.error) == (digest, outcome, error):
            return last
        if runs is not None and outcome == "applied" and (runs.digest, runs.outcome) == (digest, outcome):
            return runs
        number = max(self._numbers(), default=0) + 1
        revision = Revision(number, self._clock().isoformat(), digest, spec, plan, outcome, error)
        try:
            self._write(revision)
            for old in self._numbers()[: -self._kept]:
                self._file(old).unlink(missing_ok=True)
        except OSError as problem:
            raise Fault(
                f"cannot write the journal {self._folder}: {problem.strerror or problem}",
                remedy="Check that the disk has room and that this user may write there.",
            ) from problem
        return revision

    def list(self) -> Sequence[Revision]:
        """All revisions, oldest first; one whose file is damaged has only a number and a note."""
        return [self._read(number) for number in self._numbers()]

    def last(self) -> Revision | None:
        """The newest revision, damaged or not."""
        numbers = self._numbers()
        return self._read(numbers[-1]) if numbers else None

    def read(self, number: int) -> Revision:
        """One revision.

        Raises:
            NotFound: there is none of that number.
        """
        numbers = self._numbers()
        if number not in numbers:
            span = f"{numbers[0]} to {numbers[-1]}" if numbers else "none"
            raise NotFound(f"no revision {number} in {self._folder}", remedy=f"Kept: {span}.")
        return self._read(number)

    def _file(self, number: int) -> Path:
        return self._folder / f"{number:06}.json"

    def _numbers(self) -> tuple[int, ...]:
        try:
            return tuple(sorted(int(file.stem) for file in self._folder.glob("*.json") if file.stem.isdecimal()))
        except OSError:
            return ()

    def _read(self, number: int) -> Revision:
        try:
            data = json.loads(self._file(number).read_bytes())
            return Revision(**{**data, "number": number})
        except (OSError, ValueError, TypeError, RecursionError) as error:
            note = f"{self._file(number).name} is damaged or cannot be read ({type(error).__name__})"
            logger.warning("journal: %s", note)
            return Revision(number, note=note)

    def _write(self, revision: Revision) -> None:
        """Writes beside the place and renames, so that a crash leaves the whole file or none."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for forgotten in self._folder.glob("*.part"):
            forgotten.unlink(missing_ok=True)
        part = self._folder / f"{revision.number:06}.part"
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(revision), file, indent=2, default=str, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._file(revision.number))
        directory = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
