"""What the owner's terminal shows: a letter for each retry while tests run, the summary block at the end."""

import os
import shlex
import shutil
import sys
import time
from pathlib import Path

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.facts import AttemptEnded
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.retry import Strategy
from pytest_resilience.hooks import internals, rerunfailures, shards
from pytest_resilience.hooks.owner import FLAKY_STATUS, Owner
from pytest_resilience.hooks.registered import Registered
from pytest_resilience.reports.summary import Facts, Line, Style, cut, first_line, printable, summary
from pytest_resilience.settings.options import OPTIONS

# Tests replace it; we want the real one.
_now = time.time

_RUN_KEY = ("--run-key", "--resilience-run-key")


class Terminal(Registered):
    """Everything that is printed. Without a terminal reporter (``-p no:terminal``) nothing is."""

    def __init__(self, config: pytest.Config, owner: Owner) -> None:
        self._config = config
        self._owner = owner
        self._is_done = False

    @property
    def _reporter(self) -> pytest.TerminalReporter | None:
        reporter: pytest.TerminalReporter | None = self._config.pluginmanager.get_plugin("terminalreporter")
        return reporter

    def say(self, text: str) -> None:
        """Show something at once."""
        if self._reporter is not None:
            self._reporter.write_line(f"resilience: {text}", flush=True)

    # -- while tests run ------------------------------------------------------------------------------------------

    def slow(self, what: str, text: str) -> None:
        """Show that something takes long. Called from another thread: the line goes out as one piece."""
        reporter = self._reporter
        if reporter is not None and reporter.verbosity >= 0:
            reporter.ensure_newline()
            # It knows nothing of dots, which do not end their line.
            begin = "\n" if self._config.get_terminal_writer().width_of_current_line else ""
            line = f"{begin}SLOW {printable(self._name(what))} - {text}\n"
            reporter.write(line, flush=True, yellow=True)

    def slow_elsewhere(self, what: str, text: str) -> None:
        """The same, said by a process that does not know what the session has written since."""
        self.say_elsewhere(f"SLOW {self._name(what)} - {text}")

    def say_elsewhere(self, text: str) -> None:
        """Show something from the guard's process, on a line of its own."""
        reporter = self._reporter
        if reporter is not None and reporter.verbosity >= 0:
            lines = "".join(f"{printable(line)}\n" for line in text.splitlines())
            reporter.write(f"\n{lines}", flush=True, yellow=True)

    def flush(self) -> None:
        """Write all that waits to be written, so that no forked process writes it again."""
        if self._reporter is not None:
            self._reporter.flush()

    def retried(self, nodeid: str, ended: AttemptEnded, strategy: Strategy, worker: str = "") -> None:
        """Show that an attempt ended and that another follows."""
        reporter = self._reporter
        if reporter is None:
            return
        internals.count(reporter, "rerun", [nodeid])
        if reporter.verbosity <= 0:
            if reporter.verbosity > -2:
                reporter.write("R", yellow=True)
            return
        later = "" if strategy == "immediate" else f", {strategy}"
        text = f"RERUN attempt {ended.attempt} of {ended.limit}{later} - {first_line(ended.message)}"
        # Go on behind the node id where pytest has just written it.
        written = reporter.currentfspath
        place = f"[{worker}] {printable(nodeid)} " if worker else f"{printable(nodeid)} "
        if isinstance(written, str) and not worker:
            place = written
        reporter.write_ensure_prefix(place, text, yellow=True)

    def given_up(self, nodeid: str) -> None:
        """Of an attempt that was shown as one that another follows, the other is not going to come."""
        if self._reporter is not None:
            internals.discount(self._reporter, "rerun", nodeid)

    def pytest_report_header(self) -> list[str]:
        owner = self._owner
        if owner.parent is None:
            is_first = owner.run_key and not owner.warnings
            return [f"resilience: no earlier run has the key {owner.run_key}"] if is_first else []
        from pytest_resilience.reports.stored import ago, short

        info, plan = owner.parent.info, owner.plan
        left = (
            f"{len(plan.outstanding)} left"
            if plan.outstanding
            else f"nothing left ({Code.RESUME_NOTHING_LEFT})"
        )
        state = f"{len(plan.carried)} carried over, {left}"
        lines = [f"resilience: resuming run {short(info.id)} ({ago(info.started, _now())}): {state}"]
        if str(owner.taken_over):
            lines.append(f"resilience: taken over from that run: {owner.taken_over}")
        return lines

    def pytest_report_collectionfinish(self, items: list[pytest.Item]) -> list[str]:
        if self._owner.parent is None:
            return []
        files = self._owner.unimported
        note = f", {files} file{'s' if files > 1 else ''} not imported" if files else ""
        carried = len(self._owner.run.having(Outcome.CARRIED_OVER))
        return [f"resilience: {carried} carried over, {len(items)} to run{note}"]

    def say_why_interrupted(self, reason: str) -> None:
        """Have pytest print our reason where it would print the name of an exception of xdist."""
        if self._reporter is not None:
            internals.say_why_interrupted(self._reporter, reason)

    # -- at the end -----------------------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> object:
        result = yield
        with self._owner.guarded():
            self._owner.settle()
        self.print_block(terminalreporter)
        return result

    def print_missing_block(self) -> None:
        """Print the block when pytest had no summary to print it in: internal errors, odd exit statuses."""
        reporter = self._reporter
        if not self._is_done and reporter is not None:
            self.print_block(reporter)

    def print_block(self, reporter: pytest.TerminalReporter) -> None:
        """Print the block, and add our categories to pytest's last line."""
        self._is_done = True
        is_printed = False
        with self._owner.guarded():
            self._print_block(reporter)
            is_printed = True
        if is_printed:
            return
        reporter.write_line(
            f"WARNING {Code.INTERNAL_ERROR}: {self._owner.warnings[Code.INTERNAL_ERROR]}", yellow=True
        )

    def _print_block(self, reporter: pytest.TerminalReporter) -> None:
        owner = self._owner
        style = Style(
            what="counts" if reporter.no_summary else owner.settings["report.summary"],
            verbosity=reporter.verbosity,
            letters=self._config.option.reportchars,
        )
        if owner.is_rehearsal:
            if owner.shows_plan:
                from pytest_resilience.reports.plan import planned

                lines = planned(owner.run, self._facts(), owner.plan.last, style)
                self._write_block(reporter, "resume plan", lines)
            return
        if not owner.is_selected and not owner.warnings and not owner.left_open():
            return
        internals.count(reporter, "not run", owner.run.having(Outcome.NOT_RUN))
        internals.count(reporter, "interrupted", owner.run.having(Outcome.INTERRUPTED))
        internals.count(reporter, "carried over", owner.run.having(Outcome.CARRIED_OVER))
        self._write_block(reporter, "resilience summary", summary(owner.run, self._facts(), style))

    def _write_block(self, reporter: pytest.TerminalReporter, heading: str, lines: list[Line]) -> None:
        if reporter.verbosity >= 0 and not reporter.no_summary and len(lines) > 1:
            reporter.write_sep("=", heading)
        for line in lines:
            self._write(reporter, line)

    def _write(self, reporter: pytest.TerminalReporter, line: Line) -> None:
        width = self._config.get_terminal_writer().fullwidth
        is_cut = not line.is_whole and self._config.option.verbose < 2 and not os.environ.get("CI")
        reporter.write_line(
            cut(line.text, width) if is_cut else line.text, **({line.color: True} if line.color else {})
        )

    def _facts(self) -> Facts:
        owner = self._owner
        warnings = owner.warnings | (owner.allowance.warnings() if owner.allowance is not None else {})
        return Facts(
            name=self._name,
            carried_from=self._carried_from(),
            is_selected=owner.is_selected,
            late=owner.late,
            left_open=owner.left_open(),
            gone=owner.run.gone(),
            stale=owner.stale_tests(),
            outdated=owner.outdated_tests(),
            turned=owner.turned(),
            warnings=[f"{code}: {text}" for code, text in warnings.items()],
            redacted=owner.redacted,
            reproach=self._reproach(),
            command=self._command() if owner.folder is not None else "",
        )

    def _reproach(self) -> str:
        """What is said of too many flaky tests, and what comes of it."""
        owner = self._owner
        text = owner.reproach()
        if not text:
            return ""
        status = int(owner.session.exitstatus) if owner.session is not None else 0
        result = f", exit status {FLAKY_STATUS}" if owner.exit_status(status) == FLAKY_STATUS else ""
        return f"{Code.TEST_FLAKY}: {text}{result}"

    def _name(self, key: str) -> str:
        """A test as it is typed where this command was typed."""
        config = self._config
        file, separator, rest = key.partition("::")
        if not file or config.invocation_params.dir == config.rootpath:
            return key
        return f"{os.path.relpath(config.rootpath / file, config.invocation_params.dir)}{separator}{rest}"

    def _carried_from(self) -> str:
        parent = self._owner.parent
        if parent is None:
            return ""
        plan = self._owner.plan
        runs = {one.run for key, one in plan.known.items() if key in plan.carried}
        from pytest_resilience.reports.stored import carried_from

        return carried_from(parent.info.id, runs, parent.info.started, _now())

    def _command(self) -> str:
        """The command that resumes this run, to be typed where this one was typed."""
        config, run = self._config, self._owner.run
        parts = [*_program()]
        here, root = config.invocation_params.dir, config.rootpath
        if config.inipath is not None and (here != root or config.option.inifilename):
            parts += ["-c", _relative(config.inipath, here)]
        if root != (here if config.inipath is None else config.inipath.parent):
            parts += ["--rootdir", _relative(root, here)]
        if os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD"):
            parts += ["-p", "resilience"]
        typed = {str(argument).partition("=")[0] for argument in config.invocation_params.args}
        for option in OPTIONS:
            flags = typed & {option.flag, option.long_flag}
            if option.flag and flags:
                parts.append(min(flags, key=len))
                parts += [str(config.getoption(option.dest))] if option.metavar else []
        parts += rerunfailures.words(config, typed)
        parts += shards.words(config)
        name = self._owner.name_for_resume
        if not name and typed & set(_RUN_KEY):
            parts += [min(typed & set(_RUN_KEY), key=len), self._owner.run_key]
        parts.append(f"--resume-failed={name}" if name else "--resume-failed")
        outstanding = run.having(*(outcome for outcome in Outcome if outcome.is_outstanding))
        if not self._owner.left_open() and all(run.fate(key) == "held" for key in outstanding):
            parts += [self._name(key) for key in outstanding]
        elif here != root:
            # Without a path pytest would load the conftest files of this folder, which has another root.
            parts += self._owner.choice_of_chain.paths
        return " ".join(shlex.quote(part) for part in parts)


def _program() -> list[str]:
    """How to call this pytest from a shell."""
    folder = Path(sys.executable).parent
    found = shutil.which("pytest")
    if found is not None and Path(found).parent == folder:
        return ["pytest"]
    script = folder / "pytest"
    if script.exists():
        return [_relative(script, Path.cwd())]
    return [_relative(Path(sys.executable), Path.cwd()), "-m", "pytest"]


def _relative(path: Path, folder: Path) -> str:
    try:
        return str(path.relative_to(folder))
    except ValueError:
        return str(path)
