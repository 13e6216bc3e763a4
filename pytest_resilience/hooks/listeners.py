"""Asks and tells those who implement our hooks; what is broken there fails no test."""

from collections.abc import Callable

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.errors import text_of
from pytest_resilience.core.retry import Again, Enough, RetryPolicy
from pytest_resilience.hooks.attempt import Attempt

_ENDS_SESSION = (KeyboardInterrupt, pytest.exit.Exception)


class Listeners:
    """The conftest files and other plugins that implement our hooks.

    `trouble` is told of those that are broken. Without `may_ask` nobody is asked what is to follow a failure.
    """

    def __init__(self, trouble: Callable[[Code, str], None], *, may_ask: bool) -> None:
        self._trouble = trouble
        self._may_ask = may_ask
        self.are_asked = False
        self.are_told = False

    def count(self, config: pytest.Config) -> None:
        """See which hooks anybody implements. Hooks are dear: each is called only where somebody needs it."""
        self.are_asked = self._may_ask and bool(config.hook.pytest_resilience_retry.get_hookimpls())
        self.are_told = bool(config.hook.pytest_resilience_attempt_finished.get_hookimpls())

    def decide(
        self, attempt: Attempt, decision: Again | Enough, policy: RetryPolicy, chance: float
    ) -> Again | Enough:
        """What follows a bad attempt when its policy made this decision. A broken hook changes nothing."""
        name = "pytest_resilience_retry"
        try:
            wish = attempt.hook.pytest_resilience_retry(
                item=attempt.item, attempt=attempt.number, error=attempt.error
            )
        except _ENDS_SESSION:
            raise
        except BaseException as error:
            self._is_broken(name, error)
            return decision
        match wish:
            case None:
                return decision
            case False:
                return Enough(f"{name} says no")
            case True if isinstance(decision, Enough):
                return policy.about(attempt.error).again(attempt.number, f"{name} says yes", chance)
            case True:
                return decision
            case int() | float() if 0 <= wish < 1e9:
                return decision._replace(after=float(wish)) if isinstance(decision, Again) else decision
        expected = "expected None, True, False, or a number of seconds, 0 or more"
        self._is_broken(name, TypeError(f"it answers with {type(wish).__name__}; {expected}"))
        return decision

    def finished(self, attempt: Attempt, *, is_final: bool) -> None:
        """An attempt has ended and is in the ledger."""
        try:
            attempt.hook.pytest_resilience_attempt_finished(
                item=attempt.item,
                attempt=attempt.number,
                outcome=attempt.outcome.value,
                error=attempt.error,
                is_final=is_final,
            )
        except _ENDS_SESSION:
            raise
        except BaseException as error:
            self._is_broken("pytest_resilience_attempt_finished", error)

    def _is_broken(self, name: str, error: BaseException) -> None:
        text = f"{type(error).__name__}: {text_of(error)}".partition("\n")[0]
        self._trouble(Code.INTERNAL_ERROR, f"an implementation of {name} is broken ({text}). Tests go on")
