"""Suites that are made to be killed, in a folder of their own for each test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .driver import Chain, Expected, uninterrupted
from .suite import Suite


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Suite]:
    """Makes suites; each gets a folder named after how many there are."""
    numbers = iter(range(1, 1000))

    def make(addopts: str = "") -> Suite:
        return Suite(tmp_path / f"suite-{next(numbers)}", addopts)

    return make


@pytest.fixture(scope="session")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Expected:
    """What becomes of the suite when nobody kills its sessions."""
    return uninterrupted(Suite(tmp_path_factory.mktemp("uninterrupted") / "suite"))


@pytest.fixture
def chain(made: Callable[..., Suite]) -> Iterator[Chain]:
    """Sessions of a serial suite, none of which outlives the test."""
    chain = Chain(made())
    yield chain
    chain.clear()
