"""Whether a failed test gets another attempt, and after how long."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pytest_resilience.core.outcomes import Outcome

Backoff = Literal["fixed", "exponential"]
Filter = str | type[BaseException]


@dataclass(frozen=True, slots=True)
class Again:
    """Another attempt, `after` seconds from now."""

    after: float
    why: str


@dataclass(frozen=True, slots=True)
class Enough:
    """No further attempt."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how soon a test is tried again.

    `retries` is the number of attempts after the first. `delay` and `max_delay` are seconds; with "exponential"
    backoff the wait doubles with each attempt up to `max_delay`. `only` and `except_` are exception types, or
    regular expressions that are searched in ``TypeName: message``, of the error or any of its causes.
    """

    retries: int = 0
    delay: float = 0.0
    backoff: Backoff = "fixed"
    max_delay: float = 60.0
    only: tuple[Filter, ...] = ()
    except_: tuple[Filter, ...] = ()

    def decide(self, outcome: Outcome, attempt: int, error: BaseException | None) -> Again | Enough:
        """The answer for attempt number `attempt` (from 1), which ended with `outcome` because of `error`."""
        if outcome not in (Outcome.FAILED, Outcome.ERROR):
            return Enough(f"the test {outcome.value}")
        if attempt > self.retries:
            return Enough(f"no attempts left of {self.retries + 1}")
        if self.except_ and error is not None and matches(self.except_, error):
            return Enough("the error is in except")
        if self.only and (error is None or not matches(self.only, error)):
            return Enough("the error is not in only")
        return Again(self.wait_after(attempt), f"attempt {attempt} of {self.retries + 1}")

    def wait_after(self, attempt: int) -> float:
        """Seconds to wait after attempt number `attempt` (from 1); never negative, never above `max_delay`."""
        if self.backoff == "fixed" or not self.delay:
            return max(0.0, min(self.delay, self.max_delay))
        try:
            wait = self.delay * 2.0 ** (attempt - 1)
        except OverflowError:
            wait = self.max_delay
        return max(0.0, min(wait, self.max_delay))


def matches(filters: tuple[Filter, ...], error: BaseException) -> bool:
    """Whether one of the filters speaks of the error, one of its causes, or a member of its group."""
    return any(_matches(one, cause) for cause in causes(error) for one in filters)


def _matches(one: Filter, error: BaseException) -> bool:
    if isinstance(one, str):
        return re.search(one, f"{type(error).__name__}: {text_of(error)}") is not None
    return isinstance(error, one)


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, then what it came from, each once: explicit causes, contexts that were not suppressed, groups."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop(0)
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        waiting.append(current.__cause__)
        if not current.__suppress_context__:
            waiting.append(current.__context__)
        if isinstance(current, BaseExceptionGroup):
            waiting.extend(current.exceptions)


def text_of(error: BaseException) -> str:
    """The message of an exception; a placeholder for one whose ``__str__`` is broken."""
    try:
        return str(error)
    except Exception as problem:
        return f"<unprintable {type(error).__name__}: {type(problem).__name__}>"
