"""References into a real Vault: how the runtime signs in, what it reads, and what it says when it cannot."""

from __future__ import annotations

import http.server
import json
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runtime.cli.main import main
from runtime.errors import SpecFault
from runtime.loading import Loaded, load
from tests.openbao import ROOT, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.openbao import OpenBao

CERTIFICATE = Path(__file__).parents[2] / "storage" / "localhost.pem"
READ_ALL = 'path "secret/data/*" { capabilities = ["read"] }'


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "spec.yaml"


def write(spec: Path, vault: dict[str, Any], **wanted: str) -> str:
    """A spec that wants texts of Vault, as the payload of a schedule."""
    payload = {name: f"${{vault:{reference}}}" for name, reference in wanted.items()}
    data = {
        "version": 1,
        "name": "shop",
        "secrets": {"vault": vault},
        "schedules": {"s": {"queue": "export", "cron": "1 1 1 1 1", "payload": payload}},
    }
    spec.write_text(json.dumps(data))
    return spec.name


def read(spec: Path, vault: dict[str, Any], environ: dict[str, str] | None = None, **wanted: str) -> dict[str, Any]:
    loaded = load(write(spec, vault, **wanted), environ or {})
    return dict(loaded.spec.schedules["s"].payload)


def complaints(spec: Path, vault: dict[str, Any], **wanted: str) -> list[str]:
    with pytest.raises(SpecFault) as caught:
        load(write(spec, vault, **wanted), {})
    return [f"{found.path}: {found.message}" for found in caught.value.diagnostics]


def by_token(openbao: OpenBao, token: str = ROOT, **more: Any) -> dict[str, Any]:
    return {"address": openbao.url, "auth": {"method": "token", "token": token}, **more}


def test_values_of_kv2_with_versions_names_and_raw_paths(spec: Path, openbao: OpenBao) -> None:
    path = openbao.name("app")
    openbao.put(path, password="old", port=5432, on=True)
    openbao.put(path, password="new", port=5432, on=True)
    vault = by_token(
        openbao, paths={"db": {"path": f"secret/data/{path}"}, "was": {"path": f"secret/data/{path}", "version": 1}}
    )
    found = read(
        spec, vault, a="db#password", b="was#password", c=f"secret/data/{path}#password?version=1",
        d=f"secret/data/{path}#port", e="db#on",
    )  # fmt: skip
    assert found == {"a": "new", "b": "old", "c": "old", "d": "5432", "e": "true"}


def test_kv1(spec: Path, openbao: OpenBao) -> None:
    mount = openbao.mount("kv", options={"version": "1"})
    openbao.call("POST", f"{mount}/app", {"password": "plain"})
    vault = by_token(openbao, paths={"app": {"path": f"{mount}/app", "engine": "kv1"}})
    assert read(spec, vault, a="app#password", b=f"{mount}/app#password") == {"a": "plain", "b": "plain"}


def test_what_is_known_of_each_reference(spec: Path, openbao: OpenBao) -> None:
    path = openbao.name("app")
    openbao.put(path, password="pw-of-check")
    loaded: Loaded = load(write(spec, by_token(openbao), a=f"secret/data/{path}#password"), {})
    (use,) = loaded.uses
    assert use.origin is not None
    assert (use.origin.kind, use.origin.name, use.origin.version) == ("vault", f"secret/data/{path}#password", "1")
    assert abs((use.origin.since or 0) - time.time()) < 60
    assert "pw-of-check" in loaded.secrets
    assert "pw-of-check" not in repr(loaded)


def test_a_reference_in_a_default_is_read_only_when_it_is_needed(spec: Path, openbao: OpenBao) -> None:
    data: dict[str, Any] = {"version": 1, "name": "shop", "secrets": {"vault": by_token(openbao)}}
    data["api"] = {"host": "${HOST:-${vault:secret/data/none#host}}"}
    spec.write_text(json.dumps(data))
    assert load(spec.name, {"HOST": "10.0.0.1"}).spec.api.host == "10.0.0.1"
    with pytest.raises(SpecFault, match="1 error"):
        load(spec.name, {})


# -- signing in ------------------------------------------------------------------------------------------------------


def test_approle_and_a_wrapped_secret_id(spec: Path, openbao: OpenBao) -> None:
    path = openbao.name("app")
    openbao.put(path, password="pw")
    role, role_id = openbao.approle(openbao.policy(READ_ALL))
    auth = {"method": "approle", "role_id": role_id, "secret_id": openbao.secret_id(role)}
    assert read(spec, {"address": openbao.url, "auth": auth}, a=f"secret/data/{path}#password") == {"a": "pw"}
    wrapped = {**auth, "secret_id": openbao.wrapped_secret_id(role), "wrapped": True}
    assert read(spec, {"address": openbao.url, "auth": wrapped}, a=f"secret/data/{path}#password") == {"a": "pw"}
    (again,) = complaints(spec, {"address": openbao.url, "auth": wrapped}, a=f"secret/data/{path}#password")
    assert again.startswith("secrets.vault.auth: Vault denies unwrapping the secret id")
    assert "was used before; issue a new one" in again


def test_jwt(spec: Path, openbao: OpenBao) -> None:
    import jwt
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    mount = openbao.name("jwt")
    openbao.call("POST", f"sys/auth/{mount}", {"type": "jwt"})
    openbao.call("POST", f"auth/{mount}/config", {"jwt_validation_pubkeys": [public.decode()]})
    openbao.call(
        "POST", f"auth/{mount}/role/core",
        {
            "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["core"],
            "token_policies": [openbao.policy(READ_ALL)],
        },
    )  # fmt: skip
    path = openbao.name("app")
    openbao.put(path, password="pw")

    def auth(audience: str) -> dict[str, Any]:
        token = jwt.encode({"sub": "runner", "aud": audience, "exp": time.time() + 60}, key, algorithm="ES256")
        return {"method": "jwt", "role": "core", "mount": mount, "token": token}

    found = read(spec, {"address": openbao.url, "auth": auth("core")}, a=f"secret/data/{path}#password")
    assert found == {"a": "pw"}
    (refused,) = complaints(spec, {"address": openbao.url, "auth": auth("other")}, a=f"secret/data/{path}#password")
    assert refused.startswith("secrets.vault.auth: Vault refuses signing in by jwt: ")
    assert "check secrets.vault.auth and the role at Vault" in refused


def test_kubernetes(spec: Path, openbao: OpenBao) -> None:
    """OpenBao asks a server that reviews tokens as Kubernetes' own does."""
    good, other = pod_token("core"), pod_token("another")
    with reviewing(good) as address:
        mount = openbao.name("kubernetes")
        openbao.call("POST", f"sys/auth/{mount}", {"type": "kubernetes"})
        openbao.call(
            "POST", f"auth/{mount}/config",
            {"kubernetes_host": address, "kubernetes_ca_cert": certificate(), "token_reviewer_jwt": "reviewer"},
        )  # fmt: skip
        openbao.call(
            "POST", f"auth/{mount}/role/core",
            {
                "bound_service_account_names": ["core"], "bound_service_account_namespaces": ["prod"],
                "token_policies": [openbao.policy(READ_ALL)],
            },
        )  # fmt: skip
        path = openbao.name("app")
        openbao.put(path, password="pw")
        token = spec.parent / "token"
        vault = {
            "address": openbao.url,
            "auth": {"method": "kubernetes", "role": "core", "mount": mount, "token_file": "token"},
        }
        (absent,) = complaints(spec, vault, a=f"secret/data/{path}#password")
        assert "cannot read the service account's token" in absent
        token.write_text(f"{good}\n")
        assert read(spec, vault, a=f"secret/data/{path}#password") == {"a": "pw"}
        token.write_text(other)
        (refused,) = complaints(spec, vault, a=f"secret/data/{path}#password")
        assert refused.startswith("secrets.vault.auth: Vault denies signing in by kubernetes")


def pod_token(account: str) -> str:
    """What Kubernetes mounts into a pod."""
    import jwt
    from cryptography.hazmat.primitives.asymmetric import ec

    of = "kubernetes.io/serviceaccount"
    claims = {
        "iss": "kubernetes/serviceaccount",
        f"{of}/namespace": "prod",
        f"{of}/service-account.name": account,
        f"{of}/service-account.uid": "u-1",
        f"{of}/secret.name": "token",
        "sub": f"system:serviceaccount:prod:{account}",
    }
    return jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), algorithm="ES256")


def certificate() -> str:
    """Any: the reviews are asked for over plain HTTP."""
    text = CERTIFICATE.read_text()
    return text[text.index("-----BEGIN CERTIFICATE") :]


@contextmanager
def reviewing(good: str) -> Iterator[str]:
    """Kubernetes' TokenReview, for one service account."""

    class Reviews(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = review["spec"]["token"] == good
            user = {"username": "system:serviceaccount:prod:core", "uid": "u-1", "groups": []}
            status = {"authenticated": True, "user": user} if known else {"authenticated": False}
            kinds = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"}
            body = json.dumps({**kinds, "status": status}).encode()
            self.send_response(201)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Reviews) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


# -- what is refused -------------------------------------------------------------------------------------------------


def test_all_that_is_wrong_at_vault_is_one_list(spec: Path, openbao: OpenBao) -> None:
    path, gone = openbao.name("app"), openbao.name("gone")
    openbao.put(path, password="hush-hush", tags=["a"], note=None)
    openbao.put(gone, password="hush-hush")
    openbao.call("DELETE", f"secret/data/{gone}")
    wrong = complaints(
        spec, by_token(openbao, paths={"app": {"path": f"secret/data/{path}"}}),
        absent="secret/data/no/such#x", deleted=f"secret/data/{gone}#password", field="app#pasword",
        kind="app#tags", mount="nowhere/x#y", old="app#password?version=9", plain=f"secret/{path}#password",
        void="app#note",
    )  # fmt: skip
    at = "schedules.s.payload"
    assert wrong == [
        f"{at}.absent: Vault has no secret at secret/data/no/such; write it with `vault kv put`, or correct the path",
        f"{at}.deleted: version 1 of secret/data/{gone} was deleted; undelete it or write a new one",
        f'{at}.field: the secret at secret/data/{path} has no field "pasword"; did you mean "password"?',
        f'{at}.kind: the field "tags" of secret/data/{path} is a list; a secret is a text, store it as one',
        f"{at}.mount: no engine is mounted at Vault for nowhere/x; mount one or correct the path",
        f"{at}.old: Vault has no version 9 of secret/data/{path}; write a version that exists, or none for the newest",
        f'{at}.plain: secret/{path} is in an engine of KV version 2, whose paths have a "data"; '
        f"write secret/data/{path}",
        f'{at}.void: the field "note" of secret/data/{path} is null; a secret is a text, store it as one',
    ]
    assert "hush-hush" not in str(wrong)


def test_each_failure_has_its_place_in_the_file(spec: Path, openbao: OpenBao) -> None:
    spec.write_text(
        f"version: 1\nname: shop\nsecrets:\n  vault:\n    address: {openbao.url}\n"
        f"    auth: {{method: token, token: {ROOT}}}\n"
        'observability:\n  errors: {dsn: "https://${vault:secret/data/none#user}@errors"}\n'
    )
    with pytest.raises(SpecFault) as caught:
        load(spec.name, {})
    (found,) = caught.value.diagnostics
    assert (found.file, found.line, found.column) == ("spec.yaml", 8, 26)
    assert ROOT not in found.snippet


def test_a_policy_that_denies_and_a_token_that_has_expired(spec: Path, openbao: OpenBao) -> None:
    path = openbao.name("app")
    openbao.put(path, password="pw")
    (denied,) = complaints(spec, by_token(openbao, openbao.token("default")), a=f"secret/data/{path}#password")
    assert denied == (
        f"schedules.s.payload.a: the policy of our token does not allow reading secret/data/{path}; "
        f'add to it: path "secret/data/{path}" {{ capabilities = ["read"] }}'
    )
    (bad,) = complaints(spec, by_token(openbao, "s.not-a-token"), a=f"secret/data/{path}#password")
    assert bad == (
        "secrets.vault.auth: Vault denies signing in by token: the credential is wrong, has expired or was used before"
        f"; issue a new one (needed for secret/data/{path}#password)"
    )


def test_a_server_that_is_sealed_away_or_none(spec: Path, free_port: int) -> None:
    with running() as own:
        own.put("app", password="pw")
        own.seal()
        (sealed,) = complaints(spec, by_token(own), a="secret/data/app#password")
        assert sealed.startswith(f"secrets.vault.address: Vault at {own.url} is sealed or stands by; unseal it")
        assert main(["secrets", "check", str(spec)]) == 3
    vault = {"address": f"http://127.0.0.1:{free_port}", "auth": {"method": "token", "token": "t"}}
    (away,) = complaints(spec, vault, a="secret/data/app#password")
    assert away.startswith(
        f"secrets.vault.address: cannot reach Vault at http://127.0.0.1:{free_port}: connection refused; start it"
    )
    assert main(["apply", str(spec)]) == 3
    with answering(b"<html>hello</html>", "text/html") as address:
        (other,) = complaints(spec, {**vault, "address": address}, a="secret/data/app#password")
        assert f"what answers at {address} is no Vault" in other
        assert main(["secrets", "check", str(spec)]) == 1
    with answering(b'{"data": {"id": 7}}', "application/json") as address:
        (other,) = complaints(spec, {**vault, "address": address}, a="secret/data/app#password")
        assert f"what answers at {address} is no Vault" in other


@contextmanager
def answering(body: bytes, kind: str) -> Iterator[str]:
    """A server that gives the same answer to all."""

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_tls_is_verified(spec: Path) -> None:
    with running(tls=True) as own:
        assert own.ca is not None
        import ssl
        import urllib.request

        context = ssl.create_default_context(cafile=str(own.ca))
        request = urllib.request.Request(
            f"{own.url}/v1/secret/data/app", method="POST", data=b'{"data": {"password": "pw"}}',
            headers={"X-Vault-Token": ROOT},
        )  # fmt: skip
        urllib.request.urlopen(request, context=context).close()
        (untrusted,) = complaints(spec, by_token(own), a="secret/data/app#password")
        assert untrusted.startswith(f"secrets.vault.address: the certificate of Vault at {own.url} is not trusted; ")
        (spec.parent / "ca.pem").write_bytes(own.ca.read_bytes())
        assert read(spec, by_token(own, ca="ca.pem"), a="secret/data/app#password") == {"a": "pw"}
        plain = {**by_token(own), "address": own.url.replace("https", "http")}
        (wrong,) = complaints(spec, plain, a="secret/data/app#password")
        assert "is no Vault" in wrong


def test_a_namespace(spec: Path, openbao: OpenBao) -> None:
    space = openbao.name("team")
    openbao.call("POST", f"sys/namespaces/{space}", {})
    openbao.call("POST", f"{space}/sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
    openbao.call("POST", f"{space}/kv/data/app", {"data": {"password": "of-the-team"}})
    vault = by_token(openbao, namespace=space)
    assert read(spec, vault, a="kv/data/app#password") == {"a": "of-the-team"}
    (wrong,) = complaints(spec, by_token(openbao, namespace="none"), a="kv/data/app#password")
    assert 'Vault has no namespace "none"' in wrong
