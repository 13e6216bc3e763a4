"""A limit is a number, a share or none; a share is exact, whatever its decimals."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.shares import Share, exceeds, rounded_up, shown
from pytest_resilience.settings import values

totals = st.integers(0, 10**6)
shares = st.decimals(0, 100, places=4, allow_nan=False).map(lambda number: f"{number}%")


@pytest.mark.parametrize(
    ("share", "total", "limit"),
    [(40, 5, 40), (0, 5, 0), ("5%", 500, 25), ("5%", 501, 26), ("7%", 100, 7), ("0%", 9, 0), ("0.1%", 1, 1)],
)
def test_a_share_is_of_all_tests_and_rounded_up(share: Share, total: int, limit: int) -> None:
    assert rounded_up(share, total) == limit


def test_none_is_no_limit() -> None:
    assert rounded_up("none", 5) is None
    assert not exceeds(10**9, "none", 5)


@given(st.integers(0, 10**6), shares, totals)
def test_more_than_a_share_is_compared_exactly(count: int, share: str, total: int) -> None:
    exact = Fraction(share.removesuffix("%")) / 100 * total
    assert exceeds(count, share, total) == (count > exact)
    assert rounded_up(share, total) == math.ceil(exact)


@given(st.integers(0, 10**6), st.integers(0, 10**6), totals)
def test_a_number_is_a_limit_whatever_the_total(count: int, limit: int, total: int) -> None:
    assert exceeds(count, limit, total) == (count > limit)


@given(shares | st.integers(0, 10**17) | st.just("none"), totals)
def test_every_value_of_the_setting_is_understood(value: Share, total: int) -> None:
    share = values.share(value)
    limit = rounded_up(share, total)
    assert (limit is None) == (share == "none")
    assert limit is None or not exceeds(limit - 1, share, total)


def test_a_share_is_shown_with_what_it_is_of() -> None:
    assert (shown("5%", 500), shown(25, 500)) == ("5% of 500", "25")
