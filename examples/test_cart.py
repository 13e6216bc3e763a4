"""Carts: ordinary tests that pass."""

from decimal import Decimal

import pytest

from shop import total


def test_an_empty_cart_costs_nothing():
    assert total({}) == 0


@pytest.mark.parametrize("count", [1, 2, 10, 25])
def test_the_price_grows_with_the_number(count):
    assert total({"pen": count}) == Decimal("1.50") * count


def test_a_large_cart_is_cheaper():
    assert total({"backpack": 10}) == Decimal("359.10")
