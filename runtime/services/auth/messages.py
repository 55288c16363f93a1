"""The mails and text messages of accounts."""

from __future__ import annotations

from typing import Any, Final

_CODE: Final = "The code is {code}\n\n"
_ONCE: Final = "It is good for {life} and can be used once. If it was not you, do nothing"

_MAILS: Final = {
    "signup": (
        "Confirm your address",
        f"Somebody, hopefully you, wants an account at {{name}} with this address.\n\n{_CODE}{_ONCE}.",
    ),
    "known": (
        "You have an account",
        "Somebody, hopefully you, wants an account at {name} with this address. It has one already: sign in, or ask "
        "for a new password.\n\nIf it was not you, do nothing.",
    ),
    "invite": (
        "You are invited",
        f"There is an account for you at {{name}}. Choose a password for it with this code.\n\n{_CODE}"
        "It is good for {life} and can be used once. If you do not want an account, do nothing.",
    ),
    "reset": (
        "Your new password",
        f"Somebody, hopefully you, wants a new password at {{name}}.\n\n{_CODE}{_ONCE}: nothing has changed.",
    ),
    "email": ("Confirm your address", f"This address was added to an account at {{name}}.\n\n{_CODE}{_ONCE}."),
    "changed": (
        "Your password was changed",
        "Your password at {name} was changed, and your other sessions have been ended.\n\n"
        "If it was not you, ask for a new password at once.",
    ),
}
_TEXT: Final = "{name}: the code for your phone is {code}. It is good for {life}."
_HOUR: Final = 3600.0
_DAY: Final = 24 * _HOUR


def mail(kind: str, to: str, *, name: str, code: str = "", life: float = 0.0) -> dict[str, Any]:
    """The payload of a mail's job, as the e-mail queue takes it.

    Args:
        kind: `signup`, `known`, `invite`, `reset`, `email`, `changed`.
        name: of the environment.
        life: seconds for which the code is good.
    """
    subject, text = _MAILS[kind]
    written = text.format(name=name, code=_shown(code), life=_span(life))
    return {"to": [to], "subject": f"{name}: {subject}", "text": f"{written}\n"}


def text(*, name: str, code: str, life: float) -> str:
    """A text message with a code; the arguments are those of a mail."""
    return _TEXT.format(name=name, code=_shown(code), life=_span(life))


def _shown(code: str) -> str:
    return f"{code[:5]}-{code[5:]}"


def _span(seconds: float) -> str:
    """A stretch of time in words.

    Example:
        >>> _span(900), _span(3600), _span(7 * 86400)
        ('15 minutes', '1 hour', '7 days')
    """
    unit, word = (_DAY, "day") if seconds >= 2 * _DAY else (_HOUR, "hour") if seconds >= _HOUR else (60.0, "minute")
    count = max(1, round(seconds / unit))
    return f"{count} {word}{'s' if count > 1 else ''}"
