"""The HTTP API: Litestar on an embedded uvicorn, and what every route of it shares.

It imports no service: the environment hands it the services' controllers and the ports that their handlers
ask for.

How a controller is written:

    from typing import Any

    from litestar import Controller, get, post
    from litestar.params import FromPath, JSONBody

    from runtime.http.access import scope
    from runtime.http.paging import After, Limit, Page
    from runtime.http.ports import Port
    from runtime.http.sse import EventStream, ServerEvent

    class JobsController(Controller):
        path = "/v1/jobs"
        tags = ["jobs"]

        @get("/{job_id:str}", opt=scope("jobs:read"))
        async def show(self, job_id: FromPath[str], jobs: Port[Jobs]) -> JobView: ...

        @get("/{job_id:str}/watch", opt=scope("jobs:read"), media_type="text/event-stream")
        async def watch(self, job_id: FromPath[str], jobs: Port[Jobs]) -> EventStream:
            return EventStream(jobs.watch(job_id), lambda view: ServerEvent(None, "job", view))

Every route says who may call it: `opt=scope("…")` or `opt=OPEN`; an application with a route that says
neither does not start. Errors are raised, as classes of `runtime.errors`; `problems.py` turns them into
answers. Such a module must not use `from __future__ import annotations` names that exist for type checkers
only: Litestar reads the annotations at run time.
"""
