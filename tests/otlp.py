"""A collector of traces: an HTTP server that reads what it is sent with OpenTelemetry's own classes."""

from __future__ import annotations

import gzip
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Received:
    """A span as it came.

    Attributes:
        kind: OpenTelemetry's number: 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
        failed: whether its status is an error.
    """

    trace: str
    id: str
    parent: str
    name: str
    kind: int
    failed: bool
    about: dict[str, Any]
    resource: dict[str, Any]


class Collector:
    """The server."""

    def __init__(self) -> None:
        self.spans: list[Received] = []
        self.headers: list[dict[str, str]] = []
        self._came = threading.Condition()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers["Content-Encoding"] == "gzip":
                    body = gzip.decompress(body)
                collector.take(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        assert path == "/v1/traces"
        assert headers["content-type"] == "application/x-protobuf"
        request = ExportTraceServiceRequest.FromString(body)
        with self._came:
            self.headers.append(headers)
            for part in request.resource_spans:
                resource = _plain(part.resource.attributes)
                self.spans += [_span(span, resource) for scope in part.scope_spans for span in scope.spans]
            self._came.notify_all()

    def wait(self, wanted: Callable[[list[Received]], bool], seconds: float = 15.0) -> list[Received]:
        """All that has come, as soon as it is what is wanted."""
        with self._came:
            assert self._came.wait_for(lambda: wanted(self.spans), seconds), [span.name for span in self.spans]
            return list(self.spans)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def collector() -> Iterator[Collector]:
    made = Collector()
    try:
        yield made
    finally:
        made.close()


def _span(span: Any, resource: dict[str, Any]) -> Received:
    return Received(
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.name,
        span.kind,
        span.status.code == 2,
        _plain(span.attributes),
        resource,
    )


def _plain(attributes: Any) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: Any) -> Any:
    which = value.WhichOneof("value")
    if which == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, which)
