"""Telling people from code in the environment's own process that is no job."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from runtime import Audience, Environment, Fault, Notice, load

ROOT = Path(__file__).parents[2]
SPEC = {
    "version": 1,
    "name": "telling",
    "api": {"port": 0},
    "storage": {"path": "state"},
    "notifications": {
        "channels": {"email": {"kind": "smtp", "host": "embedded", "port": 0, "from": "no-reply@example.com"}},
        "categories": {"alert": {"channels": ["email"], "template": str(ROOT / "specs/templates/system-alert")}},
    },
}


async def test_a_notice_goes_out_once_for_its_key(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(json.dumps(SPEC))
    environment, ready = Environment(load(tmp_path / "spec.yaml")), anyio.Event()
    notice = Notice("alert", {"title": "Disk", "text": "It is almost full."}, key="disk-7")
    to = Audience(emails=("ada@example.com",))
    with pytest.raises(Fault, match="does not run"):
        await environment.notify(notice, to)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(environment.serve, lambda status: None, ready.set)
        await ready.wait()
        first, again = await environment.notify(notice, to), await environment.notify(notice, to)
        assert (again.id, again.known, first.deliveries) == (first.id, True, 1)
        with anyio.fail_after(20):
            while not (mails := list(environment.state.mail.glob("*.eml"))):
                await anyio.sleep(0.02)
        environment.stop()
    assert len(mails) == 1
    assert b"Subject: Alert: Disk" in mails[0].read_bytes()
