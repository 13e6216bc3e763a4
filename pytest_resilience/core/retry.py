"""Whether a failed test gets another attempt, and after how long."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from pytest_resilience.core.errors import Filter, matches
from pytest_resilience.core.outcomes import PHASES, Outcome, of_test

Backoff = Literal["fixed", "linear", "exponential"]
Strategy = Literal["immediate", "deferred", "isolated"]
Condition = Callable[[BaseException | None], bool]

# Scopes whose fixtures may be made anew for another attempt; function scope always is.
SCOPES = ("class", "module", "session")


class Again(NamedTuple):
    """Another attempt, `after` seconds from now at the earliest; `strategy` and `refresh` are as in RetryPolicy."""

    after: float
    why: str
    strategy: Strategy = "immediate"
    refresh: tuple[str, ...] = ()


class Enough(NamedTuple):
    """No further attempt."""

    why: str


class RetryPolicy(NamedTuple):
    """How often, how soon and where a test is tried again.

    `retries` is the number of attempts after the first. `delay` and `max_delay` are seconds: the wait after attempt n
    is `delay` ("fixed"), n times `delay` ("linear") or `delay` times `factor` to the power of n - 1 ("exponential"),
    never above `max_delay`; with `jitter` it is drawn evenly from zero to that, which spreads clients best ("full
    jitter", AWS Architecture Blog, Exponential Backoff And Jitter, 2015).

    `only` and `except_` are exception types, or regular expressions that are searched in ``TypeName: message``, of
    the error or any of its causes. `phases` names the phases whose failures are retried; `condition` is asked with
    the error, None when a failure has none. `refresh` is one of SCOPES, or the names of fixtures, to be made anew
    for another attempt. `reports` says which attempts other plugins get reports of. `crash_retries` is how often a test
    is tried again whose process died; nobody who could decide about it is left in that process. `min_passes` is how
    many attempts have to pass before the test has. `rules` change other fields for some errors.
    """

    retries: int = 0
    delay: float = 0.0
    backoff: Backoff = "fixed"
    factor: float = 2.0
    max_delay: float = 60.0
    jitter: bool = False
    only: tuple[Filter, ...] = ()
    except_: tuple[Filter, ...] = ()
    phases: tuple[str, ...] = PHASES
    condition: Condition | None = None
    refresh: tuple[str, ...] = ()
    strategy: Strategy = "immediate"
    flaky_result: Literal["pass", "fail"] = "pass"
    reports: Literal["final", "all"] = "final"
    crash_retries: int = 1
    min_passes: int = 1
    rules: "tuple[Rule, ...]" = ()

    @property
    def most_retries(self) -> int:
        """The number of retries when the most generous rule applies."""
        if not self.rules:
            return self.retries
        several: list[int] = [rule.changes.get("retries", 0) for rule in self.rules]
        return max([self.retries, *several])

    def about(self, error: BaseException | None) -> "RetryPolicy":
        """The policy for one error: each field as the first rule says that matches and has it, else as it is here."""
        changes: dict[str, Any] = {}
        if error is not None:
            for rule in self.rules:
                if matches(rule.match, error):
                    changes = {**rule.changes, **changes}
        return self._replace(**changes) if changes else self

    def decide(
        self,
        outcome: Outcome,
        attempt: int,
        error: BaseException | None,
        *,
        phase: str = "call",
        passes: int = 1,
        chance: float = 1.0,
    ) -> Again | Enough:
        """The answer for attempt number `attempt` (from 1), which ended with `outcome` because of `error` in `phase`.

        `passes` is how many attempts passed so far, this one included. `chance`, from 0 to 1, is what jitter draws.
        """
        left = self.most_retries + 1 - attempt
        if outcome is Outcome.PASSED and passes < self.min_passes <= passes + left:
            return Again(0.0, f"passed {passes} of {self.min_passes} times")
        if outcome not in _RETRIED:
            return Enough(f"the test {outcome.value}")
        if 0 < left < self.min_passes - passes:
            return Enough(f"too few attempts left to pass {self.min_passes} times")
        return self.about(error)._decide(attempt, error, phase, chance)

    def _decide(self, attempt: int, error: BaseException | None, phase: str, chance: float) -> Again | Enough:
        if attempt > self.retries:
            return Enough(f"no attempts left of {self.retries + 1}")
        if phase not in self.phases:
            return Enough(f"failures in {phase} are not retried")
        excluded = self.excludes(error)
        if excluded:
            return Enough(excluded)
        if self.condition is not None and not self.condition(error):
            return Enough("the condition does not hold")
        why = f"attempt {attempt} of {self.retries + 1}"
        return self.again(attempt, why, chance)

    def again(self, attempt: int, why: str, chance: float = 1.0) -> Again:
        """Another attempt after number `attempt` (from 1), when and where this policy has it."""
        return Again(self.wait_after(attempt, chance), why, self.strategy, self.refresh)

    def excludes(self, error: BaseException | None) -> str:
        """Why an error is none that is retried, empty when it is; of rules and conditions nothing is asked."""
        # In doubt a test runs again: what was only being handled when the error came up excludes nothing.
        if self.except_ and error is not None and matches(self.except_, error, with_context=False):
            return "the error is in except"
        if self.only and (error is None or not matches(self.only, error)):
            return "the error is not in only"
        return ""

    def wait_after(self, attempt: int, chance: float = 1.0) -> float:
        """Seconds to wait after attempt number `attempt` (from 1); never negative, never above `max_delay`."""
        try:
            match self.backoff:
                case "fixed":
                    wait = self.delay
                case "linear":
                    wait = self.delay * attempt
                case "exponential":
                    wait = self.delay * self.factor ** (attempt - 1)
        except OverflowError:
            wait = self.max_delay if self.delay else 0.0
        wait = max(0.0, min(wait, self.max_delay))
        return wait * chance if self.jitter else wait

    def verdict(self, last: Outcome, *, passes: int, is_marred: bool) -> tuple[Outcome, str]:
        """The final outcome of a test whose last attempt was `last`, and what is held against a test that passed.

        `passes` is how many attempts passed, `is_marred` whether one was bad. What is held against it is why the test
        fails although attempts passed: it is flaky, and that is not tolerated. It is empty for any other test.
        """
        if passes < self.min_passes and (last is Outcome.PASSED or (last.is_bad and passes)):
            reproach = f"passed {passes} of the {self.min_passes} times that it has to"
            return last if last.is_bad else Outcome.FAILED, reproach
        if last is Outcome.PASSED and not is_marred:
            return last, ""
        final = of_test(last, had_bad_attempt=is_marred)
        if final is Outcome.FLAKY and self.flaky_result == "fail":
            return Outcome.FAILED, f"{last.value} only after a bad attempt, and flaky-result is fail"
        return final, ""


class Rule(NamedTuple):
    """What holds instead for errors that one of the filters in `match` speaks of: fields of a policy by name."""

    match: tuple[Filter, ...]
    changes: Mapping[str, Any]


_RETRIED = frozenset({Outcome.FAILED, Outcome.ERROR, Outcome.TIMED_OUT})
