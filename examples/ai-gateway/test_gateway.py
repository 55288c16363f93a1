"""The gateway, run through the real command and asked by OpenAI's own client."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from openai import NotFoundError, OpenAI

from runtime.testing import RunningEnvironment, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai.types.chat import ChatCompletionMessageParam

SPEC = Path(__file__).with_name("spec.yaml")
ASKED: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello"}]


@pytest.fixture(scope="module")
def environment() -> Iterator[RunningEnvironment]:
    with running(SPEC) as environment:
        yield environment


@pytest.fixture
def client(environment: RunningEnvironment) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{environment.url}/v1", api_key=environment.key, max_retries=0) as client:
        yield client


def test_an_answer_and_a_stream(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="default", messages=ASKED)
    assert answer.choices[0].message.content == "[echo] Say hello"
    stream = client.chat.completions.create(model="default", messages=ASKED, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "[echo] Say hello"
    assert [model.id for model in client.models.list()] == ["default", "echo/parrot"]


def test_a_name_that_is_not_there_is_explained(client: OpenAI) -> None:
    with pytest.raises(NotFoundError, match='Did you mean "default"'):
        client.chat.completions.create(model="defualt", messages=ASKED)


def test_what_was_asked_is_in_the_books(environment: RunningEnvironment) -> None:
    usage = environment.get("/v1/usage?by=model").body
    assert usage["items"][0]["model"] == "parrot"
    assert usage["items"][0]["cost"] == "0.00"


def test_the_command_asks_too(environment: RunningEnvironment) -> None:
    command = [sys.executable, "-m", "runtime", "ai"]
    state = str(environment.state.path)
    assert state
    help_ = subprocess.run([*command, "chat", "-h"], capture_output=True, text=True, check=True)
    assert "runtime ai chat" in help_.stdout
