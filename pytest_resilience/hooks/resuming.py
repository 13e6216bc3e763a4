"""What a session takes over from an earlier one: the run to go on with, the choice of tests, and the plan."""

from collections.abc import Callable, Collection
from typing import NamedTuple

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.redaction import Redactor
from pytest_resilience.core.resume import Plan
from pytest_resilience.history import (
    CannotResume,
    Past,
    Patience,
    Untrusted,
    mismatch,
    plan_from,
    to_resume,
    unlike,
)
from pytest_resilience.hooks import choice as choices
from pytest_resilience.hooks import collecting
from pytest_resilience.hooks.choice import Choice
from pytest_resilience.ledger.contents import Contents
from pytest_resilience.ledger.places import Stores
from pytest_resilience.reports.summary import printable
from pytest_resilience.settings.resolved import Settings


class Choices(NamedTuple):
    """What is to run today, what the next run finds as the choice, and how much of them was taken over."""

    today: Choice
    of_chain: Choice
    taken_over: Choice


def to_go_on_with(
    config: pytest.Config,
    settings: Settings,
    stores: Stores,
    key: str,
    *,
    say: Callable[[str], None],
    warn: Callable[[Code, str], None],
) -> Past | None:
    """The run to resume, None when none is wanted or none is there, which is told. `key` is that of today's run.

    Raises pytest.UsageError where the one that is meant cannot be resumed.
    """
    named, of_key = choices.wanted(config), choices.run_key(config)
    if named is None and not of_key:
        return None
    patience = Patience(is_forced=config.option.resilience_force, say=say, warn=warn)
    try:
        past = to_resume(stores, named or "", key, patience, of_key)
        differs = mismatch(past, key, stores.current.root, config.rootpath)
    except CannotResume as error:
        raise pytest.UsageError(printable(str(error))) from None
    except Untrusted as error:
        warn(Code.LEDGER_UNTRUSTED, printable(str(error)))
        return None
    except OSError as error:
        warn(Code.RESUME_LEDGER_MISSING, f"the ledger cannot be read ({error}); everything runs")
        return None
    if past is None:
        unreadable = _unreadable(stores)
        # The first attempt with a --run-key has nothing to go on with.
        if named is not None or unreadable:
            where = f"{settings['ledger.dir']} at {config.rootpath}{unreadable}"
            warn(*_why_none(stores, key, of_key, where))
        return None
    if past.damage:
        warn(
            Code.LEDGER_CORRUPT,
            f"{past.damage} bad places in run {past.info.id} were skipped "
            f"({past.example}); what they said is not known, so tests run again",
        )
    if differs:
        warn(Code.RESUME_MISMATCH, differs)
    return past


def _why_none(stores: Stores, key: str, of_key: str, where: str) -> tuple[Code, str]:
    other = unlike(stores, key)
    if other:
        return Code.RESUME_MISMATCH, f"{other}. Everything runs"
    meant = f" with the key {of_key!r}" if of_key else ""
    return Code.RESUME_LEDGER_MISSING, f"no earlier run{meant} in {where}; everything runs"


def _unreadable(stores: Stores) -> str:
    why = [f"{run_id}: {text}" for run_id, text in stores.problems]
    why += map(str, stores.troubles)
    return f" that can be read ({why[-1]})" if why else ""


def join(config: pytest.Config, today: Choice, past: Past) -> Choices:
    """Have pytest collect by what today's command line says, and by what the earlier one says where that is silent."""
    earlier = choices.of_run(config, past.info)
    # What nothing was said of is as in the earlier run; what was said narrows it.
    joined = today.or_else(earlier)
    choices.apply(config, joined)
    return Choices(joined, choices.of_chain(config, joined, earlier), earlier.without(today))


def plan_of(
    config: pytest.Config,
    settings: Settings,
    past: Past,
    named: Collection[str],
    contents: Contents,
    redactor: Redactor,
    how: str,
) -> Plan:
    """What to do about each test that the earlier run knows. `named` are the node ids that were typed today."""
    is_whole = not choices.is_rehearsal(config) and not collecting.is_narrowed(config)
    return plan_from(
        past,
        contents,
        named,
        settings["resume.stale"],
        how=how,
        may_skip=settings["resume.skip-files"] and is_whole,
        redactor=redactor,
    )
