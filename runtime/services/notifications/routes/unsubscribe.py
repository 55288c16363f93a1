"""The HTTP calls of the link in a mail that ends mails like it (RFC 8058).

A GET only shows a page: mail scanners and previews follow links. A POST does it, from the page's button or from a mail
client's own, without a question and without signing in.
"""

import hashlib
from base64 import b64encode
from html import escape
from typing import Annotated

from litestar import Controller, MediaType, Response, get, post
from litestar.params import QueryParameter
from litestar.status_codes import HTTP_200_OK

from runtime.http.access import OPEN
from runtime.http.ports import Port
from runtime.services.notifications.ports import Notifications
from runtime.services.notifications.routes.shown import declared

Token = Annotated[str, QueryParameter(min_length=1, max_length=2000, description="As it stands in the mail.")]

MEDIA = frozenset({"application/x-www-form-urlencoded", "multipart/form-data", "application/json"})

_STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 32rem; margin: 15vh auto 0; padding: 0 1.5rem }
button { font: inherit; font-weight: 600; padding: .6rem 1.2rem; border: 0; border-radius: .5rem; background: #2557d6;
color: #fff; cursor: pointer }
button:focus-visible { outline: 3px solid Highlight; outline-offset: 2px }
"""
_POLICY = (
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; style-src 'sha256-"
    + b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    + "'"
)


class UnsubscribeRoutes(Controller):
    """Unsubscribing."""

    path = "/v1/notifications/unsubscribe"
    tags = ["notifications"]

    @get("/", opt=OPEN, media_type=MediaType.HTML, summary="A page with a button; it changes nothing")
    async def ask(self, token: Token, notifications: Port[Notifications | None]) -> Response[str]:
        category, address = await declared(notifications).choices.subscribed(token)
        return _page(
            f"<h1>Unsubscribe</h1><p>Mails of the kind <strong>{escape(category)}</strong> to "
            f"<strong>{escape(address)}</strong> will end.</p>"
            '<form method="post"><button type="submit" name="List-Unsubscribe" value="One-Click">Unsubscribe</button>'
            "</form>"
        )

    @post("/", opt={**OPEN, "media": MEDIA}, media_type=MediaType.HTML, status_code=HTTP_200_OK, summary="End them")
    async def unsubscribe(self, token: Token, notifications: Port[Notifications | None]) -> Response[str]:
        category, address = await declared(notifications).choices.unsubscribe(token)
        return _page(
            f"<h1>Done</h1><p>Mails of the kind <strong>{escape(category)}</strong> to "
            f"<strong>{escape(address)}</strong> have ended. You can turn them on again in your settings.</p>"
        )


def _page(content: str) -> Response[str]:
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Unsubscribe</title><style>{_STYLE}</style></head><body><main>{content}</main></body></html>"
    )
    return Response(html, media_type=MediaType.HTML, headers={"content-security-policy": _POLICY})
