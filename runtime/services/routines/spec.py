"""The `routines` section: steps with data flowing between them, run by the `run` queue."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from runtime.spec.fields import Items, Named, Ref, Retry, Section, Templated, Values, setting
from runtime.spec.kinds import (
    Condition,
    DottedName,
    Duration,
    PathField,
    Positive,
    Secret,
    Size,
    Switch,
    Template,
    Text,
)

Filled = Annotated[Values, Templated()]
"""Values by name, in whose texts each `{{ … }}` is filled in."""


class InputSpec(Section):
    """A value that a routine is started with."""

    type: Literal["string", "integer", "number", "boolean", "object", "array"] = setting(
        "string", "What kind of value it is.", example="integer"
    )
    description: Text | None = setting(None, "What it means.", example="What the brief is about.")
    required: Switch = setting(True, "Whether it must be given, where it has no default.", example=False)
    default: Any = setting(None, "What it is where it is not given.", example="news")


class Step(Section):
    """What every step has."""

    if_: Condition | None = setting(
        None,
        "The step is left out where this gives nothing, `false`, 0 or an empty text.",
        example="{{ input.urgent }}",
    )
    timeout: Duration | None = setting(
        None, "How long one try may take; by default what is left for the run.", example="30s"
    )
    retry: Retry = setting(
        {"attempts": 1}, "How often and how soon it is tried again.", example={"attempts": 3, "backoff": "1s"}
    )
    on_error: Literal["fail", "continue"] = setting(
        "fail", "What its last failure does to the run.", example="continue"
    )


class CodeStep(Step):
    """Code in the sandbox; its result is the step's output."""

    code: Text | None = setting(
        None, "The source; a dollar sign before a brace is written twice.", example="input['a'] + input['b']"
    )
    code_file: PathField | None = setting(
        None, "Instead of it the file that holds the source; read at `apply`.", example="routines/facts.py"
    )
    with_: Filled = setting({}, "What the code gets as `input`.", example={"topic": "{{ input.topic }}"})
    memory: Size | None = setting(None, "Memory, up to the sandbox's own limit.", example="8MB")


class JavaScriptStep(CodeStep):
    """JavaScript in the sandbox; its result is the step's output."""

    uses: Literal["sandbox.javascript"] = setting(..., "JavaScript in the sandbox.", example="sandbox.javascript")


class PythonStep(CodeStep):
    """Python in the sandbox; its result is the step's output."""

    uses: Literal["sandbox.python"] = setting(..., "Python in the sandbox.", example="sandbox.python")


class MessageSpec(Section):
    """One message of a conversation with a model."""

    role: Literal["system", "user", "assistant"] = setting("user", "Who says it.", example="assistant")
    content: Template = setting(..., "What is said.", example="Sum up: {{ steps.facts.output }}")


class ChatStep(Step):
    """A question to a model, at the expense of whoever has started the run; its answer is the step's output."""

    uses: Literal["ai.chat"] = setting(..., "A question to a model.", example="ai.chat")
    chain: Annotated[Text, Ref("ai.chains")] = setting(..., "The chain that answers.", example="default")
    prompt: Template | None = setting(None, "The question.", example="Sum up: {{ steps.facts.output }}")
    messages: Items[MessageSpec] = setting(
        [], "Instead of it a conversation.", example=[{"role": "user", "content": "{{ input.topic }}"}]
    )
    system: Template | None = setting(None, "The instructions.", example="Answer in one sentence.")
    max_tokens: Positive | None = setting(None, "Tokens that the answer may have.", example=500)
    schema_: Values = setting(
        {},
        "A JSON Schema that the answer must fit; the step's output is then what it holds.",
        example={"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]},
    )


class NotifyStep(Step):
    """A notification; the step's output is its id."""

    uses: Literal["notify"] = setting(..., "A notification.", example="notify")
    category: Annotated[Text, Ref("notifications.categories")] = setting(..., "Its kind.", example="run-complete")
    to: Template = setting(
        ..., "Whom it goes to: the id of a user, an e-mail address, or a list of them.", example="{{ run.started_by }}"
    )
    with_: Filled = setting({}, "What its templates get.", example={"text": "{{ steps.summary.output }}"})


class EnqueueStep(Step):
    """A job in a queue; the step's output is its id, or its result where it is waited for."""

    uses: Literal["jobs.enqueue"] = setting(..., "A job in a queue.", example="jobs.enqueue")
    queue: Annotated[Text, Ref("queues")] = setting(..., "The queue.", example="export")
    payload: Filled = setting({}, "The job's payload.", example={"scope": "audit"})
    wait: Switch = setting(False, "Whether the run goes on only when the job has completed.", example=True)


class PublishStep(Step):
    """An event on a stream; the step's output is its id."""

    uses: Literal["events.publish"] = setting(..., "An event on a stream.", example="events.publish")
    stream: Annotated[Text, Ref("events.streams")] = setting(..., "The stream.", example="user")
    type: Annotated[DottedName, Ref("events.types")] = setting(..., "The event's type.", example="profile.changed")
    data: Filled = setting({}, "The event's data.", example={"id": "{{ run.started_by }}"})
    key: Template | None = setting(None, "Events of one key stay in order.", example="{{ run.started_by }}")


class HttpStep(Step):
    """An HTTP request; the body of the answer is the step's output. An answer other than 2xx is a failure."""

    uses: Literal["http"] = setting(..., "An HTTP request.", example="http")
    url: Template = setting(..., "Its address.", example="https://api.example.com/topics/{{ input.topic | urlencode }}")
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = setting("GET", "The request's method.", example="POST")
    headers: dict[Text, Secret] = setting(
        {}, "The request's headers, as they are.", example={"Authorization": "Bearer ${API_TOKEN}"}
    )
    json_: Annotated[Any, Templated()] = setting(
        None, "The request's body, sent as JSON.", example={"id": "{{ run.id }}"}
    )
    private_addresses: Switch = setting(False, "Whether it may go to the own network.", example=True)


AnyStep = Annotated[
    JavaScriptStep | PythonStep | ChatStep | NotifyStep | EnqueueStep | PublishStep | HttpStep,
    Field(discriminator="uses"),
]


class RoutineSpec(Section):
    """Steps that run one after another, each with what came before."""

    description: Text | None = setting(None, "What it is for.", example="Facts on a topic, summed up.")
    input: Named[InputSpec] = setting({}, "What it is started with, by name.", example={"topic": {"type": "string"}})
    steps: Named[AnyStep] = setting(
        ...,
        "The steps by name, in order.",
        example={"tell": {"uses": "events.publish", "stream": "user", "type": "profile.changed"}},
    )
    output: Template | None = setting(None, "The run's output.", example="{{ steps.summary.output }}")
