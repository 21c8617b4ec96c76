"""On what terms a source is held, from its ``subject.json`` files and from what the user says."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date

from realface.data.index import Terms
from realface.errors import InputError

YEARS_KEPT = 2
"""RealFaceDB's licence: the data is destroyed two years after it was downloaded."""

NO_TERMS = Terms(None, None, None)


def given_terms(
    source: str | None,
    licence: str | None,
    downloaded: str | None,
    expires: str | None,
    today: date,
) -> Terms:
    """What the user says of the whole source.

    Args:
        source: Where it comes from.
        licence: On what terms.
        downloaded: ISO date of a download of RealFaceDB; it expires `YEARS_KEPT` years later.
        expires: ISO date by which other data must be destroyed.
        today: A download lies not after it.

    Raises:
        InputError: If a date is none, both dates are given, or the download lies ahead.
    """
    if downloaded is not None and expires is not None:
        raise InputError(
            f"downloaded {downloaded} and expires {expires}",
            f"one of them: data expires {YEARS_KEPT} years after its download",
            "leave one out",
        )
    if expires is not None:
        return Terms(source, licence, _date("expires", expires).isoformat())
    if downloaded is None:
        return Terms(source, licence, None)
    day = _date("downloaded", downloaded)
    if day > today:
        raise InputError(
            f"downloaded {downloaded}, which lies ahead",
            f"a day up to today, {today.isoformat()}",
            "correct the date",
        )
    return Terms(source, licence, _years_later(day, YEARS_KEPT).isoformat())


def joined_terms(found: Iterable[Terms], given: Terms) -> tuple[Terms, ...]:
    """The different terms of a source's parts; what the user says replaces what they say."""
    said = {
        name: value
        for name, value in (
            ("source", given.source), ("licence", given.licence), ("expires", given.expires)
        )
        if value is not None
    }  # fmt: skip
    return tuple(dict.fromkeys(replace(one, **said) for one in found))


def _date(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{name} {text!r}", "a date as 2026-03-31", "correct the date") from error


def _years_later(day: date, years: int) -> date:
    """The same day, or the 28th where a 29 February has none."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return day.replace(year=day.year + years, day=28)
