"""Facts and descriptions of runs without secrets: what everything becomes before it goes to the disk."""

from collections.abc import Collection, Iterable, Iterator
from typing import TypeVar, cast

from pytest_resilience.core.facts import (
    AttemptEnded,
    AttemptStarted,
    DecisionTaken,
    Fact,
    FileCollected,
    TestFinished,
    TestInherited,
    TestsInherited,
    TestsSelected,
    WorkerDown,
)
from pytest_resilience.core.redaction import MARK, Redactor, is_secret_name
from pytest_resilience.ledger.runinfo import RunInfo

AnyFact = TypeVar("AnyFact", bound=Fact)

# Of a message the ledger keeps 512 characters. Where one has more than the first number, the second is cut off after
# secrets were taken out: nothing is left of one that the first cut went through.
_LOOKED_AT, _CUT_OFF = 8192, 4096


def redacted(fact: AnyFact, redactor: Redactor) -> AnyFact:
    """The fact without secrets. A test whose key held one is of unknown content, so that nothing takes it for good.

    Redacting twice changes nothing. Facts without a secret come back as they are.
    """
    changed: Fact
    match fact:
        case AttemptStarted() | TestFinished():
            changed = fact._replace(key=redactor.key(fact.key))
        case AttemptEnded():
            message, again = _message(fact.message, redactor), _message(fact.again, redactor)
            changed = fact._replace(key=redactor.key(fact.key), message=message, again=again)
        case TestsSelected():
            if redactor.are_clean(fact.keys):
                return fact
            keys = tuple(redactor.keys(fact.keys))
            if keys == fact.keys:
                return fact
            changed = fact._replace(keys=keys, digest="")
        case TestInherited():
            changed = _with_key(fact, redactor.key(fact.key))
        case FileCollected():
            file = redactor.key(fact.file)
            changed = fact._replace(file=file, digest=fact.digest if file == fact.file else "")
        case DecisionTaken():
            changed = fact._replace(why=_message(fact.why, redactor))
        case WorkerDown():
            changed = fact._replace(why=_message(fact.why, redactor), key=redactor.key(fact.key))
        case _:
            # Nothing but numbers, and words of our own.
            return fact
    return fact if changed == fact else cast("AnyFact", changed)


def inherited_redacted(facts: Collection[TestInherited], redactor: Redactor) -> list[TestInherited]:
    """The same as `redacted` for each, and quicker for many."""
    return list(map(_with_key, facts, redactor.keys(fact.key for fact in facts)))


def _with_key(fact: TestInherited, key: str) -> TestInherited:
    return fact if key == fact.key else fact._replace(key=key, digest="")


def all_redacted(facts: Iterable[Fact], redactor: Redactor) -> Iterator[Fact]:
    """The facts without secrets."""
    for fact in facts:
        if type(fact) is TestInherited and redactor.is_clean(fact.key):
            # Of these there are as many as there are tests.
            yield fact
        elif type(fact) is TestsInherited:
            yield from all_redacted(fact.one_by_one(), redactor)
        else:
            yield redacted(fact, redactor)


def _message(text: str, redactor: Redactor) -> str:
    if len(text) <= _LOOKED_AT:
        return redactor.counted(text)
    return redactor.counted(text[:_LOOKED_AT])[:-_CUT_OFF]


def redacted_info(info: RunInfo, redactor: Redactor) -> RunInfo:
    """The description of a run without secrets.

    What was to run is left empty where it held one: a resume takes over too much rather than too little. A run whose
    key held one is found by its name alone.
    """
    clean = redactor.counted
    paths, keyword, markexpr = tuple(map(clean, info.paths)), clean(info.keyword), clean(info.markexpr)
    return info._replace(
        key=clean(info.key),
        rootdir=clean(info.rootdir),
        invocation_dir=clean(info.invocation_dir),
        args=tuple(_redacted_args(info.args, redactor)),
        paths=paths if paths == info.paths else (),
        keyword=keyword if keyword == info.keyword else "",
        markexpr=markexpr if markexpr == info.markexpr else "",
        run_key=info.run_key if clean(info.run_key) == info.run_key else "",
    )


def _redacted_args(args: Iterable[str], redactor: Redactor) -> Iterator[str]:
    """Arguments without secrets; one is what follows ``--db-password``, too."""
    option = ""
    for arg in args:
        asks = option.startswith("--") and "=" not in option and is_secret_name(option.replace("-", "_"))
        if asks and not arg.startswith("-"):
            redactor.count += 1
            yield MARK
        else:
            yield redactor.counted(arg)
        option = arg
