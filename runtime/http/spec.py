"""The `api` section: the HTTP interface."""

from __future__ import annotations

from runtime.spec.fields import Items, Live, Section, section, setting
from runtime.spec.kinds import Duration, Port, Rate, Size, Text, Url


class CorsSpec(Section):
    """Which pages of other origins may call the API from a browser."""

    origins: Items[Text] = setting(
        [],
        "Origins that may call the API, `*` for all without credentials.",
        example=["https://app.example.com"],
    )


class ApiSpec(Section):
    """The HTTP interface."""

    host: Text = setting("127.0.0.1", "The address to listen on; `0.0.0.0` for all.", example="0.0.0.0")  # noqa: S104
    port: Port = setting(8080, "The port to listen on; 0 takes a free one.", example=9000)
    public_url: Url | None = setting(
        None,
        "The address under which callers reach the API: links, issuer, origin check, callback "
        "signatures. By default the "
        "host and port.",
        example="https://core.example.com",
    )
    trusted_proxies: Items[Text] = setting(
        [], "Addresses or networks of the proxies whose forwarded addresses count.", example=["10.0.0.0/8"]
    )
    cors: CorsSpec = section("Which pages of other origins may call the API from a browser.")
    rate_limit: Live[Rate] = setting("600/m", "Requests of one caller, counted over all instances.", example="100/s")
    max_body: Live[Size] = setting("1MB", "The largest request body.", example="10MB")
    drain: Duration = setting(
        "10s", "How long running requests may take to finish when the runtime stops.", example="30s"
    )
