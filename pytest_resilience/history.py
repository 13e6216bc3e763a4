"""Stored runs, for a resume and for people: which run is meant, what it knows, and whether it may be touched."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import TestInherited
from pytest_resilience.core.keys import file_of
from pytest_resilience.core.resume import Plan, Stale, knowledge, plan
from pytest_resilience.core.run import Run
from pytest_resilience.core.whole import done, still_whole
from pytest_resilience.ledger.contents import Contents
from pytest_resilience.ledger.reading import Reading, read
from pytest_resilience.ledger.runs import (
    AmbiguousRun,
    NoSuchRun,
    RunFolder,
    RunInfo,
    Store,
    UnsupportedFormat,
)

WAIT_FOR_WRITERS = 20.0


class CannotResume(Exception):
    """The run that was asked for cannot be resumed. The message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Past:
    """A stored run as far as it can be read. `damage` counts the places that had to be skipped."""

    info: RunInfo
    run: Run
    damage: int
    example: str = ""

    @property
    def knowledge(self) -> list[TestInherited]:
        """What it leaves to the next run."""
        return knowledge(self.run, self.info.id)

    @property
    def is_complete(self) -> bool:
        """It came to an orderly end, all its tests are known, and none is outstanding."""
        run = self.run
        if run.ended is None or run.selected_total != run.counts().total():
            return False
        return not any(one.outcome.is_outstanding for one in self.knowledge)


def load(folder: RunFolder) -> Past:
    """Read a run. Never raises for what the files hold."""
    run, reading = Run(), read(folder.path)
    run.observe_all((record.writer, record.fact) for record in reading.records)
    return Past(folder.info, run, len(reading.problems), _example(reading))


def _example(reading: Reading) -> str:
    if not reading.problems:
        return ""
    first = reading.problems[0]
    return f"{first.file} at {first.offset}: {first.why}"


def to_resume(
    store: Store, wanted: str, key: str, sleep: Callable[[float], None] = time.sleep
) -> Past | None:
    """The run that ``--resume-failed[=wanted]`` means, None when there is none.

    Without a name it is the newest run of our key that has not been resumed itself and that died or has something
    outstanding; when there is none of these, the newest. Raises CannotResume for a name that fits no run or several,
    and for a run that is still alive after `WAIT_FOR_WRITERS` seconds.
    """
    if wanted:
        folder = _named(store, wanted)
        _check_quiet(folder, sleep)
        return load(folder)
    runs = store.runs()
    resumed = {info.parent for info in runs}
    newest: Past | None = None
    for info in reversed(runs):
        if info.key != key or info.id in resumed:
            continue
        folder = store.folder(info.id)
        _check_quiet(folder, sleep)
        past = load(folder)
        if not past.knowledge:
            # It ended before its tests were selected: what was known before it still stands.
            continue
        if not past.is_complete:
            return past
        newest = newest or past
    return newest


def _named(store: Store, wanted: str) -> RunFolder:
    try:
        return store.folder(store.find(wanted).id)
    except NoSuchRun as error:
        known = ", ".join(error.candidates[-5:]) or "none"
        text = f"{Code.RESUME_LEDGER_MISSING}: no run {wanted!r} in the ledger; newest runs: {known}"
        raise CannotResume(text) from None
    except AmbiguousRun as error:
        several = ", ".join(error.candidates)
        text = f"{Code.RESUME_LEDGER_MISSING}: {wanted!r} fits several runs: {several}; give more of the name"
        raise CannotResume(text) from None
    except UnsupportedFormat as error:
        raise CannotResume(f"{Code.LEDGER_VERSION_UNSUPPORTED}: {error}") from None


def _check_quiet(folder: RunFolder, sleep: Callable[[float], None]) -> None:
    """Wait for workers that outlived their controller; a run whose owner is alive is refused at once."""
    waited = 0.0
    while alive := folder.writers_alive():
        if "owner" in alive or waited >= WAIT_FOR_WRITERS:
            raise CannotResume(
                f"{Code.LEDGER_LOCKED}: run {folder.id} is still alive ({', '.join(alive)}, started by process "
                f"{folder.info.pid}); wait for it, stop it, or name another run"
            )
        sleep(0.1)
        waited += 0.1


def plan_from(
    past: Past,
    contents: Contents,
    named: Collection[str] = (),
    stale: Stale = "run",
    *,
    how: str = "",
    may_skip: bool = False,
) -> Plan:
    """The plan of a resume of a stored run; `named` and `stale` as for `plan`.

    `how` is a digest of how files are collected today, empty when unknown; `may_skip` allows not to import files. Of a
    run that is damaged no file is known whole: what is missing may be a test of it.
    """
    made = plan(past.info.id, past.knowledge, lambda key: contents.digest(file_of(key)), named, stale)
    whole = {} if past.damage else still_whole(past.run.seals, made.known, how, contents.digest)
    unimported = done(whole, made.known, made.carried - made.outdated) if may_skip else frozenset()
    return replace(made, whole=whole, unimported=unimported)
