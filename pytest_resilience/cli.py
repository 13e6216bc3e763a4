"""``pytest-resilience``: stored runs on the command line, without pytest."""

import argparse
import io
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_resilience import __version__
from pytest_resilience.core.codes import Code
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.history import CannotResume, Past, load, named
from pytest_resilience.ledger.places import Stores, state_folder
from pytest_resilience.ledger.runinfo import RunInfo, began_at
from pytest_resilience.ledger.runs import (
    OWNER,
    RunFolder,
    Store,
    UnsupportedFormat,
)
from pytest_resilience.ledger.seal import WeakKey, secret_in
from pytest_resilience.reports.stored import About, State, carried_from, stored
from pytest_resilience.reports.summary import Facts, Line, Style, cut, printable
from pytest_resilience.settings.options import BY_KEY, OPTIONS
from pytest_resilience.settings.pyproject import table_in
from pytest_resilience.settings.resolved import resolve
from pytest_resilience.settings.values import SettingsError

_USAGE = 4
# Of what was typed, these say how to find the same run again; with whether a word of their own follows.
_OF_PYTEST = {"-c": True, "--config-file": True, "--rootdir": True, "-p": True, "--run-key": True}
_OF_PYTEST |= {"--resilience-run-key": True}


class _Refused(Exception):
    """What was asked for cannot be done. The message says why and what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command: 0 when that was possible, 4 (pytest's status for wrong usage) when it was not."""
    asked = _parser().parse_args(arguments)
    try:
        lines = _show(asked, time.time())
    except _Refused as refused:
        sys.stderr.write(f"ERROR {printable(str(refused))}\n")
        return _USAGE
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() and asked.verbose < 2 else None
    texts = (line.text if width is None or line.is_whole else cut(line.text, width) for line in lines)
    try:
        sys.stdout.writelines(f"{text}\n" for text in texts)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who reads has seen enough. Nothing of it is to be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pytest-resilience", description=(__doc__ or "").partition(": ")[2], allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    show = commands.add_parser(
        "show",
        help="print what became of every test of a run, however the run ended",
        description="Print what became of every test of a run. A run that was killed is told as its session would have.",
        allow_abbrev=False,
    )
    show.add_argument("run", nargs="?", default="", help="the beginning of its name; else the newest run")
    show.add_argument("--rootdir", type=Path, help="whose ledger; else of this folder, or of one above it")
    show.add_argument(
        "--resilience-dir", type=Path, metavar="DIR", help="the ledger itself, where it was moved"
    )
    show.add_argument(
        "-v", "--verbose", action="count", default=0, help="more: attempts, counts by file; -vv cuts nothing"
    )
    show.add_argument("-q", "--quiet", action="count", default=0, help="less: OUTCOMES and RESUME only")
    show.add_argument(
        "-r", dest="letters", default="", metavar="chars", help="lists: R flaky, n not run, c carried over"
    )
    summaries = BY_KEY["report.summary"]
    show.add_argument(
        summaries.flag,
        dest="summary",
        default="problems",
        choices=("all", "problems", "counts", "none"),
        help=summaries.help,
    )
    return parser


def _show(asked: argparse.Namespace, now: float) -> list[Line]:
    stores = _stores(asked.rootdir, asked.resilience_dir)
    try:
        runs = stores.runs()
        if not runs:
            raise _Refused(_nothing_in(stores))
        folder = named(stores, asked.run or runs[-1].id)
    except CannotResume as error:
        raise _Refused(str(error)) from None
    except UnsupportedFormat as error:
        raise _Refused(f"{Code.LEDGER_VERSION_UNSUPPORTED}: {error}") from None
    except OSError as error:
        raise _Refused(f"{Code.RESUME_LEDGER_MISSING}: the ledger cannot be read: {error}") from None
    info, state = folder.info, _state(folder)
    past = load(folder)
    if state == "ended" and past.run.ended is None:
        state = "died"
    about = About(
        id=info.id,
        state=state,
        began=info.started,
        command=shlex.join(["pytest", *info.args]),
        place=_place(info),
    )
    style = Style(what=asked.summary, verbosity=asked.verbose - asked.quiet, letters=asked.letters)
    return stored(past.run, about, _facts(past, is_newest=info.id == runs[-1].id, now=now), style, now=now)


def _stores(rootdir: Path | None, ledger: Path | None) -> Stores:
    try:
        secret = secret_in(os.environ)
        if ledger is not None:
            return Stores([Store(ledger, secret=secret)])
        here = Path.cwd()
        found = (one for one in (here, *here.parents) if _ledger_of(one).is_dir())
        rootdir = rootdir.absolute() if rootdir is not None else next(found, here)
        stores = [Store(_ledger_of(rootdir), secret=secret)]
    except WeakKey as error:
        raise _Refused(f"{Code.CONFIG_INVALID}: {error}") from None
    except SettingsError as error:
        raise _Refused(str(error)) from None
    elsewhere = state_folder(rootdir, os.environ)
    return Stores([*stores, *([Store(elsewhere, secret=secret)] if elsewhere is not None else [])])


def _ledger_of(rootdir: Path) -> Path:
    """Where the ledger of a rootdir is, as far as its table says."""
    table = table_in(rootdir / "pyproject.toml")
    return Path(rootdir / resolve({}, table or {})["ledger.dir"])


def _nothing_in(stores: Stores) -> str:
    why = [f"{run_id}: {text}" for run_id, text in stores.problems]
    unreadable = f" that can be read ({why[-1]})" if why else ""
    return (
        f"{Code.RESUME_LEDGER_MISSING}: no run{unreadable} in {stores.current.root}; "
        "give --rootdir, or --resilience-dir as it was given to pytest"
    )


def _state(folder: RunFolder) -> State:
    """Asked before the run is read: one that ends meanwhile has all of its facts."""
    return "running" if OWNER in folder.writers_alive() else "ended"


def _place(info: RunInfo) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in sorted(info.versions.items()))
    return f"in {info.invocation_dir or info.rootdir}, {versions}, process {info.pid} on {info.host or 'an unnamed machine'}"


def _facts(past: Past, *, is_newest: bool, now: float) -> Facts:
    run, info = past.run, past.info
    carried = run.having(Outcome.CARRIED_OVER)
    damage = f"{Code.LEDGER_CORRUPT}: {past.damage} bad places were skipped ({past.example})"
    return Facts(
        carried_from=carried_from(
            info.parent,
            {run.inherited[key].run for key in carried if key in run.inherited},
            began_at(info.parent),
            now,
        )
        if info.parent
        else "",
        is_selected=run.selected_total is not None,
        left_open=[
            key for key, one in run.inherited.items() if one.outcome.is_outstanding and run.fate(key) is None
        ],
        gone=run.gone(),
        warnings=[damage] if past.damage else [],
        command=_command(info, is_newest=is_newest),
    )


def _command(info: RunInfo, *, is_newest: bool) -> str:
    """The command that resumes a run, to be typed in the folder of today."""
    resume = "--resume-failed" if is_newest else f"--resume-failed={info.id.partition('-')[2]}"
    command = shlex.join(["pytest", *_typed(info.args), resume])
    is_here = info.invocation_dir in ("", str(Path.cwd()))
    return command if is_here else f"cd {shlex.quote(info.invocation_dir)} && {command}"


def _typed(args: Sequence[str]) -> Iterator[str]:
    """Those of the arguments that a resume has to be given again."""
    takes_word = dict(_OF_PYTEST)
    for option in OPTIONS:
        if option.flag:
            takes_word |= dict.fromkeys((option.flag, option.long_flag), bool(option.metavar))
    words = iter(args)
    for word in words:
        flag, equals, _ = word.partition("=")
        if flag in takes_word:
            yield word
            if takes_word[flag] and not equals:
                yield from ([following] if (following := next(words, None)) is not None else [])
