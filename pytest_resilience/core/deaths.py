"""What is said of a worker that died in a test: how, where, after how long, and what may have been the cause."""

from dataclasses import dataclass

from pytest_resilience.core.codes import Code, told
from pytest_resilience.core.outcomes import Outcome

# A test that was not in its call yet, or for less than this, may be innocent: a thread or a child of an earlier one.
SECONDS_TO_BE_SURE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """A process died while it ran a test.

    `how` is the end of a sentence: "died of SIGSEGV". `is_killed` says that nothing but SIGKILL is known, and
    `is_out_of_memory` that the system counted a process that it killed for want of memory. `seconds` is for how long
    the attempt had been running, `peak` the most memory that the process took, in MB; None where that is not known.
    `before` are the tests that the process ran last, with how many seconds before the death each had ended.
    `is_at_fault` says that the stack shows the test at work. `is_hung` says that it was ended, because it did not get
    on; `how` then tells of that, and `notes` are further lines.
    """

    worker: str
    how: str
    key: str
    is_killed: bool = False
    is_out_of_memory: bool = False
    phase: str = ""
    seconds: float | None = None
    pid: int | None = None
    peak: int | None = None
    before: tuple[tuple[str, float], ...] = ()
    is_at_fault: bool = False
    is_hung: bool = False
    notes: tuple[str, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """What that makes of the attempt."""
        return Outcome.TIMED_OUT if self.is_hung else Outcome.CRASHED

    @property
    def code(self) -> Code:
        """What kind of problem it is."""
        if self.is_hung:
            return Code.WORKER_HUNG
        return Code.WORKER_OUT_OF_MEMORY if self.is_out_of_memory else Code.WORKER_CRASHED

    @property
    def why(self) -> str:
        """The worker and how it died: ``gw0 died of SIGSEGV``."""
        if self.is_out_of_memory:
            return f"{self.worker} was killed by the system, which ran out of memory"
        return f"{self.worker} {self.how}"

    @property
    def message(self) -> str:
        """All of it for the ledger; the first line stands in the summary."""
        return "\n".join([f"worker {self.why}{self._place}{self._hint}", *self.details])

    @property
    def title(self) -> str:
        """How the report of the test begins."""
        return told(self.code.code, f"{self.why} while it ran {self.key}")

    @property
    def details(self) -> list[str]:
        """What else is known, in lines."""
        process = [f"process {self.pid}"] if self.pid is not None else []
        process += [f"at most {self.peak} MB of memory"] if self.peak is not None else []
        lines = [f"{self.worker} was{self._place}" if self._place else "", ", ".join(process)]
        if self._hint:
            lines.append(f"SIGKILL{self._hint}")
        if self.before:
            lines.append(f"before it {self.worker} ran {', '.join(name for name, _ in self.before)}")
        if self.may_be_innocent:
            name, seconds = self.before[-1]
            lines.append(f"may be caused by an earlier test: {name} ended {_shown(seconds)} before")
        return [line for line in (*lines, *self.notes) if line]

    @property
    def may_be_innocent(self) -> bool:
        """Whether the death may be the work of an earlier test: this one had hardly begun."""
        if self.is_hung:
            return False
        had_begun = self.phase in ("call", "teardown") and (self.seconds or 0.0) >= SECONDS_TO_BE_SURE
        return bool(self.before) and not self.is_at_fault and not self.is_out_of_memory and not had_begun

    @property
    def _place(self) -> str:
        phase = f" in {self.phase}" if self.phase and not self.is_hung else ""
        return phase + (f" after {_shown(self.seconds)}" if phase and self.seconds is not None else "")

    @property
    def _hint(self) -> str:
        """Who sends SIGKILL is mostly the system, and it does not say so to everybody."""
        if not self.is_killed or self.is_out_of_memory:
            return ""
        peak = f": its peak was {self.peak} MB" if self.peak is not None else ""
        return f", perhaps out of memory{peak}"


def _shown(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
