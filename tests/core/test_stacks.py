"""Of a dump of faulthandler a person sees the test, and what the test called."""

import faulthandler
import re
import threading
from pathlib import Path
from tempfile import TemporaryFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.stacks import Frame, parse

SITE = "/venv/lib/python3.11/site-packages"
CRASH = f"""Fatal Python error: Segmentation fault

Thread 0x00007f43b1ffb6c0 (most recent call first):
  File "{SITE}/execnet/gateway_base.py", line 400 in read
  File "/usr/lib/python3.11/threading.py", line 982 in run
  File "/usr/lib/python3.11/threading.py", line 1002 in _bootstrap

Current thread 0x00007f43b27fc740 (most recent call first):
  File "/home/me/shop/cart.py", line 12 in total
  File "/home/me/shop/tests/test_cart.py", line 7 in test_total
  File "{SITE}/_pytest/python.py", line 166 in pytest_pyfunc_call
  File "{SITE}/pluggy/_callers.py", line 121 in _multicall
  File "<string>", line 1 in <module>

Extension modules: numpy.core._multiarray_umath (total: 1)
"""
# As Python 3.14 writes it, which knows names; the thread that the signal found is not the one of the test.
HANG = f"""Thread 0x00007f43b1ffb6c0 [poller] (most recent call first):
  File "/home/me/shop/poll.py", line 3 in poll
  File "/usr/lib/python3.14/threading.py", line 982 in run

Current thread 0x00007f43b1ffa6c0 [execnet-1] (most recent call first):
  File "{SITE}/execnet/gateway_base.py", line 400 in read

Thread 0x00007f43b27fc740 [MainThread] (most recent call first):
  File "/usr/lib/python3.14/subprocess.py", line 1264 in wait
  File "/home/me/shop/.venv/lib/python3.14/site-packages/tool.py", line 8 in call
  File "/home/me/shop/tests/test_poll.py", line 9 in server
  File "{SITE}/_pytest/fixtures.py", line 915 in call_fixture_func
  File "{SITE}/pluggy/_hooks.py", line 512 in __call__

Current thread's C stack trace (most recent call first):
  Binary file "/usr/bin/python3.14", at _Py_DumpStack+0x2f [0x66f0f1]
  <truncated rest of calls>
"""


def test_a_crash_shows_the_thread_that_died_without_what_called_the_test() -> None:
    stacks = parse(CRASH, "/home/me/shop")
    assert stacks is not None
    assert str(stacks) == (
        "Fatal Python error: Segmentation fault\n"
        "\n"
        "The thread of the test (most recent call first):\n"
        '  File "cart.py", line 12, in total\n'
        '  File "tests/test_cart.py", line 7, in test_total\n'
        "  and 3 frames of what runs the tests"
    )
    assert stacks.in_short() == "cart.py:12 in total\ntests/test_cart.py:7 in test_total"


def test_a_hang_shows_the_first_thread_and_all_that_do_something() -> None:
    stacks = parse(HANG, "/home/me/shop")
    assert stacks is not None
    assert stacks.place == Frame("tests/test_poll.py", "9", "server"), (
        "installed packages are not the project"
    )
    assert [line for line in str(stacks).splitlines() if not line.startswith("  ")] == [
        "The thread of the test (most recent call first):",
        "",
        "Thread poller (most recent call first):",
    ]


def test_the_last_of_several_dumps_counts() -> None:
    later = HANG.replace("line 9 in server", "line 10 in server")
    stacks = parse(HANG + later, "/home/me/shop")
    assert stacks is not None
    assert stacks.place == Frame("tests/test_poll.py", "10", "server")
    assert len(stacks.threads) == 3
    crashed = parse(HANG + CRASH)
    assert crashed is not None
    assert crashed.error == "Segmentation fault"
    assert crashed.place == Frame("/home/me/shop/cart.py", "12", "total")


def test_where_nothing_but_machinery_runs_that_is_shown() -> None:
    stacks = parse(
        f'Current thread 0x01 (most recent call first):\n  File "{SITE}/_pytest/main.py", line 3 in x'
    )
    assert stacks is not None
    assert stacks.place == Frame(f"{SITE}/_pytest/main.py", "3", "x")
    nothing = parse("Current thread 0x01 (most recent call first):\n  <no Python frame>")
    assert nothing is not None
    assert nothing.place is None
    assert str(nothing) == "The thread of the test (most recent call first):\n  no Python code"


def test_long_stacks_and_many_threads_have_an_end() -> None:
    frame = '  File "/a.py", line 1 in f\n'
    thread = "Thread 0x{:02x} (most recent call first):\n"
    stacks = parse("".join(thread.format(at) + frame * 100 for at in range(50)))
    assert stacks is not None
    assert len(str(stacks).splitlines()) < 300
    assert str(stacks).endswith("... and 41 more threads")


@given(st.text(alphabet=st.characters(codec="utf-8")), st.integers(0, len(HANG)), st.integers(0, len(HANG)))
def test_whatever_is_in_the_file_can_be_shown(text: str, start: int, stop: int) -> None:
    for damaged in (text, HANG[:start] + text + HANG[stop:], CRASH[start:] + text):
        stacks = parse(damaged, "/home/me/shop")
        if stacks is not None:
            assert len(str(stacks)) + len(stacks.in_short()) < 10 * len(damaged) + 1000


def test_this_python_writes_what_is_read_here() -> None:
    """Whatever the version, its dump has the function that asked, and a second thread where it waits."""
    waits, may_end = threading.Event(), threading.Event()

    def other_work() -> None:
        waits.set()
        may_end.wait(60)

    other = threading.Thread(target=other_work, name="other")
    other.start()
    assert waits.wait(60)
    with TemporaryFile("w+") as file:
        faulthandler.dump_traceback(file, all_threads=True)
        may_end.set()
        other.join()
        file.seek(0)
        stacks = parse(file.read(), str(Path(__file__).parent))
    assert stacks is not None
    assert stacks.place is not None
    assert re.fullmatch(
        r"test_stacks\.py:\d+ in test_this_python_writes_what_is_read_here", str(stacks.place)
    )
    assert "in other_work" in str(stacks)


@pytest.mark.parametrize("text", ["", "\n", "Extension modules: a, b (total: 2)\n", "no dump"])
def test_without_a_dump_there_is_nothing_to_show(text: str) -> None:
    assert parse(text) is None
