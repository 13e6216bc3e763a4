"""Prices: ordinary tests again, but the batch has stopped before it comes to them."""

from decimal import Decimal

import pytest

from shop import price_tag


@pytest.mark.parametrize("currency", ["EUR", "USD", "CHF"])
@pytest.mark.parametrize("amount", [0, 1, 25, 999])
def test_a_price_tag_has_two_decimals(amount, currency):
    assert price_tag(Decimal(amount), currency) == f"{amount}.00 {currency}"


def test_a_long_price_is_grouped():
    assert price_tag(Decimal(1234567)) == "1,234,567.00 EUR"
