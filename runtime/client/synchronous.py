"""The client for programs without an event loop, such as those on Django or Flask."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

import urllib3
from urllib3.exceptions import HTTPError, ReadTimeoutError

from runtime.client import calls
from runtime.client.place import Address, lost, place_of
from runtime.errors import Fault
from runtime.services.jobs.ports import Draft

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Self, Unpack

    from runtime.services.jobs.bodies import JobAccepted
    from runtime.services.jobs.ports import JobView

T = TypeVar("T")

CONNECTIONS: Final = 32
"""Connections that are kept; more threads than that open further ones, and close them."""


class SyncClient:
    """As `Client`, in plain calls. For any number of threads, and for processes that are forked from this one.

    Args:
        spec: as `Client`, and so are the others.

    Example:
        >>> client = SyncClient("spec.yaml")                                                  # doctest: +SKIP
        >>> job = client.enqueue("images", {"image": "cat.png"})                              # doctest: +SKIP
    """

    def __init__(
        self,
        spec: str | os.PathLike[str] | None = None,
        *,
        url: str | None = None,
        api_key: str | None = None,
        patience: float = 0.0,
        timeout: float = calls.TIMEOUT,
    ) -> None:
        self._place = place_of(spec, url, api_key)
        self._address: Address | None = None
        self._patience = patience
        self._timeout = timeout
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes its connections."""
        self._pool.clear()

    def enqueue(self, queue: str, payload: Any, **options: Unpack[calls.Options]) -> JobAccepted:
        """Puts a job into a queue; when it returns, the job is stored. Arguments and errors as `Client.enqueue`."""
        return self._ask(calls.enqueue(queue, Draft(payload, **options), self._patience))

    def enqueue_all(self, queue: str, jobs: Sequence[Draft | Mapping[str, Any] | Any]) -> list[JobAccepted]:
        """Puts up to 1,000 jobs into a queue, all or none, in this order. As `Client.enqueue_all`."""
        return self._ask(calls.enqueue_all(queue, jobs, self._patience)).items

    def job(self, job_id: str) -> JobView:
        """A job: status, tries, progress, result, error. As `Client.job`."""
        return self._ask(calls.job(job_id))

    def wait(self, job_id: str, timeout: float | None = None) -> JobView:
        """A job when it has ended; `TimeoutError` where it has not in so many seconds. As `Client.wait`."""
        until = None if timeout is None else time.monotonic() + timeout
        tries = calls.Tries(self._patience)
        while True:
            try:
                if (ended := self._followed(job_id, until)) is not None:
                    return ended
                tries = calls.Tries(self._patience)
            except Fault as fault:
                pause = tries.pause(fault)
                if until is not None and time.monotonic() + pause >= until:
                    raise TimeoutError from fault
                time.sleep(pause)

    def cancel(self, job_id: str) -> JobAccepted:
        """Cancels a job: at once where it waits, within about a second where it runs. As `Client.cancel`."""
        return self._ask(calls.cancel(job_id, self._patience))

    def retry(self, job_id: str) -> JobAccepted:
        """Puts a failed job back into its queue. As `Client.retry`."""
        return self._ask(calls.retry(job_id, self._patience))

    def _ask(self, call: calls.Call[T]) -> T:
        tries = calls.Tries(self._patience)
        while True:
            try:
                return self._asked(call)
            except Fault as fault:
                pause = tries.pause(fault)
            time.sleep(pause)

    def _asked(self, call: calls.Call[T]) -> T:
        address = self._found()
        try:
            answer = self._sent(call, address, self._timeout)
        except (HTTPError, OSError) as error:
            raise self._lost(address, error) from error
        return call.read(address, answer.status, answer.headers, answer.data)

    def _followed(self, job_id: str, until: float | None) -> JobView | None:
        """The job when it has ended; None where the stream has ended before.

        Raises:
            TimeoutError: it has not ended in time.
        """
        address, call, changes = self._found(), calls.watch(job_id), calls.Changes()
        left = calls.SILENCE if until is None else until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        try:
            answer = self._sent(call, address, min(calls.SILENCE, left), stream=True)
            try:
                if answer.status != 200:
                    return call.read(address, answer.status, answer.headers, answer.read())
                for block in answer.stream():
                    if (ended := changes.ended(block)) is not None:
                        return ended
                    if until is not None and time.monotonic() >= until:
                        raise TimeoutError
            finally:
                answer.close()
        except ReadTimeoutError as error:
            if until is not None and time.monotonic() >= until:
                raise TimeoutError from error
            raise self._lost(address, error) from error
        except (HTTPError, ConnectionError) as error:
            raise self._lost(address, error) from error
        return None

    def _sent(
        self, call: calls.Call[T], address: Address, timeout: float, *, stream: bool = False
    ) -> urllib3.BaseHTTPResponse:
        if self._process != os.getpid():  # the parent's connections are the parent's
            self._open()
        return self._pool.request(
            call.method,
            address.url + call.path,
            body=call.body,
            headers=call.headers(address),
            timeout=urllib3.Timeout(connect=self._timeout, read=timeout),
            preload_content=not stream,
        )

    def _open(self) -> None:
        self._process = os.getpid()
        self._pool = urllib3.PoolManager(maxsize=CONNECTIONS, retries=False)

    def _found(self) -> Address:
        if self._address is None:
            self._address = self._place.look()
        return self._address

    def _lost(self, address: Address, error: BaseException) -> Fault:
        self._address = None  # it may come back at another port
        late = isinstance(error, ReadTimeoutError)
        return lost(self._place, address, "no answer in time" if late else str(error) or type(error).__name__)


def enqueue_sync(
    queue: str,
    payload: Any,
    *,
    spec: str | os.PathLike[str] | None = None,
    url: str | None = None,
    api_key: str | None = None,
    patience: float = 0.0,
    **options: Unpack[calls.Options],
) -> JobAccepted:
    """As `enqueue`, in a plain call; see `SyncClient`, which keeps its connections.

    Example:
        >>> enqueue_sync("images", {"image": "cat.png"}, spec="spec.yaml")                     # doctest: +SKIP
    """
    with SyncClient(spec, url=url, api_key=api_key, patience=patience) as client:
        return client.enqueue(queue, payload, **options)
