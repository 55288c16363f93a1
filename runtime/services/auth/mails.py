"""The mails of accounts, as jobs of the e-mail queue."""

from __future__ import annotations

import secrets
from typing import Any, Final

_LETTERS: Final = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
_LENGTH: Final = 10

_TEXTS: Final = {
    "signup": (
        "Confirm your address",
        "Somebody, hopefully you, wants an account at {name} with this address.\n\nThe code is {code}\n\n"
        "It is good for {minutes} minutes and can be used once. If it was not you, do nothing.",
    ),
    "known": (
        "You have an account",
        "Somebody, hopefully you, wants an account at {name} with this address. It has one already: sign in, or ask "
        "for a new password.\n\nIf it was not you, do nothing.",
    ),
    "reset": (
        "Your new password",
        "Somebody, hopefully you, wants a new password at {name}.\n\nThe code is {code}\n\n"
        "It is good for {minutes} minutes and can be used once. If it was not you, do nothing: nothing has changed.",
    ),
    "email": (
        "Confirm your address",
        "This address was added to an account at {name}.\n\nThe code is {code}\n\n"
        "It is good for {minutes} minutes and can be used once. If it was not you, do nothing.",
    ),
    "changed": (
        "Your password was changed",
        "Your password at {name} was changed, and your other sessions have been ended.\n\n"
        "If it was not you, ask for a new password at once.",
    ),
}


def new_code() -> str:
    """A fresh random code: ten letters and digits that cannot be taken for one another, 49 bits."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))


def typed(code: str) -> str:
    """A code as it was sent, from what somebody has typed."""
    return code.strip().replace("-", "").replace(" ", "").upper()


def mail(kind: str, to: str, *, name: str, code: str = "", life: float = 0.0) -> dict[str, Any]:
    """The payload of a mail's job.

    Args:
        kind: `signup`, `known`, `reset`, `email`, `changed`.
        name: of the environment.
        life: seconds for which the code is good.
    """
    subject, text = _TEXTS[kind]
    shown = f"{code[:5]}-{code[5:]}"
    return {
        "to": [to],
        "subject": f"{name}: {subject}",
        "text": text.format(name=name, code=shown, minutes=max(1, round(life / 60))) + "\n",
    }
