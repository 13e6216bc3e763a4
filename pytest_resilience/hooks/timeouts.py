"""The time limits of pytest-timeout and of pytest's ``faulthandler_timeout``, for each attempt of a test."""

import faulthandler
import re
import time
from contextlib import suppress

import pytest

from pytest_resilience.core.errors import causes, text_of
from pytest_resilience.hooks import internals

# Tests replace it; we want the real one.
_now = time.time

# What pytest-timeout fails a test with; before 2.4 without the brackets and what follows them.
_MESSAGE = r"Timeout \(?>[\d.e+-]+s(\) from pytest-timeout\.)?"


class HangTimeout(internals.Failed):
    """What an attempt is interrupted with that hangs."""

    # As pytest names its own.
    __module__ = "builtins"


def is_timeout(error: BaseException | None) -> bool:
    """Whether an exception is the one with which a test is ended here or by pytest-timeout, or came of it."""
    return error is not None and any(
        isinstance(one, HangTimeout)
        or (isinstance(one, pytest.fail.Exception) and re.fullmatch(_MESSAGE, text_of(one)))
        for one in causes(error)
    )


class TimeLimits:
    """Arms for later attempts what others arm for the first one, and disarms it while no attempt runs.

    Both of them wrap the whole test, in which all attempts run, and let go of it at the first failure. A limit with
    ``func_only`` wraps the call alone, of every attempt. What is raised when a limit is reached goes to the caller;
    any other trouble of theirs leaves an attempt without a limit, and no more.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._timeout = internals.timeout_plugin(config)
        self._dumps_stacks = internals.seconds_to_dump(config) > 0
        self.are_set = self._dumps_stacks or self._timeout is not None

    def begin(self, item: pytest.Item) -> None:
        """Limit the attempt that begins now; the first one has its limits already."""
        if self._timeout is not None:
            with suppress(Exception):
                internals.arm_timeout(self._timeout, item)
        if self._dumps_stacks:
            with suppress(Exception):
                internals.arm_dump(item.config)

    def pause(self, item: pytest.Item) -> None:
        """Lift the limits: the attempt is over, and a wait may follow."""
        if self._timeout is not None:
            with suppress(Exception):
                item.config.hook.pytest_timeout_cancel_timer(item=item)
        if self._dumps_stacks:
            faulthandler.cancel_dump_traceback_later()

    def has_expired(self, session: pytest.Session) -> str:
        """Why no attempt may follow when the time of ``--session-timeout`` is over, empty as long as it is not.

        pytest-timeout itself looks between tests; as it does then, this lets the session end after the test.
        """
        if self._timeout is None:
            return ""
        with suppress(Exception):
            deadline, why = internals.session_timeout(self._timeout, session.config)
            if deadline and deadline < _now():
                session.shouldfail = why
                return why
        return ""
