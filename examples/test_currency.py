"""Currencies: the first test is flaky, because the rate service has to wake up."""

from decimal import Decimal

import pytest

from shop import RateService

service = RateService()  # one for the process, so every run of the batch finds it asleep


def test_the_rate_service_knows_the_dollar():
    assert service.rate("USD") == Decimal("1.10")


@pytest.mark.parametrize("dollars", [1, 10, 100])
def test_dollars_become_francs(dollars):
    assert (dollars / Decimal("1.10") * Decimal("0.95")).quantize(Decimal("0.01")) < dollars
