"""What templates say in the reader's language, by Babel: dates, numbers, amounts and plurals (Unicode CLDR).

{{ when | date }}  {{ when | datetime("short") }}  {{ when | time }}  {{ when | ago }}
{{ count | number }}  {{ "12.50" | money("EUR") }}
{{ count | plural(one="# file", other="# files") }}
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from babel import Locale


def filters(language: str) -> Mapping[str, Callable[..., str]]:
    """The filters of a language. Babel itself is loaded when the first of them is used."""

    def plural(count: Any, **forms: str) -> str:
        number = _number(count)
        form = _locale(language).plural_form(number)
        chosen = forms.get(form, forms.get("other"))
        if chosen is None:
            raise ValueError('plural needs "other"')
        return chosen.replace("#", number_(count))

    def number_(value: Any) -> str:
        from babel.numbers import format_decimal

        return str(format_decimal(_number(value), locale=_locale(language)))

    def money(value: Any, currency: str) -> str:
        from babel.numbers import format_currency

        return str(format_currency(_number(value), currency, locale=_locale(language)))

    def date_(value: Any, style: str = "long") -> str:
        from babel.dates import format_date

        return str(format_date(_moment(value), style, locale=_locale(language)))

    def datetime_(value: Any, style: str = "long", zone: str = "UTC") -> str:
        from babel.dates import format_datetime

        return str(format_datetime(_moment(value), style, tzinfo=_zone(zone), locale=_locale(language)))

    def time_(value: Any, style: str = "short", zone: str = "UTC") -> str:
        from babel.dates import format_time

        return str(format_time(_moment(value), style, tzinfo=_zone(zone), locale=_locale(language)))

    def ago(value: Any) -> str:
        from babel.dates import format_timedelta

        past = _moment(value) - datetime.now(UTC)
        return str(format_timedelta(past, add_direction=True, locale=_locale(language)))

    return {
        "plural": plural,
        "number": number_,
        "money": money,
        "date": date_,
        "datetime": datetime_,
        "time": time_,
        "ago": ago,
    }


@lru_cache(maxsize=100)
def _locale(language: str) -> Locale:
    from babel import Locale, UnknownLocaleError

    for candidate in (language, language.partition("-")[0], "en"):
        try:
            return Locale.parse(candidate, sep="-")
        except (UnknownLocaleError, ValueError):
            continue
    raise AssertionError("Babel has no English")


def _zone(name: str) -> Any:
    from runtime.services.notifications.quiet import zone_of

    return zone_of(name)


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise TypeError(f"{value} is no number")
    if isinstance(value, int | float | Decimal):
        return value
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f'"{str(value)[:50]}" is no number') from None


def _moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC)
    found = datetime.fromisoformat(str(value))
    return found if found.tzinfo else found.replace(tzinfo=UTC)
