"""The client for programs with an event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp

from runtime.client import calls
from runtime.client.place import Address, lost, place_of
from runtime.errors import Fault
from runtime.services.jobs.ports import Draft

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Self, Unpack

    from runtime.services.jobs.bodies import JobAccepted
    from runtime.services.jobs.ports import JobView

T = TypeVar("T")


class Client:
    """Puts jobs into the queues of an environment, and looks at them. It belongs to one event loop.

    Without arguments, the environment variables RUNTIME_SPEC, or RUNTIME_URL and RUNTIME_API_KEY, say which one.

    Args:
        spec: the file of an environment that runs on this machine; its operator's key is used.
        url: the address of one elsewhere.
        api_key: the key for it, with the scope `jobs:write`, and `jobs:read` for looking at jobs.
        patience: seconds for which a call is sent again while the environment, or its Redis, is away, or a limit is
            reached; the job is stored once all the same. 0 fails at once.
        timeout: seconds that an answer may take.

    Raises:
        UsageFault: nothing says which environment.

    Example:
        >>> async with Client("spec.yaml") as client:                                         # doctest: +SKIP
        ...     job = await client.enqueue("images", {"image": "cat.png"}, delay="10s")
        ...     ended = await client.wait(job.id)
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
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes its connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def enqueue(self, queue: str, payload: Any, **options: Unpack[calls.Options]) -> JobAccepted:
        """Puts a job into a queue; when it returns, the job is stored.

        Args:
            queue: the queue's name in the spec.
            payload: what its task gets: a mapping, a dataclass, a msgspec Struct or a pydantic model.
            options: see `Draft`.

        Raises:
            Invalid: the payload or an option is wrong, with a pointer to each wrong place (`errors`).
            NotFound: no such queue; with the nearest name.
            Conflict: an unfinished job has its key.
            TooLarge: the payload is over 1 MB as JSON.
            NotBuilt: the queue's handler is not built in this version.
            TooMany: the key's limit of requests is reached.
            Unauthenticated, Forbidden: the key is wrong, or may not do that.
            NotRunning: the spec does not run.
            Unreachable: the environment, or its Redis, does not answer; it may have stored the job.
        """
        return await self._ask(calls.enqueue(queue, Draft(payload, **options), self._patience))

    async def enqueue_all(self, queue: str, jobs: Sequence[Draft | Mapping[str, Any] | Any]) -> list[JobAccepted]:
        """Puts up to 1,000 jobs into a queue, all or none, in this order.

        Args:
            queue: the queue's name in the spec.
            jobs: payloads, or drafts with options.

        Raises:
            As `enqueue`; pointers begin with `/jobs/<place>`.
        """
        return (await self._ask(calls.enqueue_all(queue, jobs, self._patience))).items

    async def job(self, job_id: str) -> JobView:
        """A job: status, tries, progress, result, error.

        Raises:
            NotFound: no such job, or it is no longer kept. Others as `enqueue`.
        """
        return await self._ask(calls.job(job_id))

    async def wait(self, job_id: str, timeout: float | None = None) -> JobView:
        """A job when it has ended: completed, failed or cancelled.

        Args:
            timeout: seconds to wait; None for as long as it takes.

        Raises:
            TimeoutError: it has not ended in time; it goes on.
            As `job`.
        """
        async with asyncio.timeout(timeout):
            tries = calls.Tries(self._patience)
            while True:
                try:
                    if (ended := await self._followed(job_id)) is not None:
                        return ended
                    tries = calls.Tries(self._patience)
                except Fault as fault:
                    await asyncio.sleep(tries.pause(fault))

    async def cancel(self, job_id: str) -> JobAccepted:
        """Cancels a job: at once where it waits, within about a second where it runs.

        Raises:
            Conflict: it has completed or failed. Others as `job`.
        """
        return await self._ask(calls.cancel(job_id, self._patience))

    async def retry(self, job_id: str) -> JobAccepted:
        """Puts a failed job back into its queue.

        Raises:
            Conflict: it has not failed. Others as `job`.
        """
        return await self._ask(calls.retry(job_id, self._patience))

    async def _ask(self, call: calls.Call[T]) -> T:
        tries = calls.Tries(self._patience)
        while True:
            try:
                return await self._asked(call)
            except Fault as fault:
                pause = tries.pause(fault)
            await asyncio.sleep(pause)

    async def _asked(self, call: calls.Call[T]) -> T:
        address = await self._found()
        try:
            async with self._opened(call, address, self._timeout) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise await asyncio.to_thread(self._lost, address, error) from error
        return call.read(address, answer.status, answer.headers, body)

    async def _followed(self, job_id: str) -> JobView | None:
        """The job when it has ended; None where the stream has ended before."""
        address, call, changes = await self._found(), calls.watch(job_id), calls.Changes()
        silence = aiohttp.ClientTimeout(sock_connect=self._timeout.total, sock_read=calls.SILENCE)
        try:
            async with self._opened(call, address, silence) as answer:
                if answer.status != 200:
                    return call.read(address, answer.status, answer.headers, await answer.read())
                async for block in answer.content.iter_any():
                    if (ended := changes.ended(block)) is not None:
                        return ended
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise await asyncio.to_thread(self._lost, address, error) from error
        return None

    def _opened(self, call: calls.Call[T], address: Address, timeout: aiohttp.ClientTimeout) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        return self._session.request(
            call.method,
            address.url + call.path,
            data=call.body,
            headers=call.headers(address),
            timeout=timeout,
            allow_redirects=False,
        )

    async def _found(self) -> Address:
        if self._address is None:
            self._address = await asyncio.to_thread(self._place.look)
        return self._address

    def _lost(self, address: Address, error: BaseException) -> Fault:
        self._address = None  # it may come back at another port
        late = isinstance(error, TimeoutError)
        return lost(self._place, address, "no answer in time" if late else str(error) or type(error).__name__)


async def enqueue(
    queue: str,
    payload: Any,
    *,
    spec: str | os.PathLike[str] | None = None,
    url: str | None = None,
    api_key: str | None = None,
    patience: float = 0.0,
    **options: Unpack[calls.Options],
) -> JobAccepted:
    """Puts one job into a queue, over a connection that is opened for it; see `Client`, which keeps one.

    Example:
        >>> await enqueue("images", {"image": "cat.png"}, spec="spec.yaml", key="cat.png")     # doctest: +SKIP
    """
    async with Client(spec, url=url, api_key=api_key, patience=patience) as client:
        return await client.enqueue(queue, payload, **options)
