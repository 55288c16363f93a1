"""Loading: what only the models know is told where it was written, and paths start where they were written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel, ConfigDict, field_validator

from runtime.errors import SpecFault
from runtime.spec import root
from runtime.spec.load import load

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "templates").mkdir()
    (tmp_path / "base" / "base.yaml").write_text(
        "version: 1\nname: shop\nstorage: {path: state}\n"
        "notifications:\n  channels: {in_app: {kind: in_app}}\n"
        "  categories: {a: {channels: [in_app], template: templates}}\n"
    )
    (tmp_path / "spec.yaml").write_text("extends: base/base.yaml\napi: {port: 9000}\nx-mine: {any: thing}\n")
    return tmp_path


def test_paths_start_where_they_were_written_and_state_at_the_root_spec(folder: Path) -> None:
    loaded = load("spec.yaml", {})
    assert (loaded.root, loaded.file) == (folder, folder / "spec.yaml")
    assert loaded.spec.storage.path == folder / "state"
    assert loaded.spec.secrets.env_file == folder / ".env"
    assert loaded.spec.notifications is not None
    assert loaded.spec.notifications.categories["a"].template == folder / "base" / "templates"
    assert loaded.declared["storage"]["path"] == "state"
    assert loaded.data["storage"]["path"] == str(folder / "state")


def test_the_same_from_another_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert load(folder / "spec.yaml", {}).spec.storage.path == folder / "state"


def test_what_the_models_refuse_is_told_where_it_was_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Channel(BaseModel):
        kind: str

        @field_validator("kind")
        @classmethod
        def refuse(cls, value: str) -> str:
            raise ValueError(f"no {value} today")

    class Notifications(BaseModel):
        channels: dict[str, Channel]

    class Strict(BaseModel):
        model_config = ConfigDict(extra="ignore")
        notifications: Notifications

    monkeypatch.setattr(root, "Spec", Strict)
    with pytest.raises(SpecFault) as caught:
        load("spec.yaml", {})
    assert [str(diagnostic) for diagnostic in caught.value.diagnostics] == [
        "base/base.yaml:5:29: notifications.channels.in_app.kind: no in_app today"
    ]


def test_all_errors_are_in_the_fault(folder: Path) -> None:
    (folder / "spec.yaml").write_text("extends: base/base.yaml\napi: {prt: 1}\nqueues: 5\n")
    with pytest.raises(SpecFault) as caught:
        load("spec.yaml", {})
    assert [diagnostic.path for diagnostic in caught.value.diagnostics] == ["api.prt", "queues"]
    assert "2 errors in the spec" in str(caught.value)
