"""The log output: two formats, one place that masks."""

from __future__ import annotations

import io
import json
import logging
from base64 import b64encode
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from runtime.telemetry.context import request_id
from runtime.telemetry.logs import Format, Level, LogLevel, Logs
from runtime.telemetry.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "hunter2!/x"


class Output:
    """An installed log output, and what it wrote."""

    def __init__(self, format: Format, level: Level = "info") -> None:  # noqa: A002
        self.stream = io.StringIO()
        self.logs = Logs(format, level, Redactor([SECRET]), stream=self.stream)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def output(request: pytest.FixtureRequest) -> Iterator[Output]:
    made = Output(getattr(request, "param", "json"))
    made.logs.install()
    yield made
    made.logs.remove()


both = pytest.mark.parametrize("output", ["json", "console"], indirect=True)
log = logging.getLogger("runtime.test")


def test_a_json_line_has_what_a_machine_needs(output: Output) -> None:
    token = request_id.set("r-1")
    log.info("%s jobs\nran", 3, extra={"queue": "email", "level": "mine", "nested": {"a": [1]}})
    request_id.reset(token)
    (line,) = output.lines
    assert line["message"] == "3 jobs\nran"
    assert (line["level"], line["logger"], line["queue"]) == ("info", "runtime.test", "email")
    assert line["nested"] == {"a": [1]}
    assert line["request_id"] == "r-1"
    assert datetime.fromisoformat(line["time"]).utcoffset() is not None


def test_outside_of_a_request_there_is_no_id(output: Output) -> None:
    log.info("hello")
    assert "request_id" not in output.lines[0]


@both
def test_secrets_are_masked_everywhere(output: Output) -> None:
    encoded = b64encode(f"user:{SECRET}".encode()).decode()
    log.info(f"message {SECRET}")
    log.info("argument %s", SECRET)
    log.info("mapping %(key)s", {"key": SECRET})
    log.info("extra", extra={"url": f"redis://:{SECRET}@host", "deep": {"list": [SECRET]}, "thing": Thing()})
    log.info("encoded %s %s", encoded, "hunter2%21%2Fx")
    misfit = {"name": "runtime.test", "msg": "misfit %d", "args": (SECRET,), "levelname": "INFO"}
    output.logs._handler.handle(logging.makeLogRecord(misfit))  # pytest's own handler would raise
    try:
        try:
            raise ValueError(f"inner {SECRET}")
        except ValueError as inner:
            raise RuntimeError(f"outer {SECRET}") from inner
    except RuntimeError:
        log.exception("exception %s", SECRET)
    assert SECRET not in output.text
    assert json.dumps(SECRET)[1:-1] not in output.text
    assert encoded not in output.text
    assert "hunter2" not in output.text
    assert output.text.count("***") >= 10


class Thing:
    def __str__(self) -> str:
        return f"thing with {SECRET}"


def test_an_exception_is_one_record(output: Output) -> None:
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        log.exception("it failed")
    (line,) = output.lines
    assert line["exception"]["type"] == "ZeroDivisionError"
    assert line["exception"]["message"] == "division by zero"
    assert "Traceback" in line["exception"]["stack"]


@pytest.mark.parametrize("output", ["console"], indirect=True)
def test_the_console_has_columns_and_no_colour_in_a_file(output: Output) -> None:
    log.warning("disk is full", extra={"free": 0, "path": "/a b", "empty": ""})
    time, level, name, rest = output.text.split(maxsplit=3)
    assert (level, name) == ("warning", "test")
    assert rest == 'disk is full  free=0 path="/a b" empty=""\n'
    assert len(time) == 12
    assert "\x1b" not in output.text


@pytest.mark.parametrize("output", ["console"], indirect=True)
def test_what_a_caller_sent_neither_begins_a_line_nor_steers_the_terminal(output: Output) -> None:
    log.info("GET /\n00:00:00 error forged \x1b[2J", extra={"agent": "x\r\ny\x1b[0m"})
    assert output.text.count("\n") == 1
    assert "\x1b" not in output.text
    assert "\r" not in output.text


def test_a_terminal_gets_colours_unless_it_wants_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for wanted in (True, False):
        stream = Terminal()
        logs = Logs("console", "info", stream=stream).install()
        log.error("red")
        logs.remove()
        assert ("\x1b[31m" in stream.getvalue()) is wanted
        monkeypatch.setenv("NO_COLOR", "1")


async def test_the_level_is_live(output: Output) -> None:
    level = LogLevel(output.logs)
    log.debug("one")
    await level.update({"level": "debug", "format": "json"})
    log.debug("two")
    await level.update({"level": "error"})
    log.warning("three")
    assert [line["message"] for line in output.lines] == ["two"]


def test_libraries_are_tamed_and_given_back() -> None:
    library = logging.getLogger("uvicorn.error")
    parent = logging.getLogger("uvicorn")
    handler = logging.NullHandler()
    parent.addHandler(handler)
    before = (
        parent.level,
        list(parent.handlers),
        logging.getLogger().level,
        list(logging.getLogger().handlers),
    )
    output = Output("json")
    output.logs.install()
    library.info("Started server process")
    library.warning("something is wrong")
    logging.getLogger("uvicorn.access").info("GET /")
    output.logs.remove()
    output.logs.remove()
    assert [line["message"] for line in output.lines] == ["something is wrong"]
    now = parent.level, list(parent.handlers), logging.getLogger().level, list(logging.getLogger().handlers)
    assert now == before
    parent.removeHandler(handler)


def test_installed_twice_it_writes_once(output: Output) -> None:
    output.logs.install()
    log.info("once")
    assert len(output.lines) == 1


def test_what_cannot_be_written_as_json_is_written_as_text(output: Output) -> None:
    log.info("odd", extra={"thing": object, "set": {1}, "bytes": b"\xff", "when": datetime(2026, 1, 1)})  # noqa: DTZ001
    log.info("lone surrogate \ud800", extra={"deep": {(1, 2): "x"}})
    assert output.lines[0]["when"].startswith("2026-01-01")
    assert output.lines[1]["logger"] == "runtime.test"
