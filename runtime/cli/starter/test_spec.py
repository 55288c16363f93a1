"""Boots the environment for real, on a free port and a state folder of its own, and uses it."""

from __future__ import annotations

from pathlib import Path

from runtime.testing import running


def test_a_greeting_is_made() -> None:
    with running(Path(__file__).with_name("spec.yaml")) as environment:
        job = environment.run_job("greetings", {"name": "Ada"})
        assert job["status"] == "completed"
        assert job["result"] == {"text": "Hello, Ada!"}
