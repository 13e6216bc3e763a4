"""Makes the example tests take their time, as real ones do."""

import time

import pytest


@pytest.fixture(autouse=True)
def _a_moment() -> None:
    time.sleep(0.05)
