"""What the columns of a cron expression mean, and what one of the right form can still get wrong: a range that runs
backwards, a day that never comes."""

from __future__ import annotations

_MONTHS = dict(
    zip(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
        range(1, 13),
        strict=True,
    )
)
_WEEKDAYS = dict(zip(["sun", "mon", "tue", "wed", "thu", "fri", "sat"], range(7), strict=True))
_COLUMNS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _WEEKDAYS),
)
_LONGEST = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}


def fault(expression: str) -> str | None:
    """What is wrong with an expression; None where nothing is.

    Example:
        >>> fault("17 3 * * *") is None
        True
        >>> fault("0 0 30 2 *")
        'this never comes: no day of the month fits the months'
    """
    try:
        _, _, days, months, _ = columns(expression)
    except ValueError as error:
        return str(error)
    never = all(min(days) > _LONGEST.get(month, 31) for month in months)
    if never and not either_day(expression):
        return "this never comes: no day of the month fits the months"
    return None


def columns(expression: str) -> list[set[int]]:
    """The minutes, hours, days of the month, months and days of the week that an expression names.

    A day of the week is 0 to 7, where both 0 and 7 are Sunday.

    Raises:
        ValueError: a column holds what it cannot; says which.

    Example:
        >>> columns("*/20 3 1,15 jan-mar mon")
        [{0, 40, 20}, {3}, {1, 15}, {1, 2, 3}, {1}]
    """
    texts = expression.split()
    if len(texts) != len(_COLUMNS):
        raise ValueError(f"a cron expression has 5 columns, this has {len(texts)}")
    values: list[set[int]] = []
    for text, (name, least, most, words) in zip(texts, _COLUMNS, strict=True):
        try:
            values.append(_expanded(text, least, most, words))
        except ValueError as error:
            raise ValueError(f"{error} in the column of the {name}") from error
    return values


def either_day(expression: str) -> bool:
    """Whether a day fits that fits one of the two columns of days; else it must fit both.

    As crontab(5) has it: one is enough where neither column begins with `*`.

    Example:
        >>> either_day("0 0 13 * fri"), either_day("0 0 */2 * fri")
        (True, False)
    """
    _, _, day, _, weekday = expression.split()
    return not day.startswith("*") and not weekday.startswith("*")


def _expanded(text: str, least: int, most: int, words: dict[str, int]) -> set[int]:
    found: set[int] = set()
    for item in text.split(","):
        span, _, step = item.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            begin, end = least, most
        else:
            begin = _value(first, least, most, words)
            end = _value(last, least, most, words) if dash else most if step else begin
        if begin > end:
            raise ValueError(f'"{span}" runs backwards')
        if step and (not step.isdigit() or int(step) < 1):
            raise ValueError(f'"{step}" is no step')
        found.update(range(begin, end + 1, int(step) if step else 1))
    return found


def _value(text: str, least: int, most: int, words: dict[str, int]) -> int:
    value = words.get(text.lower(), -1) if not text.isdigit() else int(text[:4])
    if not least <= value <= most:
        raise ValueError(f'"{text}" is out of place')
    return value
