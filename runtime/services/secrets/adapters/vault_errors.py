"""What goes wrong at Vault, in words that say what to do.

Vault's own words are repeated for what it refuses; never the text of an answer, which may hold a secret.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import requests
from hvac import exceptions

from runtime.services.secrets.backend import VaultFault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.services.secrets.spec import VaultSpec


@contextmanager
def told(spec: VaultSpec, key: str, doing: str, *, path: str = "", version: int | None = None) -> Iterator[None]:
    """Turns whatever hvac and requests raise into a `VaultFault`.

    Args:
        spec: the section `secrets.vault`.
        key: the field of it that a refusal has to do with.
        doing: what is being done, "renewing our token".
        path: the path at Vault that is meant.
        version: the version of it.
    """
    try:
        yield
    except requests.exceptions.SSLError as error:
        raise _untrusted(spec, error) from None
    except requests.exceptions.Timeout:
        reason = f"Vault at {spec.address} did not answer within {spec.timeout:g} s; check that it runs"
        raise VaultFault("away", reason) from None
    except requests.exceptions.ConnectionError as error:
        reason = f"cannot reach Vault at {spec.address}: {_cause(error)}; start it or correct secrets.vault.address"
        raise VaultFault("away", reason) from None
    except requests.exceptions.RequestException as error:
        reason = f"cannot ask Vault at {spec.address}: {type(error).__name__}; correct secrets.vault.address"
        raise VaultFault("away", reason) from None
    except exceptions.VaultError as error:
        raise _refusal(spec, key, f"{doing} {path}".strip(), path, version, error) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise VaultFault("garbled", _garbled(spec, doing, path)) from None


def _refusal(
    spec: VaultSpec, key: str, doing: str, path: str, version: int | None, error: exceptions.VaultError
) -> VaultFault:
    said = _said(error)
    if isinstance(error, exceptions.VaultDown | exceptions.BadGateway | exceptions.VaultNotInitialized):
        if "sealed" in said.lower() or isinstance(error, exceptions.VaultDown):
            return VaultFault("sealed", f"Vault at {spec.address} is sealed or stands by; unseal it")
        return VaultFault("away", f"Vault at {spec.address} is not ready ({type(error).__name__}); wait until it is")
    if not said and not _is_json(error):
        return VaultFault("garbled", _garbled(spec, doing, ""))
    if "namespace not found" in said:
        reason = f'Vault has no namespace "{spec.namespace}"; correct secrets.vault.namespace'
        return VaultFault("refused", reason, "namespace")
    if isinstance(error, exceptions.Forbidden | exceptions.Unauthorized) or "wrapping token is not valid" in said:
        return _denied(key, doing, path)
    if isinstance(error, exceptions.InvalidPath):
        return VaultFault("missing", _missing(path or doing, version, said, error), key)
    if isinstance(error, exceptions.RateLimitExceeded):
        return VaultFault("away", f"Vault at {spec.address} has enough of us ({doing}); raise its rate limit quota")
    remedy = "; check secrets.vault.auth and the role at Vault" if key == "auth" else ""
    return VaultFault("refused", f"Vault refuses {doing}: {said or type(error).__name__}{remedy}", key)


def _denied(key: str, doing: str, path: str) -> VaultFault:
    if path:
        rule = f'path "{path}" {{ capabilities = ["read"] }}'
        return VaultFault("denied", f"the policy of our token does not allow {doing}; add to it: {rule}", key)
    reason = f"Vault denies {doing}: the credential is wrong, has expired or was used before; issue a new one"
    return VaultFault("denied", reason, key)


def _missing(path: str, version: int | None, said: str, error: exceptions.VaultError) -> str:
    body = _parsed(error)
    metadata: Any = ((body.get("data") or {}) if isinstance(body, dict) else {}).get("metadata") or {}
    warnings = " ".join((body.get("warnings") or []) if isinstance(body, dict) else [])
    which = f"version {version or metadata.get('version')} of {path}"
    if metadata.get("destroyed"):
        return f"{which} was destroyed; write a new one"
    if metadata.get("deletion_time"):
        return f"{which} was deleted; undelete it or write a new one"
    if "versioned" in warnings:
        mount, _, rest = path.partition("/")
        return f'{path} is in an engine of KV version 2, whose paths have a "data"; write {mount}/data/{rest}'
    if "no handler for route" in said:
        return f"no engine is mounted at Vault for {path}; mount one or correct the path"
    if version:
        return f"Vault has no version {version} of {path}; write a version that exists, or none for the newest"
    return f"Vault has no secret at {path}; write it with `vault kv put`, or correct the path"


def _untrusted(spec: VaultSpec, error: Exception) -> VaultFault:
    text = str(error)
    if "WRONG_VERSION" in text or "record layer" in text.lower():
        return VaultFault("untrusted", f"Vault at {spec.address} does not speak TLS; write http:// or switch TLS on")
    if "hostname" in text.lower() or "doesn't match" in text or "not valid for" in text:
        reason = f"the certificate of Vault at {spec.address} is for another name; use the name that it has"
        return VaultFault("untrusted", reason)
    reason = (
        f"the certificate of Vault at {spec.address} is not trusted; "
        "name the authority that signed it in secrets.vault.ca"
    )
    return VaultFault("untrusted", reason, "ca" if spec.ca else "address")


def _garbled(spec: VaultSpec, doing: str, path: str) -> str:
    what = f"{doing} {path}".strip()
    return f"what answers at {spec.address} is no Vault ({what}); correct secrets.vault.address"


def _cause(error: BaseException) -> str:
    """What the operating system said, out of the shells that requests and urllib3 put around it."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror and not isinstance(seen, requests.RequestException):
            return seen.strerror.lower()
        inner = next((each for each in seen.args if isinstance(each, BaseException)), None)
        seen = inner or getattr(seen, "reason", None) or seen.__cause__ or seen.__context__
    text = str(error)
    return "its name is not known" if "NameResolution" in text else "the connection broke"


def _said(error: exceptions.VaultError) -> str:
    """Vault's own words, in one line."""
    return " ".join(" ".join(map(str, error.errors or ())).split())[:300]


def _is_json(error: exceptions.VaultError) -> bool:
    return isinstance(_parsed(error), dict)


def _parsed(error: exceptions.VaultError) -> Any:
    try:
        return json.loads(error.text or "")
    except ValueError:
        return None
