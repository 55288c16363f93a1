"""HashiCorp Vault or OpenBao over its HTTP API, by hvac.

hvac reads tokens and addresses out of the environment and out of the home folder where it is given none: everything is
given here.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hvac

from runtime.services.secrets.adapters.vault_errors import told
from runtime.services.secrets.backend import Life, Reading, VaultFault
from runtime.services.secrets.spec import AppRoleAuth, JwtAuth, KubernetesAuth, TokenAuth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime.services.secrets.spec import VaultSpec

_VERSIONED = re.compile(r"^(?P<mount>.+?)/data/(?P<rest>.+)$")


class Vault:
    """One server, and our session at it; implements `VaultBackend`.

    Args:
        spec: the section `secrets.vault`, its references resolved.
    """

    def __init__(self, spec: VaultSpec) -> None:
        self._spec = spec
        self._client = self._made("")
        self._ours = False
        """Whether the token was made for us, so that we may revoke it."""
        self._unwrapped = ""

    @property
    def token(self) -> str:
        return str(self._client.token or "")

    def sign_in(self) -> Life:
        """Gets a token by the method of the spec.

        Raises:
            VaultFault: it does not answer, or does not let us in.
        """
        auth = self._spec.auth
        with told(self._spec, "auth", f"signing in by {auth.method}"):
            if isinstance(auth, TokenAuth):
                self._client = self._made(auth.token.get_secret_value())
                self._ours = False
                data = _mapping(self._client.auth.token.lookup_self(), "data")
                return Life(int(data["ttl"]), bool(data.get("renewable")))
            client = self._made("")
            found = _mapping(self._signed_in(client, auth), "auth")
            client.token = str(found["client_token"])
            life = _life(found)
        self._client, self._ours = client, True
        return life

    def renew(self) -> Life:
        with told(self._spec, "auth", "renewing our token"):
            return _life(_mapping(self._client.auth.token.renew_self(), "auth"))

    def knows_us(self) -> bool:
        try:
            with told(self._spec, "auth", "looking our token up"):
                self._client.auth.token.lookup_self()
        except VaultFault as fault:
            if fault.kind == "denied":
                return False
            raise
        return True

    def leave(self) -> None:
        if self._ours and self._client.token:
            with told(self._spec, "auth", "giving our token back"):
                self._client.auth.token.revoke_self()
        self._client.token = None

    def read(self, path: str, version: int | None = None) -> Reading:
        """What stands at a path, whichever engine serves it.

        Raises:
            VaultFault: nothing stands there, we may not read it, or Vault does not answer.
        """
        with told(self._spec, "address", "reading", path=path, version=version):
            params = {"version": version} if version else None
            body = _body(self._client.adapter.get(f"/v1/{path}", params=params))
            data = _mapping(body, "data")
            life = Life(int(body.get("lease_duration") or 0), bool(body.get("renewable")))
            lease = str(body.get("lease_id") or "")
            metadata = data.get("metadata")
            if set(data) == {"data", "metadata"} and isinstance(metadata, dict) and "version" in metadata:
                written = _unix(metadata.get("created_time"))
                return Reading(_mapping(data, "data"), int(metadata["version"]), written)
            return Reading(data, lease=lease, life=life if lease else Life(0, False))

    def newest(self, path: str) -> int:
        match = _VERSIONED.match(path)
        if match is None:
            raise VaultFault("refused", f"{path} is no path of KV version 2", "paths")
        with told(self._spec, "address", "reading the metadata of", path=path):
            found = _body(self._client.adapter.get(f"/v1/{match['mount']}/metadata/{match['rest']}"))
            data = _mapping(found, "data")
            number = int(data["current_version"])
            version = (data.get("versions") or {}).get(str(number)) or {}
            return 0 if version.get("destroyed") or version.get("deletion_time") else number

    def renew_lease(self, lease: str) -> Life:
        with told(self._spec, "auth", "renewing a lease"):
            return _life(_body(self._client.sys.renew_lease(lease_id=lease)))

    def encrypt(self, mount: str, key: str, plaintext: bytes, associated: bytes) -> str:
        body = {"plaintext": _base64(plaintext), "associated_data": _base64(associated)}
        return str(self._transit("encrypt", mount, key, body)["ciphertext"])

    def decrypt(self, mount: str, key: str, ciphertext: str, associated: bytes) -> bytes:
        body = {"ciphertext": ciphertext, "associated_data": _base64(associated)}
        try:
            return base64.b64decode(self._transit("decrypt", mount, key, body)["plaintext"], validate=True)
        except (binascii.Error, TypeError) as error:
            raise VaultFault("garbled", f"transit answered {mount}/{key} with what is no base64") from error

    def rotate(self, mount: str, key: str) -> int:
        with told(self._spec, "address", "rotating", path=f"{mount}/keys/{key}"):
            self._client.secrets.transit.rotate_key(name=key, mount_point=mount)
        return self.key_version(mount, key)

    def key_version(self, mount: str, key: str) -> int:
        with told(self._spec, "address", "reading", path=f"{mount}/keys/{key}"):
            found = _body(self._client.secrets.transit.read_key(name=key, mount_point=mount))
            return int(_mapping(found, "data")["latest_version"])

    def _transit(self, action: str, mount: str, key: str, body: Mapping[str, str]) -> Mapping[str, Any]:
        path = f"{mount}/{action}/{key}"
        with told(self._spec, "address", f"{action}ing with", path=path):
            return _mapping(_body(self._client.adapter.post(f"/v1/{path}", json=dict(body))), "data")

    def _signed_in(self, client: hvac.Client, auth: AppRoleAuth | KubernetesAuth | JwtAuth) -> Mapping[str, Any]:
        if isinstance(auth, AppRoleAuth):
            role = auth.role_id.get_secret_value()
            return _body(client.auth.approle.login(role, self._secret_id(auth), mount_point=auth.mount))
        if isinstance(auth, JwtAuth):
            token = auth.token.get_secret_value()
            return _body(client.auth.jwt.jwt_login(auth.role, token, path=auth.mount))
        try:
            token = Path(auth.token_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise VaultFault(
                "refused",
                f"cannot read the service account's token {auth.token_file}: {reason}; "
                "set secrets.vault.auth.token_file to where it is mounted",
                "auth",
            ) from error
        return _body(client.auth.kubernetes.login(auth.role, token, mount_point=auth.mount))

    def _secret_id(self, auth: AppRoleAuth) -> str:
        """The role's secret; a wrapped one can be unwrapped a single time, so it is kept."""
        given = auth.secret_id.get_secret_value()
        if not auth.wrapped:
            return given
        if not self._unwrapped:
            with told(self._spec, "auth", "unwrapping the secret id"):
                found = _mapping(_body(self._made(given).sys.unwrap()), "data")
                self._unwrapped = str(found["secret_id"])
        return self._unwrapped

    def _made(self, token: str) -> hvac.Client:
        spec = self._spec
        client = hvac.Client(
            url=spec.address,
            token="-",  # noqa: S106 - none at all would let hvac look for one
            verify=str(spec.ca) if spec.ca else True,
            timeout=spec.timeout,
            namespace=spec.namespace or "",
        )
        client.token = token or None
        return client


def _body(answer: Any) -> Mapping[str, Any]:
    """An answer as an object; hvac hands over a response where it is none."""
    if isinstance(answer, dict):
        return answer
    raise ValueError("the answer is no JSON object")


def _mapping(answer: Any, key: str) -> Mapping[str, Any]:
    found = _body(answer).get(key)
    if isinstance(found, dict):
        return found
    raise ValueError(f"the answer has no object {key!r}")


def _life(found: Mapping[str, Any]) -> Life:
    return Life(int(found.get("lease_duration") or 0), bool(found.get("renewable")))


def _unix(time: Any) -> float | None:
    try:
        return datetime.fromisoformat(re.sub(r"\.(\d{1,6})\d*", r".\1", str(time))).timestamp()
    except ValueError:
        return None


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def connect(spec: VaultSpec) -> Vault:
    """A server by its section; nothing is sent yet."""
    return Vault(spec)
