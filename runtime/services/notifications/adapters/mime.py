"""A letter as bytes for the mail server (RFC 5322, RFC 2045).

The standard library's `EmailMessage` would do, at a millisecond a letter, and it folds a link into encoded words,
which no mail client takes for a link. What is easy to get wrong is the library's: encoded words, quoted-printable.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from email.header import Header
from email.policy import SMTP
from email.utils import formataddr, formatdate
from typing import TYPE_CHECKING, Final

from runtime.errors import Fault

if TYPE_CHECKING:
    from email.headerregistry import Address

    from runtime.services.notifications.letters import Letter

LONGEST_LINE: Final = 998
"""Bytes of a line (RFC 5321, section 4.5.3.1.6)."""


@dataclass(frozen=True, slots=True)
class Mail:
    """What goes over the wire.

    Args:
        to: the one recipient of the envelope.
        id: its Message-ID, without the brackets.
        international: whether an address is not ASCII, so that the server must speak SMTPUTF8 (RFC 6531).
    """

    to: str
    id: str
    content: bytes
    international: bool


def composed(letter: Letter, sender: Address, reply_to: Address | None) -> Mail:
    """The mail of a letter.

    Raises:
        Fault: the address, the subject or the link cannot stand in a header.
        ValueError: the text cannot be encoded.
    """
    to = one_address(letter.to, "to")
    id_ = f"{letter.id}@{sender.domain}"
    headers = {
        "From": _shown(sender),
        "To": _shown(to),
        **({"Reply-To": _shown(reply_to)} if reply_to is not None else {}),
        "Subject": _encoded("Subject", one_line(letter.subject, "subject")),
        "Date": formatdate(localtime=False, usegmt=True),
        "Message-ID": f"<{id_}>",
        "Auto-Submitted": "auto-generated",
    }
    if letter.unsubscribe is not None:
        headers["List-Unsubscribe"] = f"<{one_line(letter.unsubscribe, 'link')}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    headers["MIME-Version"] = "1.0"
    text = _part("plain", letter.text)
    if letter.html is None:
        body = text
    else:
        boundary = f"=_{letter.id}"
        headers["Content-Type"] = f'multipart/alternative; boundary="{boundary}"'
        parts = b"".join(b"--%b\r\n%b\r\n" % (boundary.encode(), part) for part in (text, _part("html", letter.html)))
        body = b"\r\n" + parts + b"--%b--\r\n" % boundary.encode()
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    international = not f"{sender.addr_spec}{to.addr_spec}".isascii()
    return Mail(to.addr_spec, id_, head.encode() + body, international)


def one_line(text: str, name: str) -> str:
    """A text without control characters.

    Raises:
        Fault: it has some: a line break would begin another header.
    """
    if any(ord(character) < 32 or character == "\x7f" for character in text):
        raise Fault(f"the {name} has a line break or another control character")
    return text


def one_address(text: str, name: str) -> Address:
    """The one address in a text, with or without a name.

    Raises:
        Fault: there is none, or more than one.
    """
    one_line(text, name)
    try:
        header = SMTP.header_factory("To", text)
    except (ValueError, IndexError) as error:  # the parser trips over some broken addresses
        raise Fault(f'"{text[:100]}" is no address') from error
    found: tuple[Address, ...] = header.addresses
    if len(found) != 1:
        raise Fault(f'"{text[:100]}" is not one address')
    if header.defects or not found[0].username or not found[0].domain:
        raise Fault(f'"{text[:100]}" is no address')
    return found[0]


def _shown(address: Address) -> str:
    if not address.display_name:
        return address.addr_spec
    if address.addr_spec.isascii():
        return formataddr((address.display_name, address.addr_spec))
    return f"{_encoded('To', address.display_name)} <{address.addr_spec}>"


def _encoded(name: str, text: str) -> str:
    if text.isascii() and len(text) + len(name) + 2 <= LONGEST_LINE:
        return text
    return Header(text, "utf-8", header_name=name).encode(linesep="\r\n")


def _part(kind: str, text: str) -> bytes:
    """A part with its head: as it is where mail can carry that, else as quoted-printable."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    plain = lines.isascii() and "\0" not in lines and all(len(line) < LONGEST_LINE for line in lines.split("\n"))
    raw = lines.encode()
    encoding, content = ("7bit", raw) if plain else ("quoted-printable", binascii.b2a_qp(raw, istext=True))
    head = f'Content-Type: text/{kind}; charset="utf-8"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n'
    ended = content if content.endswith(b"\n") else content + b"\n"
    return head.encode() + ended.replace(b"\n", b"\r\n")
