"""The guard of a session without workers, as far as that can be seen from within the session."""

import signal
import sys
from pathlib import Path

import pytest

from pytest_resilience.hooks import guarded, interruption

from .harness import Batch

FILES = Path("/proc/self/fd")
SUITE = "def test_it(): pass"


def test_what_takes_long_is_told_without_a_limit_too(pytester: pytest.Pytester) -> None:
    table = "[tool.resilience.hang]\nslow = 0.2\n"
    suite = """
        import time
        from pathlib import Path
        def test_it():
            until = time.monotonic() + 60
            while "SLOW test_it.py::test_it - 0 s in its call" not in Path("said.txt").read_text():
                assert time.monotonic() < until
                time.sleep(0.05)
        """
    batch = Batch(pytester, {"pyproject.toml": table, "test_it.py": suite})
    said = batch.type(f"{sys.executable} -m pytest -p no:asyncio -p no:xdist > said.txt; echo status=$?")
    assert said.text.endswith("status=0"), (batch.root / "said.txt").read_text("utf-8")


def test_without_a_limit_there_is_none(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded, "_fork", lambda: pytest.fail("a guard is started"))
    batch = Batch(pytester, SUITE)
    assert batch.run().outcomes == {"passed": 1}
    assert batch.run("--hang-timeout", "5", "--collect-only").status == 0


def test_where_none_can_be_started_the_tests_run(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fork() -> int:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(guarded, "_fork", fork)
    run = Batch(pytester, SUITE).run("--hang-timeout", "5")
    assert (run.status, run.outcomes) == (0, {"passed": 1})
    assert "no more processes" in run.line("WARNING")


def test_afterwards_everything_is_as_it_was(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        f"""
        import signal
        def test_it(): assert signal.getsignal({interruption.INTERRUPT}) != signal.SIG_DFL
        """,
    )
    before = len([*FILES.iterdir()])
    assert batch.run("--hang-timeout", "5").outcomes == {"passed": 1}
    assert signal.getsignal(interruption.INTERRUPT) == signal.SIG_DFL
    assert len([*FILES.iterdir()]) == before


def test_the_signal_of_somebody_else_is_left_alone(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        {
            "conftest.py": f"import signal\nsignal.signal({interruption.INTERRUPT}, signal.SIG_IGN)",
            "test_it.py": f"import signal\ndef test_it(): assert signal.getsignal({interruption.INTERRUPT}) == signal.SIG_IGN",
        },
    )
    try:
        assert batch.run("--hang-timeout", "5").outcomes == {"passed": 1}
        assert signal.getsignal(interruption.INTERRUPT) == signal.SIG_IGN
    finally:
        signal.signal(interruption.INTERRUPT, signal.SIG_DFL)


def test_what_comes_between_phases_raises_nothing(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        {
            "conftest.py": f"""
                import os, signal
                def pytest_runtest_logreport(report):
                    os.kill(os.getpid(), {interruption.INTERRUPT})
                """,
            "test_it.py": SUITE,
        },
    )
    assert batch.run("--hang-timeout", "5").outcomes == {"passed": 1}
