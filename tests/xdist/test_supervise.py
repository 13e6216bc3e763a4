"""``--supervise``: a session without workers gets one, and a crash costs a test."""

import pytest

from ..plugin.harness import Batch

SUITE = """
import os, pytest
def test_first(worker_id): assert worker_id == "gw0"
def test_crashes(): os._exit(7)
def test_last(worker_id): assert worker_id != "master"
"""
SERIAL = "def test_it(request): assert not hasattr(request.config, 'workerinput')"


def test_a_crash_costs_one_test(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, SUITE)
    run = batch.run_apart("-p", "resilience", "--supervise")
    assert run.status == 1
    assert run.outcomes == {"passed": 2, "crashed": 1}
    assert "--supervise --resume-failed" in run.line("RESUME")


def test_the_table_asks_for_it_and_the_command_line_may_refuse(pytester: pytest.Pytester) -> None:
    table = "[tool.resilience.worker]\nsupervise = true\n"
    batch = Batch(pytester, {"test_it.py": SERIAL, "pyproject.toml": table})
    assert batch.run_apart().outcomes == {"failed": 1}
    assert batch.run("-n", "0").outcomes == {"passed": 1}
    assert batch.run("--pdb").outcomes == {"passed": 1}
    assert batch.run("--collect-only").status == 0


def test_workers_that_are_there_suffice(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester, "def test_it(testrun_uid, request): assert request.config.workerinput['workercount'] == 2"
    )
    for arguments in (["-n", "2"], ["-d", "--tx", "2*popen"]):
        assert batch.run_apart("--supervise", *arguments).outcomes == {"passed": 1}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("-n", "0"), "RES702 option-conflict: --supervise needs a worker and -n 0 means none"),
        (("-p", "no:xdist"), "RES701 config-invalid: --supervise: this needs pytest-xdist"),
    ],
)
def test_what_cannot_be_is_refused(pytester: pytest.Pytester, arguments: tuple[str, str], why: str) -> None:
    run = Batch(pytester, SERIAL).run("--supervise", *arguments)
    assert run.status == 4
    assert why in run.text
