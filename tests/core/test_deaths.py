"""What is said of a worker that died: no more than is known, and a guess is called one."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.codes import Code
from pytest_resilience.core.deaths import SECONDS_TO_BE_SURE, Death
from pytest_resilience.core.outcomes import Outcome

BARE = Death(worker="gw0", how="died of SIGSEGV", key="test_a.py::test_it")
FULL = replace(BARE, phase="call", seconds=0.25, pid=42, peak=57, before=(("x", 3.0), ("y", 0.012)))


def test_where_nothing_is_known_nothing_is_said() -> None:
    assert BARE.title == "RES201 worker-crashed: gw0 died of SIGSEGV while it ran test_a.py::test_it"
    assert BARE.message == "worker gw0 died of SIGSEGV"
    assert BARE.details == []


def test_all_that_is_known() -> None:
    assert FULL.title == BARE.title
    assert FULL.message.splitlines() == ["worker gw0 died of SIGSEGV in call after 250 ms", *FULL.details]
    assert FULL.details == [
        "gw0 was in call after 250 ms",
        "process 42, at most 57 MB of memory",
        "before it gw0 ran x, y",
        "may be caused by an earlier test: y ended 12 ms before",
    ]


@pytest.mark.parametrize(
    ("change", "may_be"),
    [
        ({}, True),
        ({"phase": "", "seconds": None}, True),
        ({"phase": "setup", "seconds": 60.0}, True),
        ({"seconds": SECONDS_TO_BE_SURE}, False),
        ({"phase": "teardown", "seconds": 2.0}, False),
        ({"before": ()}, False),
        ({"is_at_fault": True}, False),
        ({"is_out_of_memory": True}, False),
    ],
)
def test_an_earlier_test_is_suspected_where_this_one_had_hardly_begun(
    change: dict[str, object], may_be: bool
) -> None:
    death = replace(FULL, **change)  # type: ignore[arg-type]
    assert death.may_be_innocent is may_be
    assert any("earlier test" in line for line in death.details) is may_be


def test_a_kill_without_evidence_is_perhaps_one_for_memory() -> None:
    death = replace(FULL, how="died of SIGKILL", is_killed=True)
    assert death.code is Code.WORKER_CRASHED
    assert "SIGKILL, perhaps out of memory: its peak was 57 MB" in death.details
    assert death.message.splitlines()[0] == (
        "worker gw0 died of SIGKILL in call after 250 ms, perhaps out of memory: its peak was 57 MB"
    )
    assert "SIGKILL, perhaps out of memory" in replace(death, peak=None).details


def test_a_kill_with_evidence_is_called_what_it_is() -> None:
    death = replace(FULL, how="died of SIGKILL", is_killed=True, is_out_of_memory=True)
    assert death.code is Code.WORKER_OUT_OF_MEMORY
    assert death.title.startswith("RES208 worker-out-of-memory: gw0 was killed by the system")
    assert "perhaps" not in death.message


DEATHS = st.builds(
    Death,
    worker=st.just("gw0"),
    how=st.just("died"),
    key=st.just("k"),
    is_killed=st.booleans(),
    is_out_of_memory=st.booleans(),
    phase=st.sampled_from(["", "setup", "call", "teardown"]),
    seconds=st.none() | st.floats(0, 1e6),
    pid=st.none() | st.integers(1, 2**22),
    peak=st.none() | st.integers(0, 2**40),
    before=st.lists(st.tuples(st.just("x"), st.floats(0, 1e6)), max_size=3).map(tuple),
    is_at_fault=st.booleans(),
)


@given(DEATHS)
def test_whatever_is_known_the_first_line_says_who_died_and_no_line_is_empty(death: Death) -> None:
    first, *rest = death.message.split("\n")
    assert first.startswith(f"worker {death.why}")
    assert rest == death.details
    assert all(line.strip() == line != "" for line in rest)
    assert "\n" not in death.title


def test_what_hung_was_ended_and_nobody_else_is_suspected() -> None:
    death = Death(
        worker="gw0",
        how="was in the setup for 2.5 s (limit 2 s) in a.py:7 in waits",
        key="a.py::test",
        phase="setup",
        seconds=2.5,
        pid=4242,
        before=(("a.py::test_before", 0.1),),
        is_hung=True,
        notes=("ended with it: sleep (4711)",),
    )
    assert (death.outcome, death.code) == (Outcome.TIMED_OUT, Code.WORKER_HUNG)
    assert death.message.splitlines() == [
        "worker gw0 was in the setup for 2.5 s (limit 2 s) in a.py:7 in waits",
        "process 4242",
        "before it gw0 ran a.py::test_before",
        "ended with it: sleep (4711)",
    ]
    assert not death.may_be_innocent
