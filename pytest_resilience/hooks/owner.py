"""The run as its owner keeps it: its folder in the ledger, the live fold, the thresholds, the plan, the exit status.

The owner is the process that the user started: the only one of a serial session, the controller under xdist.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import (
    AttemptEnded,
    DecisionTaken,
    Fact,
    FileCollected,
    RunEnded,
    SelectionDone,
    TestFinished,
    TestInherited,
    TestsInherited,
    TestsSelected,
)
from pytest_resilience.core.keys import file_of, nodeid_of
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.redaction import is_redacted
from pytest_resilience.core.resume import Plan
from pytest_resilience.core.run import Run
from pytest_resilience.core.whole import by_file, collection_digest
from pytest_resilience.hooks import choice as choices
from pytest_resilience.hooks import collecting, recording
from pytest_resilience.hooks.choice import Choice
from pytest_resilience.hooks.journal import is_limited
from pytest_resilience.hooks.redaction import redactor_for
from pytest_resilience.hooks.selection import Collected
from pytest_resilience.ledger.contents import Contents
from pytest_resilience.ledger.runs import RunFolder
from pytest_resilience.ledger.segments import Segment
from pytest_resilience.settings.resolved import Settings

if TYPE_CHECKING:
    from pytest_resilience.core.thresholds import Threshold
    from pytest_resilience.history import Past
    from pytest_resilience.hooks.allowance import Allowance

# The exit status of a run that is green but for its flaky tests, as pytest-rerunfailures has it too.
FLAKY_STATUS = 7
# Under which name the owner is known where it has no segment.
_NO_WRITER = "ctl"

# Tests replace these; we want the real ones.
_now = time.time


class Owner:
    """What the owner of a run knows and decides. The hook classes translate between it and pytest."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self.config = config
        self.settings = settings
        self.run = Run()
        self.plan = Plan()
        self.contents = Contents(
            config.rootpath, settings["resume.watch"], config.rootpath / settings["ledger.dir"]
        )
        self.redactor = redactor_for(config, settings["ledger.redact"], self.warn)
        self.stores = recording.stores_for(config, settings, self.redactor)
        self.parent: Past | None = None
        self.folder: RunFolder | None = None
        self.segment: Segment | None = None
        self.decision: DecisionTaken | None = None
        self.warnings: dict[Code, str] = {}
        self._moved = ""
        self.started = _now()
        self.session: pytest.Session | None = None
        self.choice = choices.typed(config)
        self.choice_of_chain = self.choice
        self.taken_over = Choice()
        self.late: list[str] = []
        self.unimported = 0
        self.redacted_ids = 0
        self.redacted_by: dict[object, int] = {}
        self.is_open = False
        self.is_selected = False
        # A worker died or failed outside of its tests: what it had to tear down may have failed unseen.
        self.is_marred = False
        self._has_reproached = False
        self.allowance: Allowance | None = None
        limits = settings["stop.after"], settings["stop.same-error"]
        self._thresholds = _thresholds(*limits) if any(limits) else []
        self.has_thresholds = bool(self._thresholds)

    # -- the beginning --------------------------------------------------------------------------------------------

    @property
    def wanted(self) -> str | None:
        """As `choice.wanted`."""
        return choices.wanted(self.config)

    @property
    def run_key(self) -> str:
        """As `choice.run_key`."""
        return choices.run_key(self.config)

    @property
    def name_for_resume(self) -> str:
        """How to name this run where a resume without a name would not take it; empty where it would.

        That is when another began after it, or when its key held a secret and is not in the ledger.
        """
        folder = self.folder
        if folder is None:
            return ""
        is_found = self.stores.newest_id() == folder.id and self.run_key in ("", folder.info.run_key)
        return "" if is_found else folder.id.partition("-")[2]

    @property
    def is_rehearsal(self) -> bool:
        """As `choice.is_rehearsal`."""
        return choices.is_rehearsal(self.config)

    @property
    def shows_plan(self) -> bool:
        """Nothing is run to show what a resume would do (``--resume-failed --collect-only``)."""
        return self.wanted is not None and bool(self.config.option.collectonly)

    def open(self, say: Callable[[str], None]) -> None:
        """Make the plan and the run's place in the ledger. Raises pytest.UsageError when a resume is refused.

        `say` shows at once what cannot wait for the summary.
        """
        self.is_open = True
        key = recording.key_of(self.config)
        self._resume(key, say)
        if self.is_rehearsal:
            return
        earlier = self.parent.info.run_key if self.parent is not None else ""
        self.folder = recording.begin(
            self.config,
            self.stores,
            [*self._handed_on, *self.plan.collected()],
            self.warn,
            key=key,
            choice=self.choice_of_chain,
            parent=self.plan.parent,
            run_key=self.run_key or earlier,
            started=self.started,
        )
        if self.folder is None:
            return
        self._moved = recording.moved(self.stores)
        if self._moved:
            self.warn(Code.LEDGER_UNWRITABLE, self._moved)
        self.segment = recording.first_segment(self.folder, self.settings, self.redactor, self.warn)
        recording.make_room(self.stores, self.settings, _now())

    def _resume(self, key: str, say: Callable[[str], None]) -> None:
        config, settings, today = self.config, self.settings, self.choice
        if self.wanted is None and not self.run_key:
            return
        # What only a resume needs.
        from pytest_resilience.hooks import resuming

        self.parent = resuming.to_go_on_with(config, settings, self.stores, key, say=say, warn=self.warn)
        if self.parent is None:
            return
        self.choice, self.choice_of_chain, self.taken_over = resuming.join(config, today, self.parent)
        named = [choices.as_nodeid(config, one) for one in today.paths]
        self.plan = resuming.plan_of(
            config, settings, self.parent, named, self.contents, self.redactor, self._how
        )

    # -- what happens ---------------------------------------------------------------------------------------------

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Our own trouble never fails a run: note what went wrong in the block, and go on."""
        try:
            yield
        except pytest.UsageError:
            raise
        except Exception as error:
            self.warn(
                Code.INTERNAL_ERROR, f"{type(error).__name__}: {error}. Tests go on; please report this"
            )

    def refuse(self, text: str) -> None:
        """End the session with exit status 4, because something that the user wrote cannot be understood."""
        self.decide(DecisionTaken(code=Code.CONFIG_INVALID.code, why="a marker cannot be understood"))
        raise pytest.UsageError(text)

    def warn(self, code: Code, text: str) -> None:
        """Note trouble of ours. Each code is told once, with what came of it first.

        That the ledger is elsewhere is no loss, and must not hide one.
        """
        if self.warnings.setdefault(code, text) == self._moved != text:
            self.warnings[code] = f"{self._moved}. Later: {text}"

    def selected(self, collected: Collected, keys: list[str], copies: int = 1) -> None:
        """Take the selection, and make it durable before the first test begins."""
        if self.is_selected:
            return
        self.is_selected = True
        self.unimported = len(collected.unimported)
        self.redacted_ids = collected.redacted
        files = by_file(keys)
        facts: list[TestsSelected | FileCollected] = [
            *self._of_files(keys, files),
            *self._of_whole_files(collected, keys, files),
            *_of_fate(collected.carried, "carried"),
            *_of_fate(collected.held, "held"),
            *_of_fate(collected.gone, "gone"),
        ]
        done = SelectionDone(total=len(keys) + len(collected.carried) + len(collected.held), copies=copies)
        if is_limited(self.settings.values):
            # Only then is it worth the time that the import takes.
            from pytest_resilience.hooks.allowance import Allowance

            self.allowance = Allowance(self.settings, done.total)
        for selected in facts:
            self.run.observe(selected)
        self.run.observe(done)
        self.run.observe_inherited(self._handed_on)
        if self.folder is not None:
            try:
                self.folder.write_selection(facts, done)
            except (OSError, ValueError) as error:
                self.warn(
                    Code.LEDGER_UNWRITABLE, f"{error}. Tests go on; tests never started will not be known"
                )

    def _of_files(self, keys: list[str], files: dict[str, list[str]]) -> list[TestsSelected]:
        # Of a test whose id is not told the content must not be known: then nothing takes it for good.
        untold = [*filter(is_redacted, keys)] if is_redacted("\n".join(keys)) else []
        if untold:
            files = by_file(key for key in keys if not is_redacted(key))
        return [
            *(
                TestsSelected(keys=tuple(some), digest=self.contents.digest(file))
                for file, some in files.items()
            ),
            *_of_fate(untold, "run"),
        ]

    def _of_whole_files(
        self, collected: Collected, keys: list[str], files: dict[str, list[str]]
    ) -> list[FileCollected]:
        if collecting.is_narrowed(self.config):
            return []
        if collected.carried or collected.held:
            whole = frozenset(collected.whole)
            selected = (*keys, *collected.carried, *collected.held) if whole else ()
            files = by_file(key for key in selected if file_of(key) in whole)
        digests = {
            file: collection_digest(self._how, self.contents.digest(file), files.get(file, ()))
            for file in collected.whole
        }
        return [FileCollected(file=file, digest=one) for file, one in digests.items() if one]

    @cached_property
    def _handed_on(self) -> list[TestInherited]:
        """What this run takes over from those before it."""
        return self.plan.inherited()

    @cached_property
    def _how(self) -> str:
        """How files are collected today."""
        return collecting.how(self.config)

    def write(self, fact: Fact) -> None:
        """Make a fact durable and known. Never raises."""
        segment = self.segment
        if segment is not None:
            segment.write(fact)
        self.run.observe(fact, segment.writer if segment is not None else _NO_WRITER)

    @property
    def writer(self) -> str:
        """Under which name the owner writes."""
        return self.segment.writer if self.segment is not None else _NO_WRITER

    def observe(self, finished: TestFinished, ended: AttemptEnded | None) -> DecisionTaken | None:
        """Look at a final outcome; the decision to stop that follows from it, None to go on."""
        if self.decision is not None:
            return None
        for threshold in self._thresholds:
            made = threshold.observe(
                finished.outcome,
                ended.fingerprint if ended is not None else "",
                ended.message if ended is not None else "",
            )
            if made is not None:
                self.decide(made)
                return made
        return None

    @property
    def redacted(self) -> int:
        """How many texts are in the ledger without the secret that they held."""
        if self.folder is None:
            return 0
        return self.redacted_ids + self.redactor.count + sum(self.redacted_by.values())

    def decide(self, decision: DecisionTaken) -> None:
        """Take the first decision to stop. Later ones are noted only."""
        if self.decision is None:
            self.decision = decision
        self.write(decision)

    # -- the end --------------------------------------------------------------------------------------------------

    def exit_status(self, status: int) -> int:
        """The exit status of the session, given pytest's, or one that was made of it before.

        A run with outstanding tests is never 0, and neither is one with more flaky tests than are tolerated.
        """
        if self.is_rehearsal:
            # A plan in which nothing is left to run is no empty collection.
            is_empty = status == pytest.ExitCode.NO_TESTS_COLLECTED and self.run.counts()
            return pytest.ExitCode.OK if is_empty and self.shows_plan else status
        if status == FLAKY_STATUS and self._has_reproached:
            status = pytest.ExitCode.OK
        green = FLAKY_STATUS if self.reproach() else pytest.ExitCode.OK
        counts = self.run.counts()
        stopped = self.decision is not None and self.decision.code in _THRESHOLDS
        if stopped and status in (
            pytest.ExitCode.OK,
            pytest.ExitCode.TESTS_FAILED,
            pytest.ExitCode.INTERRUPTED,
        ):
            return pytest.ExitCode.TESTS_FAILED
        is_open = bool(self.left_open()) or any(outcome.is_outstanding for outcome in counts)
        if status == pytest.ExitCode.NO_TESTS_COLLECTED and self.plan.parent and self.is_selected:
            if is_open:
                return pytest.ExitCode.TESTS_FAILED
            return (green or self._status_of_complete_run()) if counts else status
        if status == pytest.ExitCode.OK and is_open:
            return pytest.ExitCode.TESTS_FAILED
        self._has_reproached = status == pytest.ExitCode.OK and green == FLAKY_STATUS
        return green if status == pytest.ExitCode.OK else status

    def _status_of_complete_run(self) -> int:
        """What another attempt at a complete run ends with when it has nothing to do: what no test of it accounts for
        (a coverage too low, too many warnings) has not become good since.
        """
        parent = self.parent
        if parent is None or not self.run_key or not parent.is_complete or parent.run.had_crash:
            return pytest.ExitCode.OK
        ended = parent.run.ended
        if ended is None or ended.exit_status in _SETTLED:
            return pytest.ExitCode.OK
        self.warn(
            Code.RESUME_NOTHING_LEFT,
            f"all tests are good, but the run ended with exit status {ended.exit_status}, and so does this one",
        )
        return ended.exit_status

    def reproach(self) -> str:
        """What is said of too many flaky tests, those carried over included; empty when they are tolerated."""
        is_none, most = self.settings["retry.fail-on-flaky"], self.settings["retry.max-flaky"]
        if not is_none and most == "none":
            return ""
        from pytest_resilience.core.tolerance import Tolerance

        return Tolerance(is_none=is_none, most=most).reproach(self.run)

    def settle(self) -> None:
        """Take what was written and not told any more: by workers that died, or when a signal came in between."""
        unfinished = any(outcome.is_outstanding for outcome in self.run.counts())
        is_cut = self.run.interrupted or self.config.pluginmanager.hasplugin("dsession")
        if self.folder is None or not unfinished or not is_cut:
            return
        from pytest_resilience.ledger.reading import read

        before = self.run.outcomes()
        for record in read(self.folder.path, self.folder.seal).condensed:
            if not isinstance(record.fact, TestInherited | TestsInherited | TestsSelected | SelectionDone):
                self.run.observe(record.fact, record.writer)
        self.late += [key for key, outcome in self.run.outcomes().items() if before.get(key) is not outcome]

    def left_open(self) -> list[str]:
        """The keys of tests that are outstanding in the chain and were not selected today."""
        if not self.is_selected:
            return self.plan.outstanding
        return [key for key in self.plan.outstanding if self.run.fate(key) is None]

    def stale_tests(self) -> list[str]:
        """The keys of tests that ran again because their files changed."""
        return [key for key in self.plan.stale if self.run.fate(key) == "run"]

    def outdated_tests(self) -> list[str]:
        """The keys of tests that were carried over though their files changed, where that is to be told."""
        if self.settings["resume.stale"] != "warn":
            return []
        return [key for key in self.plan.outdated if self.run.fate(key) == "carried"]

    def turned(self) -> list[str]:
        """The keys of tests that were bad and are good now, with the same files. Deaths tell nothing of a test."""
        known = self.run.inherited
        if not known:
            return []
        return [
            key
            for key in self.run.having(*_GOOD_NOW)
            if key in known
            and known[key].outcome in _BAD_BEFORE
            and known[key].digest
            and known[key].digest == self.run.digest(key)
        ]

    def correct_cache(self) -> None:
        """Let pytest's own cache know of what a resume did not run. Of a run that was named, only what is bad:
        what passed in it may have failed since.
        """
        if self.parent is None or self.is_rehearsal:
            return
        bad = self.run.having(*(one for one in Outcome if one.is_bad))
        bad += [key for key in self.left_open() if self.plan.known[key].outcome.is_bad]
        good = () if self.wanted else self.plan.carried
        from pytest_resilience.hooks import lastfailed

        lastfailed.correct(self.config, good, [*map(nodeid_of, bad)])

    def close(self, status: int) -> None:
        """Write the end of the run. Never raises for trouble of the ledger."""
        if not self.is_open:
            return
        self.is_open = False
        counts = {outcome.value: number for outcome, number in self.run.counts().items()}
        self.write(RunEnded(exit_status=int(status), counts=counts))
        if self.segment is not None:
            self.segment.close()
        if self.folder is not None:
            self.folder.finish(exit_status=int(status), counts=counts)
            self.folder.release()


_BAD_BEFORE = (Outcome.FAILED, Outcome.ERROR, Outcome.TIMED_OUT)
_GOOD_NOW = (Outcome.PASSED, Outcome.FLAKY)
# Of these nothing is left once all tests are good: today's flaky tests are looked at anew.
_SETTLED = frozenset({0, pytest.ExitCode.INTERRUPTED, pytest.ExitCode.NO_TESTS_COLLECTED, FLAKY_STATUS})
_THRESHOLDS = frozenset({Code.STOP_CONSECUTIVE_FAILURES.code, Code.STOP_SAME_ERROR.code})


def _thresholds(after: int, same_error: int) -> "list[Threshold]":
    from pytest_resilience.core.thresholds import ConsecutiveFailures, SameError

    thresholds: list[Threshold] = [ConsecutiveFailures(after)] if after else []
    return [*thresholds, SameError(same_error)] if same_error else thresholds


def _of_fate(keys: Sequence[str], fate: str) -> list[TestsSelected]:
    return [TestsSelected(keys=tuple(keys), fate=fate)] if keys else []  # type: ignore[arg-type]
