from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realface.data.index import Terms
from realface.data.packing.terms import given_terms, joined_terms
from realface.errors import InputError

TODAY = date(2026, 3, 1)


def downloaded(day: str) -> str | None:
    return given_terms(None, None, day, None, TODAY).expires


@pytest.mark.parametrize(
    ("day", "expires"),
    [("2025-11-30", "2027-11-30"), ("2024-02-29", "2026-02-28"), ("2026-03-01", "2028-03-01")],
)
def test_what_was_downloaded_expires_two_years_later(day, expires):
    assert downloaded(day) == expires


@given(st.dates(date(2000, 1, 1), TODAY))
def test_two_years_are_never_more(day):
    days = (date.fromisoformat(downloaded(day.isoformat())) - day).days
    assert 729 <= days <= 731


@pytest.mark.parametrize(
    ("day", "expires"),
    [("2026-03-02", None), ("1.3.2026", None), ("2025-02-29", None), (None, "soon"),
     ("2025-01-01", "2027-01-01")],
)  # fmt: skip
def test_dates_that_are_none(day, expires):
    with pytest.raises(InputError):
        given_terms(None, None, day, expires, TODAY)


def test_what_the_user_says_replaces_what_the_subjects_say():
    found = [Terms("a", "mine", None), Terms("b", None, "2030-01-01"), Terms("a", "mine", None)]
    assert joined_terms(found, Terms(None, None, None)) == tuple(found[:2])
    said = given_terms("all", None, None, "2027-05-06", TODAY)
    assert joined_terms(found, said) == (
        Terms("all", "mine", "2027-05-06"),
        Terms("all", None, "2027-05-06"),
    )
