"""What notifications look like: the templates of each category, rendered for a channel and a language."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from runtime.errors import Fault, Invalid, NotFound, Pointer
from runtime.services.names import unknown
from runtime.services.notifications.channels.port import KINDS, MailContent, PushContent, SmsContent
from runtime.services.notifications.channels.sms import fault_of
from runtime.services.notifications.plain import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from runtime.services.notifications.adapters.jinja import Folder
    from runtime.services.notifications.channels.port import Content, Kind
    from runtime.services.notifications.spec import CategorySpec, NotificationsSpec

LONGEST_TITLE: Final = 128
LONGEST_TEXT: Final = 2048
LONGEST_SUBJECT: Final = 300
DIGEST: Final = "_digest"
"""The folder, beside those of the categories, of what a digest looks like; or `digest` within a category's."""

NEEDED: Final[Mapping[Kind, tuple[str, ...]]] = {
    "email": ("subject.txt",),
    "push": ("push.json",),
    "sms": ("sms.txt",),
    "in_app": ("title.txt",),
}


class Templates:
    """The templates of all categories.

    Args:
        spec: the section.
        root: where relative paths begin.
        name: of the environment; every template knows it.
        given: what else every template knows: `settings_url`.

    Raises:
        Fault: a folder or a file that a category needs is missing, or a template is wrong.
    """

    def __init__(self, spec: NotificationsSpec, root: Path, name: str, given: Mapping[str, Any]) -> None:
        from runtime.services.notifications.adapters.jinja import Folder

        self._categories = spec.categories
        self._languages = spec.languages
        self._given = {"name": name, "settings_url": None, "unsubscribe_url": None, "link": None, **given}
        self._folders: dict[Path, Folder] = {}
        self._of: dict[str, Folder] = {}
        self._digests: dict[str, Folder] = {}
        self._longest: dict[str, int] = {}

        def opened(path: Path) -> Folder:
            if path not in self._folders:
                self._folders[path] = Folder(path, spec.languages[0])
                self._folders[path].check()
            return self._folders[path]

        for category, section in spec.categories.items():
            path = root / section.template
            self._of[category] = opened(path)
            _require(category, self._of[category], all_kinds_of(section, spec))
            if "sms" in all_kinds_of(section, spec):
                self._longest[category] = getattr(spec.channels[channel_of(section, spec, "sms")], "max_segments", 1)
            if section.digest is not None:
                own = path / "digest"
                self._digests[category] = opened(own if own.is_dir() else path.parent / DIGEST)
                _require(category, self._digests[category], kinds_of(section, spec))

    def language(self, category: str, wanted: Sequence[str]) -> str:
        """The language in which a reader gets a category."""
        return self._folder(category).language(wanted)

    def check(self, category: str, kinds: Sequence[Kind], data: Mapping[str, Any], link: str | None) -> None:
        """Renders every message that may have to be sent, in every language.

        Raises:
            Invalid: a variable is missing, the templates cannot show a value, or a text message becomes too long.
        """
        folder = self._folder(category)
        for language in folder.languages:
            for kind in kinds:
                if kind == "in_app":
                    self.title(category, data, language, link)
                    continue
                content = self.content(category, kind, data, language, link=link)
                if isinstance(content, SmsContent) and (wrong := fault_of(content.body, self._longest[category])):
                    raise Invalid(
                        f'the text message of "{category}" ({language}) cannot be sent: {wrong}',
                        errors=[Pointer("/data", wrong)],
                        remedy="Send less, shorten sms.txt, or let the channel take more.",
                    )

    def content(
        self,
        category: str,
        kind: Kind,
        data: Mapping[str, Any],
        language: str,
        *,
        link: str | None = None,
        unsubscribe: str | None = None,
        digest: bool = False,
    ) -> Content:
        """What a channel sends; raises as `check`."""
        folder = self._digests[category] if digest else self._folder(category)
        variables = {**self._given, **data, "unsubscribe_url": unsubscribe}
        variables["link"] = link or data.get("link")
        if kind == "email":
            return _mail(folder, language, variables)
        if kind == "push":
            return _push(folder, language, variables)
        return SmsContent(folder.render("sms.txt", language, variables).strip())

    def title(self, category: str, data: Mapping[str, Any], language: str, link: str | None) -> tuple[str, str]:
        """Title and text in the inbox; raises as `check`."""
        folder = self._folder(category)
        variables = {**self._given, **data}
        variables["link"] = link or data.get("link")
        title = _line(folder.render("title.txt", language, variables))[:LONGEST_TITLE]
        if folder.has("text.txt"):
            text = folder.render("text.txt", language, variables).strip()
        elif folder.has("push.json"):
            text = _push(folder, language, variables).body
        else:
            text = ""
        return title, text[:LONGEST_TEXT]

    def gathered_by(self, category: str, data: Mapping[str, Any]) -> str:
        """The key of the digest that a notification belongs to."""
        digest = self._categories[category].digest
        return self._folder(category).text(digest.key, {**self._given, **data}) if digest and digest.key else ""

    def _folder(self, category: str) -> Folder:
        found = self._of.get(category)
        if found is None:
            raise unknown("category", category, self._of)
        return found


def kinds_of(category: CategorySpec, spec: NotificationsSpec) -> list[Kind]:
    """The kinds of a category's channels, each once and in their order."""
    return list(dict.fromkeys(KINDS[spec.channels[name].kind] for name in category.channels if name in spec.channels))


def all_kinds_of(category: CategorySpec, spec: NotificationsSpec) -> list[Kind]:
    """The same with the channels that it may be escalated to."""
    further = category.escalation.channels if category.escalation is not None else ()
    return kinds_of(category.model_copy(update={"channels": (*category.channels, *further)}), spec)


def channel_of(category: CategorySpec, spec: NotificationsSpec, kind: Kind) -> str:
    """The channel through which a category goes out on a kind.

    Raises:
        NotFound: it has none.
    """
    names = [*category.channels, *(category.escalation.channels if category.escalation else ())]
    for name in names:
        if name in spec.channels and KINDS[spec.channels[name].kind] == kind:
            return name
    raise NotFound(f"the category has no channel for {kind}", remedy="Add one to its `channels`.")


def _require(category: str, folder: Folder, kinds: Sequence[Kind]) -> None:
    for kind in kinds:
        missing = [file for file in NEEDED[kind] if not folder.has(file)]
        if kind == "email" and not (folder.has("body.html") or folder.has("body.txt")):
            missing.append("body.html")
        if missing:
            raise Fault(
                f'notifications: the category "{category}" goes out as {kind}, and {folder.path} has no {missing[0]}',
                remedy="Write the file, or take the channel out of the category.",
            )


def _mail(folder: Folder, language: str, variables: Mapping[str, Any]) -> MailContent:
    subject = _line(folder.render("subject.txt", language, variables))[:LONGEST_SUBJECT]
    html = folder.render("body.html", language, variables).strip() if folder.has("body.html") else None
    text = folder.render("body.txt", language, variables) if folder.has("body.txt") else text_of(html or "")
    return MailContent(subject, text.rstrip() + "\n", html)


def _push(folder: Folder, language: str, variables: Mapping[str, Any]) -> PushContent:
    shown = folder.render("push.json", language, variables)
    try:
        fields = json.loads(shown)
        title, body = str(fields.pop("title")), str(fields.pop("body", ""))
        link = fields.pop("link", None)
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise Invalid(
            f"the template {folder.path.name}/push.json makes no JSON object with a title: {error}",
            remedy="Write each value with `| tojson`.",
        ) from error
    return PushContent(title[:LONGEST_TITLE], body[:LONGEST_TEXT], link, fields)


def _line(text: str) -> str:
    return " ".join(text.split())
