"""How many flaky tests a run may have and still be green."""

from typing import NamedTuple

from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.run import Run
from pytest_resilience.core.shares import Share, exceeds, shown


class Tolerance(NamedTuple):
    """`is_none` tolerates no flaky test; `most` so many, or such a share of the selected tests, and no more."""

    is_none: bool = False
    most: Share = "none"

    def reproach(self, run: Run) -> str:
        """What is said of too many flaky tests, empty when they are tolerated.

        A test that was flaky when it was carried over is flaky still: a resume does not make it stable.
        """
        most: Share = 0 if self.is_none else self.most
        if most == "none":
            return ""
        carried = sum(
            run.inherited[key].outcome is Outcome.FLAKY
            for key in run.having(Outcome.CARRIED_OVER)
            if key in run.inherited
        )
        counts = run.counts()
        flaky, tests = counts[Outcome.FLAKY] + carried, counts.total()
        if not exceeds(flaky, most, tests):
            return ""
        of_earlier = f", {carried} of them carried over" if carried else ""
        return f"{flaky} flaky {'test' if flaky == 1 else 'tests'}{of_earlier} (at most {shown(most, tests)})"
