"""A browser as far as accounts need one: its cookies, and what a page of the site would send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import httpx

if TYPE_CHECKING:
    from runtime.testing import RunningEnvironment


class Browser:
    """Keeps cookies as a browser does on https, and sends what a page of the site itself would."""

    def __init__(self, at: RunningEnvironment) -> None:
        self.at = at
        self.cookies: dict[str, str] = {}
        self.csrf = ""
        self._client = httpx.Client(base_url=at.url, timeout=15)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    @property
    def headers(self) -> dict[str, str]:
        """What it sends along with each request."""
        sent = {"Sec-Fetch-Site": "same-origin", "Origin": self.at.url, "User-Agent": "Firefox"}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if self.csrf:
            sent["X-CSRF-Token"] = self.csrf
        return sent

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        sent = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self._client.request(method, path, json=body, headers={k: v for k, v in sent.items() if v})
        for line in answer.headers.get_list("set-cookie"):
            self.keep(line)
        if answer.headers.get("content-type") == "application/json" and answer.is_success:
            said = answer.json()
            self.csrf = said.get("csrf", self.csrf) if isinstance(said, dict) else self.csrf
        return answer

    def keep(self, line: str) -> None:
        """Takes a `Set-Cookie`."""
        pair, *attributes = line.split("; ")
        assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} <= set(attributes)
        name, _, value = pair.partition("=")
        assert name.startswith("__Host-")
        if "Max-Age=0" in attributes:
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = value

    def sign_in(self, address: str, password: str) -> httpx.Response:
        return self.send("POST", "/v1/auth/login", {"email": address, "password": password})
