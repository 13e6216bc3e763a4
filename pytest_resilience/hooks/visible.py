"""What a test can know of its own attempts: the fixture `attempt`, and a variable of the environment."""

import os
from typing import NamedTuple

import pytest

from pytest_resilience.hooks.attempt import Course

VARIABLE = "PYTEST_RESILIENCE_ATTEMPT"

# Tests may put something else in its place; what they start inherits this one.
_environ = os.environ


class AttemptInfo(NamedTuple):
    """The attempt that runs: its `number` (from 1), how many there may be at most, the errors of those before.

    `errors` has a text ``TypeName: message`` for each earlier attempt, in order; empty for one that passed.
    """

    number: int
    limit: int
    errors: tuple[str, ...]

    @property
    def is_last(self) -> bool:
        """No further attempt follows, unless the hook pytest_resilience_retry wants one."""
        return self.number >= self.limit


class Visible:
    """Tells the test that runs which attempt it is in."""

    def __init__(self) -> None:
        self._course: Course | None = None
        self._shown = 0
        self._before = _environ.get(VARIABLE)

    def begin(self, course: Course) -> None:
        """An attempt begins."""
        self._course = course
        # Most tests have one attempt, and the environment is slow, to look at it too.
        if self._shown != course.number:
            self._shown = course.number
            _environ[VARIABLE] = str(course.number)

    @pytest.fixture(name="attempt")
    def attempt(self) -> AttemptInfo:
        """The present attempt at the test: its number, the limit, and the errors of earlier attempts."""
        course = self._course
        if course is None:
            return AttemptInfo(number=1, limit=1, errors=())  # another plugin runs this test
        return AttemptInfo(number=course.number, limit=course.limit, errors=course.errors)

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self) -> object:
        try:
            return (yield)
        finally:
            _environ.pop(VARIABLE, None)
            if self._before is not None:
                _environ[VARIABLE] = self._before
