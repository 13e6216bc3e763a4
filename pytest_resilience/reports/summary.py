"""The block at the end of a run: what became of every test, and the command that goes on from here."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from pytest_resilience.core.codes import Code, told
from pytest_resilience.core.keys import file_of
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.run import Run

MOST_LINES = 10
_WORDS = {
    Outcome.TIMED_OUT: "timed out",
    Outcome.NOT_RUN: "not run",
    Outcome.CARRIED_OVER: "carried over",
}


class Line(NamedTuple):
    """One line of the block. `color` is "red", "yellow", "green" or empty; `is_whole` forbids to cut it."""

    text: str
    color: str = ""
    is_whole: bool = False


class Facts(NamedTuple):
    """What the block is made of, beside the run itself.

    `name` gives a key as the user would type it; `carried_from` says where carried tests passed; `left_open`, `gone`,
    `stale`, `outdated` and `turned` (bad before, good now, the same files) are keys; `redacted` is the number of texts that a
    secret was taken out of; `warnings` are coded sentences, `reproach` is the one about too many flaky tests; `command` is the resume command, empty when there is no
    ledger to resume from. `late` are keys of tests that the ledger alone tells of, because their worker was cut off;
    `is_selected` is false for a session that ended before its tests were selected.
    """

    name: Callable[[str], str] = str
    carried_from: str = ""
    is_selected: bool = True
    late: Sequence[str] = ()
    left_open: Sequence[str] = ()
    gone: Sequence[str] = ()
    stale: Sequence[str] = ()
    outdated: Sequence[str] = ()
    turned: Sequence[str] = ()
    warnings: Sequence[str] = ()
    redacted: int = 0
    reproach: str = ""
    command: str = ""


class Style(NamedTuple):
    """How much is told: `what` as ``report.summary`` has it, pytest's verbosity and ``-r`` letters."""

    what: str = "problems"
    verbosity: int = 0
    letters: str = ""


def summary(run: Run, facts: Facts, style: Style) -> list[Line]:
    """The lines of the block, empty for "none". Whatever a node id or a message holds, a terminal obeys none of it."""
    return safe(_lines(run, facts, style))


def _lines(run: Run, facts: Facts, style: Style) -> list[Line]:
    if style.what == "none":
        return []
    ending = [
        *complete(run, facts),
        _outcomes(run),
        *_inconsistent(run),
        *_reproach(facts),
        *_resume(run, facts),
    ]
    if style.what == "counts" or style.verbosity < 0:
        return ending
    return [
        *(_all(run, facts) if style.what == "all" else ()),
        *_flaky(run, facts, style),
        *_late(run, facts),
        *held(run, facts),
        *_interrupted(run, facts),
        *_not_run(run, facts, style),
        *carried(run, facts, style),
        *_changes(facts),
        *_redacted(facts),
        *(Line(f"WARNING {warning}", "yellow", is_whole=True) for warning in facts.warnings),
        *(_by_file(run) if style.verbosity > 0 else ()),
        *ending,
    ]


def complete(run: Run, facts: Facts) -> Iterable[Line]:
    """That everything is carried over, when it is."""
    if set(run.counts()) == {Outcome.CARRIED_OVER} and not facts.left_open:
        yield Line(f"COMPLETE nothing was left to run - {Code.RESUME_NOTHING_LEFT}", "green", is_whole=True)


def _outcomes(run: Run) -> Line:
    counts = run.counts()
    parts = [f"total={counts.total()}", *(f"{one.value}={counts[one]}" for one in Outcome if counts[one])]
    if any(one.is_bad for one in counts):
        color = "red"
    else:
        color = "green" if counts and set(counts) <= {Outcome.PASSED, Outcome.CARRIED_OVER} else "yellow"
    return Line(f"OUTCOMES {' '.join(parts)}", color, is_whole=True)


def _inconsistent(run: Run) -> Iterable[Line]:
    """The run's own selection says how many tests there are; the categories have to add up to it."""
    missing = run.selected_total - run.counts().total() if run.selected_total is not None else 0
    if missing:
        yield Line(f"WARNING {Code.LEDGER_INCONSISTENT}: unaccounted={missing}", "red", is_whole=True)


def _reproach(facts: Facts) -> Iterable[Line]:
    if facts.reproach:
        yield Line(f"WARNING {facts.reproach}", "red", is_whole=True)


def _resume(run: Run, facts: Facts) -> Iterable[Line]:
    counts = {outcome: number for outcome, number in run.counts().items() if outcome.is_outstanding}
    left = sum(counts.values()) + len(facts.left_open)
    if not left or not facts.command:
        return
    parts = [f"{counts[one]} {word(one)}" for one in Outcome if one in counts]
    if facts.left_open:
        parts.append(f"{len(facts.left_open)} {where_open(facts)}")
    yield Line(f"RESUME {facts.command} - {left} left: {', '.join(parts)}", "", is_whole=True)


def word(outcome: Outcome) -> str:
    """An outcome as it stands in a sentence."""
    return _WORDS.get(outcome, outcome.value)


def _flaky(run: Run, facts: Facts, style: Style) -> Iterable[Line]:
    flaky = run.having(Outcome.FLAKY)
    shown = flaky if "R" in style.letters or style.what == "all" else flaky[:MOST_LINES]
    for key in shown:
        attempts = [ended for _, ended in run.attempts(key)]
        why = next(
            (f": {first_line(ended.message)}" for ended in attempts if ended.outcome.is_bad),
            ", after a crash",
        )
        last = next((word(ended.outcome) for ended in attempts if ended.outcome.is_good), "passed")
        made = run.number_of_attempts(key)
        # A hook may want more attempts than the policy had.
        limit = f" of {max(made, attempts[0].limit)}" if attempts else ""
        number = f"{made}{limit}"
        where = _places(run, key, last)
        yield Line(f"FLAKY {facts.name(key)} - {last} on attempt {number}{where}{why}", "yellow")
        if style.verbosity > 0:
            yield from _attempts(run, key)
    if len(shown) < len(flaky):
        yield Line(f"FLAKY and {len(flaky) - len(shown)} more, -rR lists all", "yellow")
    if style.verbosity > 0 or "R" in style.letters:
        for key in run.having(Outcome.FAILED, Outcome.ERROR, Outcome.TIMED_OUT, Outcome.CRASHED):
            if run.number_of_attempts(key) > 1:
                passes = sum(ended.outcome.is_good for _, ended in run.attempts(key))
                how = f", though {passes} of its attempts passed" if passes else " in all attempts"
                yield Line(f"RETRIED {facts.name(key)} - {word(run.outcome(key))}{how}", "red")
                yield from _attempts(run, key)


def _attempts(run: Run, key: str) -> Iterable[Line]:
    for writer, ended in run.attempts(key):
        wait = f", waited {ended.wait:g} s" if ended.wait else ""
        is_crash = ended.took_worker
        phase = ended.phase or ("" if is_crash else "setup")
        where = f" in {phase}" if ended.outcome.is_bad and phase else ""
        # Of a death it is not the worker that tells; the message says which one it was.
        place = "" if is_crash else f" on {worker_of(writer)}"
        yield Line(
            f"  attempt {ended.attempt}{place}: {word(ended.outcome)}{where}, "
            f"{ended.seconds:.2f} s{wait}: {first_line(ended.message)}"
        )


def _places(run: Run, key: str, last: str) -> str:
    """Where a test failed and where it was good at last, empty when that is the same worker."""
    bad = [(writer, ended) for writer, ended in run.attempts(key) if ended.outcome.is_bad]
    failed = dict.fromkeys(worker_of(writer) for writer, ended in bad if not ended.took_worker)
    place = worker_of(run.writer(key))
    # With copies every worker has a test of its own.
    if run.copies > 1 or list(failed) in ([], [place]):
        return ""
    return f", failed on {' and '.join(failed)}, {last} on {place}"


def worker_of(writer: str) -> str:
    """The worker of a writer's id, as xdist names it; the process that owns the run is "main", and so is its guard."""
    name = writer.partition(".")[0]
    return "main" if name in ("", "ctl", "guard") else name


def _late(run: Run, facts: Facts) -> Iterable[Line]:
    """Bad ends that pytest has no report of: without a line here nobody would learn which tests they are."""
    for key in facts.late:
        outcome = run.outcome(key)
        if outcome.is_bad:
            last = next((ended.message for _, ended in reversed(run.attempts(key))), "")
            why = f": {first_line(last)}" if last else ""
            yield Line(f"{upper(outcome)} {facts.name(key)} - told by the ledger alone{why}", "red")


def held(run: Run, facts: Facts) -> Iterable[Line]:
    """The tests that are not run because they were in flight in too many deaths, and how they are released."""
    for key in run.tests():
        if run.fate(key) == "held":
            yield Line(
                f"CRASHED {facts.name(key)} - not run: it was in flight in {_deaths(run, key)} runs that died; "
                "name it on the command line to run it",
                "red",
                is_whole=True,
            )


def _deaths(run: Run, key: str) -> int:
    known = run.inherited.get(key)
    return known.deaths if known is not None else 0


def _interrupted(run: Run, facts: Facts) -> Iterable[Line]:
    keys = run.having(Outcome.INTERRUPTED)
    if keys:
        text = f"in flight when the session was stopped: {some_of(facts, keys)}"
        yield Line(f"INTERRUPTED {number_of(keys)} - {text}", "yellow")


def _not_run(run: Run, facts: Facts, style: Style) -> Iterable[Line]:
    keys = run.having(Outcome.NOT_RUN)
    if not keys:
        return
    reason = run.reason
    yield Line(f"NOTRUN {number_of(keys)} - {told(reason.code, reason.why)}", "yellow")
    if "n" in style.letters:
        yield from (Line(f"  {facts.name(key)}", is_whole=True) for key in keys)


def carried(run: Run, facts: Facts, style: Style) -> Iterable[Line]:
    """What is taken over, and from where."""
    keys = run.having(Outcome.CARRIED_OVER)
    if not keys:
        return
    flaky = sum(run.inherited[key].outcome is Outcome.FLAKY for key in keys if key in run.inherited)
    note = f", {flaky} of them flaky" if flaky else ""
    yield Line(f"CARRIED {number_of(keys)} - {facts.carried_from}{note}", is_whole=True)
    if "c" in style.letters:
        yield from (Line(f"  {facts.name(key)}", is_whole=True) for key in keys)


def _changes(facts: Facts) -> Iterable[Line]:
    if facts.gone:
        yield Line(
            f"GONE {number_of(facts.gone)} - {Code.RESUME_TESTS_CHANGED}: {some_of(facts, facts.gone)}",
            "yellow",
        )
    if facts.stale:
        text = "passed before, but their files changed, so they ran again"
        yield Line(f"CHANGED {number_of(facts.stale)} - {Code.RESUME_CODE_CHANGED}: {text}", "yellow")
    if facts.outdated:
        text = f"carried over, though their files changed: {some_of(facts, facts.outdated)}"
        yield Line(f"CHANGED {number_of(facts.outdated)} - {Code.RESUME_CODE_CHANGED}: {text}", "yellow")
    if facts.turned:
        why = "mended elsewhere, flaky, or dependent on tests that did not run; a whole run tells"
        text = f"failed before and are good now with the same files: {why}: {some_of(facts, facts.turned)}"
        yield Line(f"TURNED {number_of(facts.turned)} - {text}")
    if facts.left_open:
        text = f"{where_open(facts)}: {some_of(facts, facts.left_open)}"
        yield Line(f"OPEN {number_of(facts.left_open)} - {Code.RESUME_OUTSTANDING}: {text}", "yellow")


def _redacted(facts: Facts) -> Iterable[Line]:
    if facts.redacted:
        texts = "1 text" if facts.redacted == 1 else f"{facts.redacted} texts"
        yield Line(
            f"REDACTED {texts} - {Code.SECRET_REDACTED}: what looks like a secret is *** in the ledger; "
            "if it is a real one, rotate it",
            is_whole=True,
        )


def where_open(facts: Facts) -> str:
    """Why tests stay open, as the end of a sentence."""
    return (
        "outside today's selection" if facts.is_selected else "not reached, the tests were not selected yet"
    )


def _by_file(run: Run) -> Iterable[Line]:
    files: dict[str, Counter[Outcome]] = {}
    for key, outcome in run.outcomes().items():
        files.setdefault(file_of(key), Counter())[outcome] += 1
    for file, counts in files.items():
        if set(counts) - {Outcome.PASSED, Outcome.CARRIED_OVER}:
            parts = ", ".join(f"{counts[one]} {word(one)}" for one in Outcome if one in counts)
            yield Line(f"FILE {file or '(no file)'} - {parts}")


def _all(run: Run, facts: Facts) -> Iterable[Line]:
    """Every test, grouped by file, the worst last: that is what stands next to the prompt."""
    worst: dict[str, int] = {}
    for key, outcome in run.outcomes().items():
        worst[file_of(key)] = max(worst.get(file_of(key), 0), outcome.severity)

    def place(entry: tuple[str, Outcome]) -> tuple[int, str, int]:
        key, outcome = entry
        return worst[file_of(key)], file_of(key), outcome.severity

    for key, outcome in sorted(run.outcomes().items(), key=place):
        attempts = run.number_of_attempts(key)
        times = f", {attempts} attempts" if attempts > 1 else ""
        took = f" - {run.seconds(key):.2f} s on {worker_of(run.writer(key))}{times}" if attempts else ""
        yield Line(f"{upper(outcome)} {facts.name(key)}{took}", _color(outcome))


def _color(outcome: Outcome) -> str:
    if outcome.is_bad:
        return "red"
    return "" if outcome.is_good and outcome is not Outcome.FLAKY else "yellow"


def upper(outcome: Outcome) -> str:
    """The word that stands before a test with this outcome."""
    return {Outcome.NOT_RUN: "NOTRUN", Outcome.CARRIED_OVER: "CARRIED", Outcome.TIMED_OUT: "TIMEDOUT"}.get(
        outcome, outcome.value.upper()
    )


def number_of(keys: Collection[str]) -> str:
    """How many tests that is, in words."""
    return "1 test" if len(keys) == 1 else f"{len(keys)} tests"


def some_of(facts: Facts, keys: Sequence[str]) -> str:
    """The names of the first tests, and how many more there are."""
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return ", ".join(facts.name(key) for key in keys[:3]) + more


def safe(lines: Iterable[Line]) -> list[Line]:
    """The lines, fit to print whatever a node id or a message holds."""
    return [line._replace(text=printable(line.text)) for line in lines]


def first_line(text: str) -> str:
    """The first line of a message, fit to print."""
    return printable(text.strip().partition("\n")[0])


def printable(text: str) -> str:
    """Text without characters that a terminal would obey: control characters, bidi marks, lone surrogates."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def cut(text: str, width: int) -> str:
    """Cut a line to the width of the terminal; what stands before " - " is a name and never cut."""
    name, dash, rest = text.partition(" - ")
    if not dash or len(text) <= width:
        return text
    left = width - len(name) - len(dash) - 3
    return f"{name}{dash}{rest[:left]}..." if left > 0 else name
