"""Exports: the first test takes its whole process with it while the warehouse is down."""

import pytest

from shop import export, label


def test_all_orders_of_a_day_are_exported():
    assert export(["pen", "notebook", "backpack"]) == 3


@pytest.mark.parametrize("article", ["pen", "notebook", "backpack"])
@pytest.mark.parametrize("count", [2, 3, 12, 100])
def test_the_label_says_how_many(article, count):
    assert label(article, count) == f"{count} x {article}"
