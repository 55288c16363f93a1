"""The page at `/docs`: the OpenAPI document for people, in one file, without a script and without the
internet."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Mapping
from html import escape
from typing import Any, Final

from runtime import errors
from runtime.http.problems import kind_of

_STYLE: Final = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 54rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem } h2 { font-size: 1.2rem; margin: 2.2rem 0 .5rem }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .4rem 0; padding: .45rem .8rem }
summary { cursor: pointer; display: flex; flex-wrap: wrap; gap: .2rem .8rem; align-items: baseline }
summary:focus-visible, a:focus-visible { outline: 3px solid Highlight; outline-offset: 2px }
code, pre { font: .875rem/1.45 ui-monospace, monospace }
pre { overflow-x: auto; padding: .7rem; border: 1px solid var(--line); border-radius: .3rem }
.method { font-weight: 700; min-width: 4.2rem } .quiet { opacity: .75 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-top: 1px solid
var(--line) }
"""

POLICY: Final = (
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-"
    + b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    + "'"
)
"""The page's own content policy: its one style sheet, and nothing else."""

_METHODS: Final = ("get", "post", "put", "patch", "delete")


def page(document: Mapping[str, Any]) -> str:
    """An OpenAPI document as an HTML page."""
    info = document["info"]
    groups: dict[str, list[str]] = {}
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                operation = item[method]
                group = (operation.get("tags") or ["other"])[0]
                groups.setdefault(group, []).append(_operation(document, method, path, operation))
    sections = "".join(
        f'<section id="tag-{escape(tag)}"><h2>{escape(tag.capitalize())}</h2>{"".join(operations)}</section>'
        for tag, operations in groups.items()
    )
    title = escape(info["title"])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: HTTP API</title><style>{_STYLE}</style></head>
<body><header><h1>{title}</h1>
<p class="quiet">HTTP API, version {escape(info["version"])} · <a href="/openapi.json">openapi.json</a>
</p>
<p>Calls need a key: <code>Authorization: Bearer rt_…</code>. The operator's is in
<code>operator.key</code> of the state folder.</p></header>
<main>{sections}{_problems()}</main></body></html>"""


def _operation(document: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]) -> str:
    needed = operation.get("x-scope")
    who = f"needs <code>{escape(needed)}</code>" if needed else "open"
    parts = [f"<p>{escape(operation['description'])}</p>"] if operation.get("description") else []
    if operation.get("parameters"):
        rows = "".join(_parameter(parameter) for parameter in operation["parameters"])
        parts.append(
            "<h3>Parameters</h3><table><thead><tr><th>Name</th><th>Where</th><th>Meaning</th></tr></thead>"
            f"<tbody>{rows}</tbody></table>"
        )
    body = operation.get("requestBody", {}).get("content", {})
    for media, content in body.items():
        schema = _schema(document, content.get("schema", {}))
        parts.append(f"<h3>Body <code>{escape(media)}</code></h3>{schema}")
    rows = "".join(
        f"<tr><td><code>{escape(status)}</code></td><td>{escape(response.get('description', ''))}"
        f"{_answer(document, response) if status.startswith('2') else ''}</td></tr>"
        for status, response in operation.get("responses", {}).items()
    )
    parts.append(f"<h3>Answers</h3><table><tbody>{rows}</tbody></table>")
    return (
        f'<details><summary><span class="method">{method.upper()}</span><code>{escape(path)}</code>'
        f'<span>{escape(operation.get("summary") or "")}</span><span class="quiet">{who}</span></summary>'
        f"{''.join(parts)}</details>"
    )


def _parameter(parameter: Mapping[str, Any]) -> str:
    name = f"<code>{escape(parameter['name'])}</code>{' (needed)' if parameter.get('required') else ''}"
    meaning = escape(parameter.get("description") or "")
    return f"<tr><td>{name}</td><td>{parameter['in']}</td><td>{meaning}</td></tr>"


def _answer(document: Mapping[str, Any], response: Mapping[str, Any]) -> str:
    schemas = [content["schema"] for content in response.get("content", {}).values() if "schema" in content]
    return "".join(_schema(document, schema) for schema in schemas)


def _schema(document: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    shown = _resolved(document, schema, 6)
    return f"<pre>{escape(json.dumps(shown, indent=2, ensure_ascii=False))}</pre>" if shown else ""


def _resolved(document: Mapping[str, Any], schema: Any, depth: int) -> Any:
    """A schema with its references replaced by what they name, to a depth: schemas may be circular."""
    if isinstance(schema, list):
        return [_resolved(document, item, depth) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    reference = schema.get("$ref")
    if isinstance(reference, str):
        name = reference.rpartition("/")[2]
        target = document.get("components", {}).get("schemas", {}).get(name)
        return _resolved(document, target, depth - 1) if target is not None and depth > 0 else name
    return {key: _resolved(document, value, depth) for key, value in schema.items()}


def _problems() -> str:
    """What each `type` of a problem means."""
    kinds: list[type[errors.Fault]] = [
        *sorted(errors.RequestFault.__subclasses__(), key=lambda fault: (fault.status, fault.__name__)),
        errors.NotBuilt,
        errors.Unreachable,
        errors.SpecFault,
    ]
    rows = "".join(
        f'<tr id="{kind_of(kind)}"><td><code>{kind_of(kind)}</code></td><td>{kind.status}</td>'
        f"<td>{escape(kind.title)}</td></tr>"
        for kind in kinds
    )
    return (
        '<section id="problems"><h2>Problems</h2>'
        "<p>Errors are <code>application/problem+json</code> (RFC 9457).</p>"
        "<table><thead><tr><th>Type</th><th>Status</th><th>Title</th></tr></thead>"
        f'<tbody>{rows}<tr id="internal"><td><code>internal</code></td><td>500</td>'
        f"<td>{errors.Fault.title}</td></tr></tbody></table></section>"
    )
