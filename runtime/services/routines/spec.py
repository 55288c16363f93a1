"""The `routines` section: steps with data flowing between them, run by the `run` queue."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from runtime.spec.fields import Named, Ref, Retry, Section, Values, setting
from runtime.spec.kinds import Dollars, DottedName, Duration, PathField, Secret, Size, Switch, Text


class InputSpec(Section):
    """A value that a routine is started with."""

    type: Literal["string", "integer", "number", "boolean", "object", "array"] = setting(
        "string", "What kind of value it is.", example="integer"
    )
    description: Text | None = setting(None, "What it means.", example="What the brief is about.")
    required: Switch = setting(True, "Whether it must be given.", example=False)
    default: Any = setting(None, "What it is where it is not given.", example="news")


class Step(Section):
    """What every step has."""

    if_: Text | None = setting(
        None,
        "A template; the step is left out where it gives nothing, `false` or 0.",
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
    """Code in the sandbox."""

    code: Text | None = setting(None, "The source.", example="input['a'] + input['b']")
    code_file: PathField | None = setting(None, "The file that holds the source.", example="routines/facts.py")
    with_: Values = setting({}, "What the code gets as `input`.", example={"topic": "{{ input.topic }}"})
    memory: Size | None = setting(None, "Memory, up to the sandbox's own limit.", example="8MB")


class JavaScriptStep(CodeStep):
    """JavaScript in the sandbox."""

    uses: Literal["sandbox.javascript"] = setting(..., "JavaScript in the sandbox.", example="sandbox.javascript")


class PythonStep(CodeStep):
    """Python in the sandbox."""

    uses: Literal["sandbox.python"] = setting(..., "Python in the sandbox.", example="sandbox.python")


class ChatStep(Step):
    """A question to a model."""

    uses: Literal["ai.chat"] = setting(..., "A question to a model.", example="ai.chat")
    chain: Annotated[Text, Ref("ai.chains")] = setting(..., "The chain that answers.", example="default")
    prompt: Text = setting(..., "A template of the question.", example="Sum up: {{ steps.facts.output }}")
    system: Text | None = setting(None, "A template of the instructions.", example="Answer in one sentence.")
    max_cost: Dollars | None = setting(None, "The most that the answer may cost.", example="0.10 USD")


class NotifyStep(Step):
    """A notification."""

    uses: Literal["notify"] = setting(..., "A notification.", example="notify")
    category: Annotated[Text, Ref("notifications.categories")] = setting(..., "Its kind.", example="run-complete")
    to: Text = setting(..., "Whom it goes to: a template that gives a user's id.", example="{{ run.started_by }}")
    with_: Values = setting({}, "What its templates get.", example={"text": "{{ steps.summary.output }}"})


class JobStep(Step):
    """A job in a queue; its result is the step's output."""

    uses: Literal["job"] = setting(..., "A job in a queue.", example="job")
    queue: Annotated[Text, Ref("queues")] = setting(..., "The queue.", example="export")
    with_: Values = setting({}, "The job's payload.", example={"scope": "audit"})


class EventStep(Step):
    """An event on a stream."""

    uses: Literal["event"] = setting(..., "An event on a stream.", example="event")
    stream: Annotated[Text, Ref("events.streams")] = setting(..., "The stream.", example="user")
    type: Annotated[DottedName, Ref("events.types")] = setting(..., "The event's type.", example="profile.changed")
    with_: Values = setting({}, "The event's data.", example={"id": "{{ run.started_by }}"})


class HttpStep(Step):
    """An HTTP request; the body of the answer is the step's output."""

    uses: Literal["http"] = setting(..., "An HTTP request.", example="http")
    url: Text = setting(..., "A template of its address.", example="https://api.example.com/topics/{{ input.topic }}")
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = setting("GET", "The request's method.", example="POST")
    headers: dict[Text, Secret] = setting(
        {}, "The request's headers.", example={"Authorization": "Bearer ${API_TOKEN}"}
    )
    with_: Values | None = setting(None, "The request's body, sent as JSON.", example={"id": 1})


AnyStep = Annotated[
    JavaScriptStep | PythonStep | ChatStep | NotifyStep | JobStep | EventStep | HttpStep,
    Field(discriminator="uses"),
]


class RoutineSpec(Section):
    """Steps that run one after another, each with what came before."""

    description: Text | None = setting(None, "What it is for.", example="Facts on a topic, summed up.")
    input: Named[InputSpec] = setting({}, "What it is started with, by name.", example={"topic": {"type": "string"}})
    steps: Named[AnyStep] = setting(
        ...,
        "The steps by name, in order.",
        example={"tell": {"uses": "event", "stream": "user", "type": "profile.changed"}},
    )
    output: Text | None = setting(None, "A template of the run's result.", example="{{ steps.summary.output }}")
