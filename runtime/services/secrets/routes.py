"""The HTTP calls of secrets: where they come from and how old they are; never a value."""

from litestar import Controller, get, post
from litestar.params import FromPath
from litestar.status_codes import HTTP_200_OK

from runtime.errors import NotFound
from runtime.http.access import ADMIN, scope
from runtime.http.paging import Page
from runtime.http.ports import Port
from runtime.services.secrets.ports import Secrets, SecretView

_REFRESH = "/refresh"


class SecretRoutes(Controller):
    """The sources of secrets."""

    path = "/v1/secrets"
    tags = ["secrets"]
    opt = scope(ADMIN)

    @get("/", summary="Every source of secrets: version, age, lease; never a value", sync_to_thread=False)
    def secrets(self, secrets: Port[Secrets]) -> Page[SecretView]:
        return Page(list(secrets.views()))

    @post(
        "/{path:path}",
        status_code=HTTP_200_OK,
        summary="Look at a source now: `POST /v1/secrets/{path}/refresh`",
    )
    async def refresh(self, path: FromPath[str], secrets: Port[Secrets]) -> SecretView:
        name = path.removeprefix("/")
        if not name.endswith(_REFRESH):
            raise NotFound("There is nothing at this address.", remedy="POST /v1/secrets/{path}/refresh")
        name = name.removesuffix(_REFRESH)
        known = {view.name for view in secrets.views()}
        return await secrets.refresh(f"/{name}" if name not in known and f"/{name}" in known else name)
