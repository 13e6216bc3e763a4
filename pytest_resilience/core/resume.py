"""What a resumed run does with each test, from what the runs before it knew."""

from collections.abc import Callable, Collection, Iterable, Mapping
from enum import Enum
from itertools import filterfalse
from typing import Literal, NamedTuple

from pytest_resilience.core.facts import FileCollected, TestInherited
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.redaction import is_redacted
from pytest_resilience.core.run import Run

DEATHS_BEFORE_HELD = 2

# What becomes of a good test whose files changed. "warn" is "carry", and told.
Stale = Literal["run", "carry", "warn"]


class Decision(Enum):
    """What becomes of one test today."""

    RUN = "run"
    RUN_STALE = "run, its files changed"
    RUN_LAST = "run, after all others"
    HOLD = "not run, it was in flight in too many deaths"
    CARRY = "carried over"
    CARRY_STALE = "carried over, though its files changed"

    # As for `Outcome`.
    __hash__ = object.__hash__


def decide(known: TestInherited | None, digest: str, *, named: bool, stale: Stale = "run") -> Decision:
    """The decision for one test.

    `known` is what the chain knows of it, None for a new test; `digest` is the content of its files today, empty
    when unknown; `named` says that the command line names the test itself. Everything that is not known to be
    finally good runs. So does, whatever `stale` says, a test of which nobody knows whether its files changed, and one with a
    redacted key, which may be another than it was: it is never carried over, and never held back for what another did.
    """
    if known is None:
        return Decision.RUN
    if known.outcome.is_good:
        if is_redacted(known.key):
            return Decision.RUN
        if not digest or not known.digest:
            return Decision.RUN_STALE
        if digest == known.digest:
            return Decision.CARRY
        return Decision.RUN_STALE if stale == "run" else Decision.CARRY_STALE
    if known.deaths >= DEATHS_BEFORE_HELD and not named and not is_redacted(known.key):
        return Decision.HOLD
    if known.deaths or known.outcome is Outcome.CRASHED:
        return Decision.RUN_LAST
    return Decision.RUN


class Plan(NamedTuple):
    """The decisions for every test that the chain knows. Tests it does not know run.

    `stale` are those that run because their files changed, `outdated` those of the `carried` ones whose files did.
    `whole` are the files, with the digests of their collections, that would be collected as they once were; the
    `unimported` ones among them need not be, and of the `partial` ones only what has something left.
    """

    parent: str = ""
    known: Mapping[str, TestInherited] = {}
    carried: frozenset[str] = frozenset()
    last: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()
    stale: frozenset[str] = frozenset()
    outdated: frozenset[str] = frozenset()
    whole: Mapping[str, str] = {}
    unimported: frozenset[str] = frozenset()
    partial: frozenset[str] = frozenset()

    @property
    def outstanding(self) -> list[str]:
        """The keys that are not finally good, those whose files changed included."""
        return [*filterfalse(self.carried.__contains__, self.known)]

    def inherited(self) -> list[TestInherited]:
        """What the new run takes over. What is good and runs again is handed on as not run, so no damage can make it good.

        What is carried keeps the digest that it passed with: a later resume may be of another mind about changes.
        """
        handed_on = dict(self.known)
        for key in self.outstanding:
            if handed_on[key].outcome.is_good:
                handed_on[key] = _reopened(handed_on[key])
        return list(handed_on.values())

    def collected(self) -> list[FileCollected]:
        """The files that the new run knows as collected whole, whether it collects them itself or not."""
        return [FileCollected(file=file, digest=digest) for file, digest in self.whole.items()]


def plan(
    parent: str,
    known: Iterable[TestInherited],
    digest_of: Callable[[str], str],
    named: Collection[str] = (),
    stale: Stale = "run",
) -> Plan:
    """The plan of a resume of the run `parent`.

    `digest_of` gives today's content for a key; `named` holds the node ids that the command line names; `stale` says
    what becomes of good tests whose files changed.
    """
    by_key = {one.key: one for one in known}
    names = tuple(name for name in named if "::" in name)
    has_redacted = is_redacted("\n".join(by_key))
    keys: dict[Decision, list[str]] = {decision: [] for decision in Decision}
    # Nearly all tests are like others in all that the decision is made by.
    made: dict[tuple[Outcome, str, int, str, bool, bool], Decision] = {}
    for key, one in by_key.items():
        outcome = one.outcome
        alike = (
            outcome,
            one.digest,
            one.deaths,
            digest_of(key) if outcome.is_good else "",
            has_redacted and is_redacted(key),
            bool(names) and _is_named(key, names),
        )
        decision = made.get(alike)
        if decision is None:
            decision = made[alike] = decide(one, alike[3], named=alike[5], stale=stale)
        keys[decision].append(key)
    return Plan(
        parent=parent,
        known=by_key,
        carried=frozenset(keys[Decision.CARRY] + keys[Decision.CARRY_STALE]),
        last=frozenset(keys[Decision.RUN_LAST]),
        held=frozenset(keys[Decision.HOLD]),
        stale=frozenset(keys[Decision.RUN_STALE]),
        outdated=frozenset(keys[Decision.CARRY_STALE]),
    )


def _is_named(key: str, names: Collection[str]) -> bool:
    return any(key == name or key.startswith((f"{name}[", f"{name}::", f"{name} #")) for name in names)


def _reopened(one: TestInherited) -> TestInherited:
    return TestInherited(key=one.key, outcome=Outcome.NOT_RUN, run=one.run)


def knowledge(run: Run, run_id: str) -> list[TestInherited]:
    """What a run leaves to the next one: for each test of the chain its last known state.

    Tests selected in this run use only this run's records; what it inherited speaks for the others. `deaths` grows
    when the run died with the test in flight, stays while the test was not reached, and ends with a result.
    """
    left = dict(run.inherited)
    died = run.ended is None and not run.interrupted
    for key in run.gone():
        left.pop(key, None)
    for key, outcome, fate, digest, attempts, seconds, is_finished in run.known():
        before = run.inherited.get(key)
        deaths = 0
        if before is not None:
            if fate in ("carried", "held"):
                continue
            deaths = before.deaths
        if is_finished:
            deaths = 0
        elif died and attempts is not None:
            deaths += 1
        if outcome is Outcome.CARRIED_OVER or (run.selected_total is None and outcome.is_good):
            # Said to be carried, with nothing left that says from where; or good, with nothing left that says how
            # often the test had to run (``--dist each``): not known as good.
            outcome = Outcome.NOT_RUN
        left[key] = TestInherited(key, outcome, run_id, attempts or 0, seconds, digest, deaths)
    return list(left.values())
