"""Applies that meet a kill, and a Vault that is another one, away or does not know a path."""

from __future__ import annotations

import json
import signal
from functools import partial
from typing import TYPE_CHECKING, Any

from runtime.testing import running
from tests.e2e.test_reapply import SPEC, TASKS, Changing
from tests.e2e.test_rotation import by_token, mail
from tests.openbao import openbao
from tests.production import await_event

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.testing import RunningEnvironment
    from tests.openbao import OpenBao

__all__ = ["openbao"]


def said(environment: RunningEnvironment, sign: str) -> bool:
    return sign in environment.output


def test_a_kill_in_the_midst_of_an_apply(tmp_path: Path) -> None:
    (tmp_path / "counting.py").write_text(TASKS)
    file, state = tmp_path / "spec.yaml", tmp_path / "state"
    small: dict[str, Any] = {**SPEC, "ai": None}
    for number, sign in enumerate(("ai.books", " holds: ")):
        file.write_text(json.dumps(small))
        with running(file, state=state) as environment:
            posted = environment.post("/v1/queues/counted/jobs", {"payload": {"number": number}, "delay": "1s"})
            changing = Changing(environment, file)
            changing.write(queues={**SPEC["queues"], "further": {"handler": "count"}})
            environment.process.send_signal(signal.SIGHUP)
            changing.until(partial(said, environment, sign))
            environment.process.kill()
            environment.process.wait()
        with running(file, state=state) as environment:
            assert environment.wait_for_job(posted.body["id"])["result"] == number
            assert environment.run_job("further", {"number": 5})["result"] == 5
            revisions = environment.get("/v1/runtime/revisions").body["items"]
            assert [each["note"] for each in revisions if each["note"]] == []
            assert revisions[0]["number"] == environment.get("/v1/runtime").body["revision"]


def test_a_vault_that_is_wrong(tmp_path: Path, openbao: OpenBao) -> None:
    name = openbao.name("mail")
    openbao.put(name, password="first-password")
    paths = {"mail": {"path": f"secret/data/{name}", "refresh": "100ms"}}
    spec: dict[str, Any] = {
        "version": 1,
        "name": "vaulted",
        "storage": {"redis": "embedded"},
        "events": {"streams": {"system": {"events": {"secret.rotated": {}}}}},
        "notifications": mail("${vault:mail#password}"),
        "secrets": by_token(openbao, **paths),
    }
    further = mail("${vault:mail#password}")
    further["channels"]["other"] = mail("${vault:new#password}")["channels"]["email"]
    file = tmp_path / "spec.yaml"
    file.write_text(json.dumps(spec))
    with running(file) as environment:
        changing = Changing(environment, file)

        def refused(**sections: Any) -> tuple[int, str, str]:
            file.write_text(json.dumps({**spec, **sections}))
            answer = changing.apply()
            places = answer.body["errors"]
            return answer.status, places[0]["pointer"], places[0]["detail"]

        elsewhere = by_token(openbao, **paths)
        elsewhere["vault"]["address"] = "http://127.0.0.1:1"
        status, pointer, why = refused(secrets=elsewhere)
        assert (status, pointer, "restart the environment" in why) == (400, "/secrets/vault/address", True)
        moved = {"mail": {**paths["mail"], "path": "secret/data/elsewhere"}}
        assert refused(secrets=by_token(openbao, **moved))[:2] == (400, "/secrets/vault/paths/mail")
        unknown = {**paths, "new": {"path": f"secret/data/{name}-new"}}
        status, pointer, _ = refused(secrets=by_token(openbao, **unknown), notifications=further)
        assert (status, pointer) == (400, "/notifications/channels/other/password")
        openbao.seal()
        try:
            status, pointer, _ = refused(secrets=by_token(openbao, **unknown), notifications=further)
            assert (status, pointer) == (503, "/secrets/vault/address")
            assert changing.command("apply").returncode == 3
        finally:
            openbao.unseal()
        assert changing.revision == 1
        openbao.put(f"{name}-new", password="another-password")
        assert changing.apply().status == 200
        openbao.put(name, password="second-password")
        event = await_event(environment, "secret.rotated", name="mail")
        assert "notifications.email" in event["data"]["components"]
        assert changing.revision == 2
        assert "-password" not in environment.output
