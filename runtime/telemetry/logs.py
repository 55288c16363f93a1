"""Logs on the standard library's `logging`: readable columns on a console, or one JSON object a line.

Every record passes one handler, which adds the request's id and masks known secrets in the message, its
arguments, the `extra` fields and the exception. An exception is one record, its stack a field of it.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO

import msgspec

from runtime.telemetry.context import request_id, traceparent
from runtime.telemetry.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Format = Literal["console", "json"]
Level = Literal["debug", "info", "warning", "error"]

_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
"""The attributes of each record; whatever else a record has came through `extra`."""

_QUIET: Final = {
    "uvicorn": logging.WARNING,
    "uvicorn.access": logging.CRITICAL,  # the API writes its own access log
    "uvicorn.asgi": logging.WARNING,
    "asyncio": logging.WARNING,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "saq": logging.WARNING,
    "sqlalchemy": logging.WARNING,
    "alembic": logging.WARNING,
    "aiosqlite": logging.WARNING,
    "mail.log": logging.WARNING,  # aiosmtpd
    "litestar": logging.WARNING,
    "opentelemetry": logging.CRITICAL,  # says of each sending that it failed; `runtime.tracing` says it once
}
"""Libraries that say too much at `info`; at `debug` they say a bit more."""

_COLOURS: Final = {"DEBUG": "\x1b[2m", "INFO": "\x1b[32m", "WARNING": "\x1b[33m", "ERROR": "\x1b[31m"}
_QUOTED: Final = frozenset(' "=')
_RESET: Final = "\x1b[0m"
_DIM: Final = "\x1b[2m"


class Logs:
    """The log output of an environment.

    Installing it takes over the root logger; removing it gives back what was there before.

    Args:
        format: `console` or `json`.
        level: the least level that is written; `set_level` changes it while running.
        redactor: masks known secrets.
        stream: where to write; standard error by default.

    Example:
        >>> logs = Logs("json", "info", Redactor(spec_secrets)).install()                 # doctest: +SKIP
        >>> logs.set_level("debug")                                                       # doctest: +SKIP
    """

    def __init__(
        self,
        format: Format = "console",  # noqa: A002 - the spec's own word
        level: Level = "info",
        redactor: Redactor | None = None,
        *,
        stream: TextIO | None = None,
    ) -> None:
        self.redactor = redactor or Redactor()
        stream = stream or sys.stderr
        self._handler = logging.StreamHandler(stream)
        self._handler.setFormatter(_Json(self.redactor) if format == "json" else _Console(self.redactor, stream))
        self._level: Level = level
        self._before: list[tuple[logging.Logger, int, list[logging.Handler], bool]] = []

    def install(self) -> Logs:
        """Makes this the only output of the process."""
        root = logging.getLogger()
        if self._before:
            return self
        self._before = [_state(root), *(_state(logging.getLogger(name)) for name in _QUIET)]
        root.handlers = [self._handler]
        for name in _QUIET:
            library = logging.getLogger(name)
            library.handlers = []
            library.propagate = True
        self.set_level(self._level)
        return self

    def remove(self) -> None:
        """Gives the loggers back as they were; a second call does nothing."""
        for logger, level, handlers, propagate in self._before:
            logger.setLevel(level)
            logger.handlers = handlers
            logger.propagate = propagate
        self._before = []
        self._handler.flush()

    def __enter__(self) -> Logs:
        return self.install()

    def __exit__(self, *_: object) -> None:
        self.remove()

    def set_level(self, level: Level) -> None:
        """Changes the least level that is written, at once."""
        self._level = level
        threshold = logging.getLevelNamesMapping()[level.upper()]
        logging.getLogger().setLevel(threshold)
        for name, quiet in _QUIET.items():
            loud = logging.INFO if threshold <= logging.DEBUG and quiet == logging.WARNING else quiet
            logging.getLogger(name).setLevel(max(threshold, loud))


class LogLevel:
    """The log level as a component: `update` changes it while the environment runs."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs

    async def start(self) -> None:
        """The output is there from the process's beginning."""

    async def stop(self) -> None:
        """It stays to the process's end."""

    async def update(self, fields: Mapping[str, Any]) -> None:
        """Takes a new `level`."""
        if "level" in fields:
            self._logs.set_level(fields["level"])


def configure(*, level: Level = "info", format: Format = "console", secrets: Iterable[str] = ()) -> Logs:  # noqa: A002
    """Installs the log output of the process.

    Args:
        level: the least level that is written.
        format: `console` or `json`.
        secrets: values that must never be written.

    Returns:
        The installed output; `set_level` and `remove` belong to it, and `redactor.learn` takes further
        secrets.
    """
    return Logs(format, level, Redactor(secrets)).install()


def _state(logger: logging.Logger) -> tuple[logging.Logger, int, list[logging.Handler], bool]:
    return logger, logger.level, list(logger.handlers), logger.propagate


class _Formatter(logging.Formatter):
    """What both formats share: which fields a record has, with its secrets masked."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def _message(self, record: logging.LogRecord) -> str:
        try:
            message = record.getMessage()
        except (
            TypeError,
            ValueError,
            KeyError,
        ):  # arguments that do not fit: a record is worth more than an error
            message = f"{record.msg} {record.args!r}"
        return self._redactor.text(message)

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        fields = {name: value for name, value in vars(record).items() if name not in _OWN}
        identity = request_id.get()
        if identity is not None:
            fields.setdefault("request_id", identity)
        if (span := traceparent.get()) is not None:
            _, fields["trace_id"], fields["span_id"], _ = span.split("-")
        masked: dict[str, Any] = self._redactor.value(fields)
        return masked

    def _exception(self, record: logging.LogRecord) -> dict[str, str] | None:
        if not record.exc_info or record.exc_info[1] is None:
            return None
        error = record.exc_info[1]
        return {
            "type": f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins."),
            "message": self._redactor.text(str(error)),
            "stack": self._redactor.text("".join(traceback.format_exception(error)).rstrip()),
        }


class _Json(_Formatter):
    def __init__(self, redactor: Redactor) -> None:
        super().__init__(redactor)
        self._encoder = msgspec.json.Encoder(enc_hook=self._plain)

    def format(self, record: logging.LogRecord) -> str:
        fields = self._fields(record)
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._message(record),
        }
        line.update((name, value) for name, value in fields.items() if name not in line)
        exception = self._exception(record)
        if exception is not None:
            line["exception"] = exception
        try:
            return self._encoder.encode(line).decode()
        except (TypeError, ValueError):  # what msgspec is too strict for, such as a lone surrogate
            return json.dumps(line, default=self._plain, skipkeys=True)

    def _plain(self, value: object) -> str:
        return self._redactor.text(str(value))


class _Console(_Formatter):
    """`12:00:00.123 info  http      message  field=value`."""

    def __init__(self, redactor: Redactor, stream: TextIO) -> None:
        super().__init__(redactor)
        self._coloured = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        name = record.name.removeprefix("runtime.")
        fields = " ".join(f"{key}={_short(value)}" for key, value in self._fields(record).items())
        level = f"{record.levelname.lower():<7}"
        if self._coloured:
            level = f"{_COLOURS.get(record.levelname, '')}{level}{_RESET}"
            time = f"{_DIM}{time}{_RESET}"
            fields = f"{_DIM}{fields}{_RESET}" if fields else ""
        line = f"{time} {level} {name:<13} {_printable(self._message(record))}"
        if fields:
            line += f"  {fields}"
        exception = self._exception(record)
        if exception is not None:
            line += "\n" + "\n".join(f"    {_printable(part)}" for part in exception["stack"].splitlines())
        return line


def _printable(text: str) -> str:
    """Text that neither begins a line nor steers the terminal, whoever sent it."""
    return (
        text
        if text.isprintable()
        else "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    )


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text if text and text.isprintable() and not _QUOTED & set(text) else json.dumps(text)
