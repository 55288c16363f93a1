"""The sandbox for code of users."""

from __future__ import annotations

from runtime.assembly.site import Made, Site
from runtime.services.sandbox.service import SandboxService
from runtime.services.sandbox.spec import SandboxSpec
from runtime.spec.fields import live_fields


def component(site: Site, _: str) -> Made:
    """It has no parts."""
    spec = site.spec.sandbox
    assert spec is not None  # noqa: S101 - the outline has seen it
    return Made("Sandbox", lambda _: SandboxService(spec), site.data["sandbox"], live_fields(SandboxSpec))
