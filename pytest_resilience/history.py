"""Stored runs, for a resume and for people: which run is meant, what it knows, and whether it may be touched."""

import gc
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import TestInherited
from pytest_resilience.core.keys import file_of
from pytest_resilience.core.redaction import Redactor, is_redacted
from pytest_resilience.core.resume import Plan, Stale, knowledge, plan
from pytest_resilience.core.run import Run
from pytest_resilience.core.whole import by_file, done, still_whole
from pytest_resilience.ledger.contents import Contents
from pytest_resilience.ledger.holders import Holder, holders
from pytest_resilience.ledger.places import Stores
from pytest_resilience.ledger.reading import Reading, read
from pytest_resilience.ledger.redaction import inherited_redacted
from pytest_resilience.ledger.runinfo import differences
from pytest_resilience.ledger.runs import (
    OWNER,
    AmbiguousRun,
    NoSuchRun,
    RunFolder,
    RunInfo,
    Store,
    UnsupportedFormat,
)
from pytest_resilience.ledger.seal import VARIABLE
from pytest_resilience.reports.summary import printable

WAIT_FOR_WRITERS = 20.0
SECONDS_IN_SILENCE = 1.0
_STEP = 0.1


class CannotResume(Exception):
    """The run that was asked for cannot be resumed. The message says why and what to do."""


class Untrusted(Exception):
    """Nothing may be taken over from the run that was asked for. The message says why and what to do."""


def _not_told(*text: object) -> None:
    """For who asks no questions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How a resume deals with processes of the earlier run that are still there.

    `say` is called once when it takes a while until they have ended, `warn` for what is no reason to give up.
    `is_forced`: go on whoever is alive.
    """

    is_forced: bool = False
    say: Callable[[str], None] = _not_told
    warn: Callable[[Code, str], None] = _not_told
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Past:
    """A stored run as far as it can be read. `damage` counts the places that had to be skipped."""

    info: RunInfo
    run: Run
    damage: int
    example: str = ""

    @cached_property
    def knowledge(self) -> list[TestInherited]:
        """What it leaves to the next run."""
        with _uncollected():
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
    run, reading = Run(), read(folder.path, folder.seal)
    with _uncollected():
        for record in reading.condensed:
            run.observe(record.fact, record.writer)
    return Past(folder.info, run, len(reading.problems), _example(reading))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Nearly all that is made in the block stays: to look through it for garbage takes a fifth of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _example(reading: Reading) -> str:
    if not reading.problems:
        return ""
    first = reading.problems[0]
    return f"{first.file} at {first.offset}: {first.why}"


def to_resume(
    store: Store | Stores, wanted: str, key: str, patience: Patience = Patience(), run_key: str = ""
) -> Past | None:
    """The run that ``--resume-failed[=wanted]`` means, None when there is none.

    With a `run_key` only runs that were given it by ``--run-key`` come into question.

    Without a name it is the newest run of our key that has not been resumed itself and that died or has something
    outstanding; when there is none of these, the newest. Raises CannotResume for a name that fits no run or several,
    and for a run that is still alive after `WAIT_FOR_WRITERS` seconds; Untrusted for a run that the store does not
    trust, instead of going on to an older one.
    """
    if wanted:
        folder = named(store, wanted)
        _check_trusted(store, folder.info)
        _check_quiet(folder, patience)
        return load(folder)
    runs = store.runs()
    # Nobody hides a run by making up one that is said to have resumed it.
    resumed = {info.parent for info in runs if store.trusts(info)}
    newest: Past | None = None
    for info in reversed(runs):
        if info.key != key or info.id in resumed or run_key not in ("", info.run_key):
            continue
        if newest is not None and not store.trusts(info):
            continue
        _check_trusted(store, info)
        try:
            folder = store.folder(info.id)
        except NoSuchRun:
            # Another session has removed it since: nobody needs it.
            continue
        _check_quiet(folder, patience)
        past = load(folder)
        if not past.knowledge:
            # It ended before its tests were selected: what was known before it still stands.
            continue
        if not past.is_complete:
            return past
        newest = newest or past
    return newest


def named(store: Store | Stores, wanted: str) -> RunFolder:
    """The one run whose name begins with `wanted`. Raises CannotResume where that is none, or several."""
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


def _check_trusted(store: Store | Stores, info: RunInfo) -> None:
    if store.trusts(info):
        return
    if info.signature == "unproven" and store.is_signed:
        why = f"run {info.id} was signed with another {VARIABLE}, or changed since"
    elif store.is_signed:
        why = f"run {info.id} was not signed, because it had no {VARIABLE}"
    else:
        why = f"run {info.id} comes from another machine ({info.host or 'unnamed'}), and there is no {VARIABLE} to prove it"
    raise Untrusted(
        f"{why}; everything runs. Set {VARIABLE} to the same secret in both jobs to resume from there"
    )


def _check_quiet(folder: RunFolder, patience: Patience) -> None:
    """Wait for workers that outlived their controller; a run whose owner is alive is refused at once."""
    waited = 0.0
    while held := holders(folder):
        alive = [holder for holder in held if not holder.children]
        if not alive:
            patience.warn(Code.ORPHAN_PROCESS, printable(_left_behind(folder.id, held)))
            return
        if patience.is_forced:
            patience.warn(Code.LEDGER_LOCKED, printable(_forced(folder.id, alive)))
            return
        if alive[0].name == OWNER or waited >= WAIT_FOR_WRITERS:
            raise CannotResume(printable(_refused(folder.id, alive)))
        if waited < SECONDS_IN_SILENCE <= waited + _STEP:
            most = f"{WAIT_FOR_WRITERS:.0f} seconds"
            patience.say(printable(f"waiting up to {most} for the end of run {folder.id}: {_names(alive)}"))
        patience.sleep(_STEP)
        waited += _STEP


def _names(alive: list[Holder]) -> str:
    return "; ".join(map(str, alive))


def _refused(run_id: str, alive: list[Holder]) -> str:
    pids = " ".join(str(holder.process.pid) for holder in alive if holder.process.is_of_here)
    kill = f" (kill {pids})" if pids else ""
    return (
        f"{Code.LEDGER_LOCKED}: run {run_id} is still alive: {_names(alive)}. Wait for it, end it{kill}, or name "
        "another run; if you are sure that it is dead, add --resume-force"
    )


def _forced(run_id: str, alive: list[Holder]) -> str:
    return (
        f"run {run_id} looks alive and is resumed all the same, by --resume-force: {_names(alive)}. "
        "What it finds out from now on is not known here"
    )


def _left_behind(run_id: str, held: list[Holder]) -> str:
    holder, pids = held[0], " ".join(str(pid) for one in held for pid in one.children)
    return (
        f"the lock of {holder.role} is held by process {pids}, a leftover of run {run_id}, whose own process "
        f"{holder.process.pid} is gone. It writes nothing, so the resume goes on; to be rid of it: kill {pids}"
    )


def unlike(store: Store | Stores, key: str) -> str:
    """What is to be said where there are runs, but none of our `key`; empty where there is none at all."""
    others = [info for info in store.runs() if info.key != key]
    if not others:
        return ""
    newest = others[-1]
    return (
        f"no earlier run is like this one; of run {newest.id}, the newest, {_differing(newest.key, key)}. "
        f"Repeat that, or name the run: --resume-failed={newest.id.partition('-')[2]}"
    )


def mismatch(past: Past | None, key: str, root: Path, rootdir: Path) -> str:
    """What is to be said of a run that was named and is not of our `key`, empty when there is nothing to say.

    Raises CannotResume where its node ids mean other tests: its rootdir is another one. A ledger, at `root`, inside of
    today's rootdir was moved along with it.
    """
    if past is None or past.info.key == key:
        return ""
    info = past.info
    text = f"of run {info.id}, {_differing(info.key, key)}"
    if info.rootdir != str(rootdir) and not root.is_relative_to(rootdir):
        raise CannotResume(
            f"{Code.RESUME_MISMATCH}: {text}; its node ids mean other tests here. "
            f"Give --rootdir {info.rootdir}, or start without --resume-failed"
        )
    return f"{text}. What passed in it is carried over all the same, because it was named"


def _differing(then: str, today: str) -> str:
    return ", ".join(differences(then, today)) or "the circumstances are not known"


def plan_from(
    past: Past,
    contents: Contents,
    named: Collection[str] = (),
    stale: Stale = "run",
    *,
    how: str = "",
    may_skip: bool = False,
    redactor: Redactor | None = None,
) -> Plan:
    """The plan of a resume of a stored run; `named` and `stale` as for `plan`.

    What the run knows is redacted, as everything is today: it may be from before a secret was known as one.

    `how` is a digest of how files are collected today, empty when unknown; `may_skip` allows not to import files. Of a
    run that is damaged no file is known whole: what is missing may be a test of it.
    """
    with _uncollected():
        known = inherited_redacted(past.knowledge, redactor or Redactor())
        files = by_file(one.key for one in known)
        today = {
            key: digest for file, keys in files.items() for digest in [contents.digest(file)] for key in keys
        }
        made = plan(past.info.id, known, today.__getitem__, named, stale)
        whole = {} if past.damage else still_whole(past.run.collected, files, how, contents.digest)
        if not may_skip:
            return made._replace(whole=whole)
        unimported = done(whole, files, made.carried - made.outdated)
        # What is outdated, or has a key that may be another's, is looked at, and so is all of its file.
        doubtful = {file_of(key) for key in (*made.outdated, *filter(is_redacted, made.outstanding))}
        return made._replace(
            whole=whole, unimported=unimported, partial=frozenset(whole.keys() - unimported - doubtful)
        )
