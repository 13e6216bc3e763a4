"""Orders: every test needs the warehouse, so all fail with one and the same error while it is down."""

import pytest

from shop import Warehouse


@pytest.mark.parametrize("article", ["pen", "notebook", "backpack"])
@pytest.mark.parametrize("customer", ["company", "person", "school", "library"])
def test_an_order_is_reserved(article, customer):
    assert Warehouse().reserve(article) == f"{article} is reserved"
