"""The run's place in the ledger: the stores that can have it, its folder with what is noted of it, and its first segment."""

import os
import platform
import sys
from collections.abc import Callable, Iterable

import pytest

from pytest_resilience import __version__
from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import FileCollected, TestInherited
from pytest_resilience.core.redaction import Redactor
from pytest_resilience.hooks.choice import Choice
from pytest_resilience.hooks.shards import shard_of
from pytest_resilience.ledger.machine import Process
from pytest_resilience.ledger.places import Stores, state_folder
from pytest_resilience.ledger.retention import Limits, prune
from pytest_resilience.ledger.runinfo import run_id_after
from pytest_resilience.ledger.runs import RunFolder, RunInfo, Store, UnsupportedFormat, run_key
from pytest_resilience.ledger.seal import WeakKey, secret_in
from pytest_resilience.ledger.segments import Segment
from pytest_resilience.settings.resolved import Settings

# Who hears of trouble.
Warn = Callable[[Code, str], None]


def stores_for(config: pytest.Config, settings: Settings, redactor: Redactor) -> Stores:
    """Where runs are kept. What the user named is never replaced by another place.

    Raises pytest.UsageError for a key of the ledger that is too short.
    """
    secret = _secret()
    stores = [Store(config.rootpath / settings["ledger.dir"], redactor=redactor, secret=secret)]
    elsewhere = state_folder(config.rootpath, os.environ)
    if "ledger.dir" not in settings.sources and elsewhere is not None:
        stores.append(Store(elsewhere, redactor=redactor, secret=secret))
    return Stores(stores)


def _secret() -> bytes | None:
    try:
        return secret_in(os.environ)
    except WeakKey as error:
        raise pytest.UsageError(f"{Code.CONFIG_INVALID}: {error}") from None


def key_of(config: pytest.Config) -> str:
    """What runs that may go on with each other have in common."""
    return run_key(
        str(config.rootpath),
        dict(os.environ),
        sys.version_info[:2],
        f"{sys.platform}-{platform.machine()}",
        shard_of(config),
    )


def begin(
    config: pytest.Config,
    stores: Stores,
    handed_on: Iterable[TestInherited | FileCollected],
    warn: Warn,
    *,
    key: str,
    choice: Choice,
    parent: str,
    run_key: str,
    started: float,
) -> RunFolder | None:
    """The folder of a new run, which begins with what is handed on to it; None, and a warning, where there can be none."""
    try:
        info = RunInfo(
            id=run_id_after(stores.newest_id(), started, os.urandom(8)),
            key=key,
            rootdir=str(config.rootpath),
            invocation_dir=str(config.invocation_params.dir),
            args=tuple(str(one) for one in config.invocation_params.args),
            paths=choice.paths,
            keyword=choice.keyword,
            markexpr=choice.markexpr,
            parent=parent,
            started=started,
            **Process.here()._asdict(),
            nonce=os.urandom(32).hex(),
            run_key=run_key,
            versions={
                "pytest-resilience": __version__,
                "pytest": pytest.__version__,
                "python": platform.python_version(),
            },
        )
        return stores.create(info, handed_on)
    except UnsupportedFormat as error:
        warn(
            Code.LEDGER_VERSION_UNSUPPORTED,
            f"{error}. It is left as it is; tests go on without a ledger. "
            "Upgrade pytest-resilience, or name another place with --resilience-dir",
        )
    except (OSError, ValueError) as error:
        warn(
            Code.LEDGER_UNWRITABLE,
            f"{'; '.join(map(str, stores.troubles)) or error}. Tests go on; --resume-failed will know "
            "nothing of this run. Free the disk, mend the permissions, or name another place with --resilience-dir",
        )
    return None


def moved(stores: Stores) -> str:
    """What is to be said of a run that could not be begun where it belongs; empty when it could."""
    if not stores.troubles:
        return ""
    return (
        f"{stores.troubles[0]}. So the ledger is in {stores.current.root}, where --resume-failed finds "
        "it. Mend the permissions, or name another place with --resilience-dir"
    )


def first_segment(folder: RunFolder, settings: Settings, redactor: Redactor, warn: Warn) -> Segment:
    """What the owner of the run writes to."""
    return Segment.create(
        folder.path,
        "ctl",
        run=folder.id,
        durability=settings["ledger.durability"],
        trouble=warn,
        redactor=redactor,
        seal=folder.seal,
    )


def make_room(stores: Stores, settings: Settings, now: float) -> None:
    """Remove the runs that are not to be kept, where the new one is."""
    keep = {what: settings[f"ledger.keep-{what}"] for what in ("runs", "days", "mb")}
    prune(stores.current, Limits(**keep), now=now)
