"""The life of a run, as the owner's hooks see it: opened before anything else, closed after everything else."""

import json

import pytest

from pytest_resilience.core.codes import Code, told
from pytest_resilience.core.facts import DecisionTaken
from pytest_resilience.hooks.owner import Owner
from pytest_resilience.hooks.registered import Registered
from pytest_resilience.hooks.terminal import Terminal


class Session(Registered):
    """Opens the run at the start of a session, notes why it stops, and closes the run at its end."""

    def __init__(self, owner: Owner, terminal: Terminal) -> None:
        self._owner = owner
        self._terminal = terminal

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._owner.session = session
        with self._owner.guarded():
            self._owner.open(self._terminal.say)

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        owner = self._owner
        if owner.decision is not None:
            return
        if isinstance(excinfo.value, pytest.Session.Interrupted) and "during collection" in str(
            excinfo.value
        ):
            owner.decide(DecisionTaken(code=Code.COLLECTION_ERROR.code, why=str(excinfo.value)))
            return
        if isinstance(excinfo.value, pytest.Session.Interrupted) and owner.config.getoption(
            "stepwise", False
        ):
            owner.decide(DecisionTaken(code=Code.STOP_MAX_FAILURES.code, why=str(excinfo.value)))
            return
        from pytest_resilience.hooks.last_words import why_interrupted

        owner.decide(DecisionTaken(code=Code.INTERRUPTED_BY_SIGNAL.code, why=why_interrupted(excinfo)))

    @pytest.hookimpl(tryfirst=True)
    def pytest_internalerror(self, excrepr: object) -> None:
        if self._owner.decision is not None and self._owner.decision.code == Code.INTERNAL_ERROR.code:
            return
        last = str(excrepr).strip().rpartition("\n")[2]
        self._owner.decide(
            DecisionTaken(code=Code.INTERNAL_ERROR.code, why=f"pytest ended with an error: {last}")
        )

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> object:
        owner = self._owner
        if not owner.is_open:
            return (yield)
        if session.shouldfail and owner.decision is None:
            owner.decide(DecisionTaken(code=Code.STOP_MAX_FAILURES.code, why=str(session.shouldfail)))
        self._set_status(session, exitstatus)
        try:
            return (yield)
        finally:
            with owner.guarded():
                owner.settle()
            self._set_status(session, session.exitstatus)
            try:
                self._terminal.print_missing_block()
            finally:
                # Also when there is no terminal any more that would take it.
                with owner.guarded():
                    owner.correct_cache()
                with owner.guarded():
                    owner.close(session.exitstatus)

    def _set_status(self, session: pytest.Session, status: int) -> None:
        # What cannot be told is not green.
        session.exitstatus = status or pytest.ExitCode.TESTS_FAILED
        with self._owner.guarded():
            session.exitstatus = self._owner.exit_status(status)


def stop_reason(decision: DecisionTaken) -> str:
    """Why the session stops, as pytest prints it between exclamation marks."""
    return told(decision.code, decision.why)


def stop_serial(owner: Owner, decision: DecisionTaken) -> None:
    """Stop a session without workers after the test that runs: exit status 1, as for ``--maxfail``."""
    if owner.session is not None:
        owner.session.shouldfail = stop_reason(decision)


def stop_workers(owner: Owner, decision: DecisionTaken) -> None:
    """Stop every worker after the test that it runs."""
    # A session without workers does not come here.
    from pytest_resilience.hooks import xdist_internals

    reason = stop_reason(decision)
    xdist_internals.stop_workers(owner.config, reason, json.dumps({"stop": reason}))
