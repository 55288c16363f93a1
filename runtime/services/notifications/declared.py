"""What the spec says of notifications now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.services.notifications.spec import NotificationsSpec
    from runtime.services.notifications.templates import Templates


@dataclass(slots=True)
class Declared:
    """The section and its templates, shared by all who go by them: another one is adopted by all of them at once."""

    spec: NotificationsSpec
    templates: Templates

    def adopt(self, spec: NotificationsSpec, templates: Templates) -> None:
        self.spec, self.templates = spec, templates
