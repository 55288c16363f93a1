"""Phone numbers in the one form by which they are known."""

from __future__ import annotations

import re
from typing import Final

_WRITTEN: Final = re.compile(r"\+?[0-9(][0-9 ()./\u00a0-]{3,30}")


def e164(number: str, region: str | None = None) -> str:
    """A number in its international form (ITU-T E.164), whatever stands between its digits.

    Args:
        region: the country of a number without one, in two letters (ISO 3166-1).

    Raises:
        ValueError: it is no number, or has no country; the message says which.

    Example:
        >>> e164("+43 (0)1 234-567"), e164("0660 1234567", "AT")
        ('+431234567', '+436601234567')
    """
    import phonenumbers  # here, because most processes never see a number, and it takes a tenth of a second

    written = number.strip()
    if not _WRITTEN.fullmatch(written):
        raise ValueError("it is no phone number")
    try:
        found = phonenumbers.parse(written, region)
    except phonenumbers.NumberParseException as error:
        if error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE:
            raise ValueError("it names no country") from None
        raise ValueError("it is no phone number") from None
    if phonenumbers.is_possible_number_with_reason(found) == phonenumbers.ValidationResult.TOO_SHORT:
        raise ValueError("it is too short")
    if not phonenumbers.is_possible_number(found):
        raise ValueError("it has a length that its country does not know")
    return phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.E164)
