"""A batch of tests for each test that runs sessions as processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .sessions import Batch


@pytest.fixture
def batch(tmp_path: Path) -> Iterator[Batch]:
    """A folder for tests of its own, whose sessions do not outlive the test."""
    made = Batch(tmp_path / "batch")
    yield made
    made.clear()
