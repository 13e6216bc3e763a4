"""A segment that keeps nothing, for a run that has nowhere to write to."""

from pytest_resilience.core.facts import Fact


class NoSegment:
    """Takes what a Segment takes and acknowledges none of it."""

    def __init__(self, worker: str) -> None:
        self.writer = f"{worker}.0.00000000"
        self.dropped = 0

    def write(self, fact: Fact) -> bool:
        self.dropped += 1
        return False

    def sync(self) -> None:
        pass

    def close(self) -> None:
        pass
