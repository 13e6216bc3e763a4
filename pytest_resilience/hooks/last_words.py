"""The worker's side of an end that is out of order: it says why, and leaves so that xdist takes it for an orderly stop."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import format_exception_only

import pytest

from pytest_resilience.hooks import xdist_worker
from pytest_resilience.hooks.registered import Registered

LAST_WORDS = "resilience_last_words"
FAREWELL = "resilience_farewell"
RETIRE = "resilience_retire"


def why_interrupted(excinfo: pytest.ExceptionInfo[BaseException]) -> str:
    """What interrupted a session, in words."""
    text = str(excinfo.value)
    return f"{excinfo.typename}: {text}" if text else excinfo.typename


class LastWords(Registered):
    """Tells the controller of `pytest.exit`, KeyboardInterrupt and internal errors.

    xdist takes exit status 2 of a worker for a crash, reports the test in flight as crashed, and starts another worker;
    any other exit status while a test is in flight ends the session of xdist 3.8 with an internal error.

    What goes wrong after the last test is lost without our farewell: xdist says that a worker has finished before the
    hooks of other plugins are through, and its channel carries no error any more once the controller lets go of it.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._why = ""
        self._is_retired = False
        self._session: pytest.Session | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        self._session = session
        xdist_worker.obey(self._config, RETIRE, self._retire)

    def _retire(self, why: str) -> None:
        """Another worker takes the place of this one, which ends after its test. In execnet's thread."""
        self._is_retired = True
        if self._session is not None:
            self._session.shouldstop = why

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        if isinstance(excinfo.value, pytest.exit.Exception):
            self._say(why_interrupted(excinfo), status=excinfo.value.returncode)
        else:
            self.interrupted(why_interrupted(excinfo))

    def interrupted(self, why: str) -> None:
        """A signal came, and it is to be over soon."""
        self._say(why, is_urgent=True)

    def _say(self, why: str, *, status: int | None = None, is_urgent: bool = False) -> None:
        if not self._why:
            self._why = why
            said = {"why": why, "status": None if status is None else int(status), "is_urgent": is_urgent}
            xdist_worker.send_values(self._config, LAST_WORDS, text=json.dumps(said))

    @pytest.hookimpl(tryfirst=True)
    def pytest_internalerror(self, excrepr: object) -> None:
        # xdist sends the error itself.
        self._why = str(excrepr).strip().rpartition("\n")[2] or "internal error"

    def pytest_sessionfinish(self) -> None:
        output: dict[str, object] = self._config.workeroutput  # type: ignore[attr-defined]
        if self._why:
            output["exitstatus"] = int(pytest.ExitCode.TESTS_FAILED)
            output["shouldstop"] = self._why
        elif self._is_retired:
            # It stopped for itself alone.
            output["shouldstop"] = False

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_unconfigure(self) -> object:
        with self.telling():
            result = yield
        self._bid_farewell("")
        return result

    def _bid_farewell(self, error: str) -> None:
        xdist_worker.send_values(self._config, FAREWELL, error=error)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Tell the error with which the block ends. KeyboardInterrupt is how xdist has a worker end that takes long."""
        try:
            yield
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._bid_farewell("".join(format_exception_only(error)).strip())
            raise


class Outermost(Registered):
    """Tells what the hooks at the end of a worker's session raise. Apart, because one class has each hook once."""

    def __init__(self, words: LastWords) -> None:
        self._words = words

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> object:
        with self._words.telling():
            return (yield)
