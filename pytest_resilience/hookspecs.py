"""Hooks that a conftest.py or another plugin may implement."""

from typing import Literal

import pytest


@pytest.hookspec(firstresult=True)
def pytest_resilience_retry(
    item: pytest.Item, attempt: int, error: BaseException | None
) -> bool | float | None:
    """Say whether a bad attempt is followed by another. The first answer that is not None counts.

    Called in the process that runs the test, after its setup and call, or after its teardown where only that failed.
    Not called when all retries are off or the session is stopping. An implementation that raises, or that answers
    with something else, changes nothing; it is told of at the end of the session.

    :param item: the test.
    :param attempt: the number of the attempt, from 1.
    :param error: the exception that it failed with; None where there is none, because a plugin made up the failure.
    :returns: None to leave it to the policy of the test. False for no further attempt. True for another one, whatever
        limit, filters, phases and condition say; it waits as the policy says. A number: as the policy says, but after
        that many seconds. What holds for the whole session (a stop, the budget, the gate) holds all the same.
    """


def pytest_resilience_attempt_finished(
    item: pytest.Item,
    attempt: int,
    outcome: Literal["passed", "skipped", "xfailed", "xpassed", "failed", "error", "timed_out"],
    error: BaseException | None,
    is_final: bool,
) -> None:
    """An attempt has ended and is in the ledger; called in the process that ran it, before the next one begins.

    Not called for an attempt that was cut off. Where a session ends before the next attempt, the last one is told
    again, as the final one. An implementation that raises is told of at the end of the session.

    :param item: the test.
    :param attempt: the number of the attempt, from 1.
    :param outcome: what the attempt showed; a test that passes at last is ``flaky``, its last attempt ``passed``.
    :param error: the exception that it failed with, None where there is none.
    :param is_final: whether no further attempt follows.
    """


def pytest_resilience_redact(text: str) -> str | None:
    """Take out of a text what must not be in the ledger.

    Called with node ids, messages, reasons and arguments, after tokens, values of secret-looking variables and patterns
    were taken out; in each process, and of every implementation. An answer that is not a text with ``***`` in the place
    of each secret, or that is itself answered with something else, and an error, drop the whole text: it is told of at the
    end of the session.

    :param text: what is to be written.
    :returns: the text without the secret; None, or the text itself, where there is none.
    """
