"""What is to run, as the command line says it: paths, ``-k`` and ``-m``; a resume joins it with the earlier run's."""

import shlex
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from pytest_resilience.ledger.runs import RunInfo

_REHEARSALS = ("collectonly", "setuponly", "setupplan", "showfixtures", "show_fixtures_per_test", "cacheshow")


class Choice(NamedTuple):
    """Paths, the expression of ``-k`` and that of ``-m``. What is empty leaves the choice to pytest."""

    paths: tuple[str, ...] = ()
    keyword: str = ""
    markexpr: str = ""

    def or_else(self, other: "Choice") -> "Choice":
        """This choice, and the other's where this one says nothing."""
        return Choice(
            paths=self.paths or other.paths,
            keyword=self.keyword or other.keyword,
            markexpr=self.markexpr or other.markexpr,
        )

    def without(self, other: "Choice") -> "Choice":
        """What this choice says and the other does not."""
        return Choice(
            paths=() if other.paths else self.paths,
            keyword="" if other.keyword else self.keyword,
            markexpr="" if other.markexpr else self.markexpr,
        )

    def __str__(self) -> str:
        """As it is typed; empty for no choice at all."""
        keyword = ("-k", self.keyword) if self.keyword else ()
        markexpr = ("-m", self.markexpr) if self.markexpr else ()
        return shlex.join((*self.paths, *keyword, *markexpr))


def wanted(config: pytest.Config) -> str | None:
    """What ``--resume-failed`` names: a run, "" for the newest, None when nothing is to be resumed."""
    named: str | None = config.option.resilience_resume
    return named


def run_key(config: pytest.Config) -> str:
    """What ``--run-key`` calls this run and those that it goes on with; empty for nothing."""
    return config.option.resilience_run_key or ""


def is_rehearsal(config: pytest.Config) -> bool:
    """No test is run to learn its outcome (``--collect-only``, ``--setup-only``, ``--fixtures``): this is no run."""
    return any(getattr(config.option, name, None) for name in _REHEARSALS)


def typed(config: pytest.Config) -> Choice:
    """The choice of today's command line."""
    has_paths = config.args_source is pytest.Config.ArgsSource.ARGS
    return Choice(
        paths=tuple(config.args) if has_paths else (),
        keyword=config.option.keyword or "",
        markexpr=config.option.markexpr or "",
    )


def of_run(config: pytest.Config, info: RunInfo) -> Choice:
    """The choice of an earlier run, its paths as they read from today's folder."""
    is_here = info.invocation_dir == str(config.invocation_params.dir)
    paths = info.paths if is_here else tuple(_moved(path, info.invocation_dir) for path in info.paths)
    return Choice(paths=paths, keyword=info.keyword, markexpr=info.markexpr)


def of_chain(config: pytest.Config, today: Choice, earlier: Choice) -> Choice:
    """What the run after this one finds as the choice.

    A resume that names less narrows today's run only: the next one has to find what this one left open. Of
    expressions that differ nothing can be said, so the next one runs too much rather than too little.
    """
    known = [as_nodeid(config, one) for one in earlier.paths]
    # Before pytest 9 a path inside of another one runs its tests twice.
    more = tuple(one for one in today.paths if not _is_inside(as_nodeid(config, one), known))
    return Choice(
        paths=(*earlier.paths, *more) if earlier.paths else (),
        keyword=today.keyword if today.keyword == earlier.keyword else "",
        markexpr=today.markexpr if today.markexpr == earlier.markexpr else "",
    )


def apply(config: pytest.Config, choice: Choice) -> None:
    """Have pytest collect by this choice."""
    config.args[:] = choice.paths or config.args
    config.option.keyword, config.option.markexpr = choice.keyword, choice.markexpr


def as_nodeid(config: pytest.Config, argument: str) -> str:
    """An argument of the command line as a node id, or the beginning of one."""
    path, separator, rest = argument.partition("::")
    absolute = config.invocation_params.dir / path
    with suppress(OSError, ValueError):
        path = absolute.resolve().relative_to(config.rootpath.resolve()).as_posix()
    return f"{path}{separator}{rest}"


def _is_inside(nodeid: str, others: list[str]) -> bool:
    return any(
        one in (".", nodeid) or nodeid.startswith((f"{one}/", f"{one}::", f"{one}[")) for one in others
    )


def _moved(argument: str, folder: str) -> str:
    path, separator, rest = argument.partition("::")
    absolute = Path(folder) / path
    return f"{absolute}{separator}{rest}" if absolute.exists() else argument
