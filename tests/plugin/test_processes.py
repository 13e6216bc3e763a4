"""With a worker end all processes that it started, wherever they have got to, and nobody else's."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_resilience.hooks import processes
from pytest_resilience.hooks.belonging import VARIABLE
from pytest_resilience.hooks.processes import Found, Owned, end, listed

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")

# Starts a child in each way, says who they are, and waits; or dies first, when it is told to.
_WORKER = f"""
import os, subprocess, sys
os.environ[{VARIABLE!r}] = "of this worker"
sleep = [sys.executable, "-c", "import time; time.sleep(1000)"]

def forked():
    pid = os.fork()
    if not pid:
        if os.fork():
            os._exit(0)
        # A daemon: nobody's child, in a session of its own, with the pipes of its worker still open.
        os.setsid()
        os.write(1, f"forked {{os.getpid()}}\\n".encode())
        import time
        time.sleep(1000)
    os.waitpid(pid, 0)

child = subprocess.Popen(sleep)
print("child", child.pid, flush=True)
daemon = "import os, subprocess, sys; print('daemon', subprocess.Popen(sys.argv[1:], start_new_session=True).pid, flush=True)"
subprocess.run([sys.executable, "-c", daemon, *sleep])
forked()
sys.stdin.readline()
"""


@pytest.fixture
def worker() -> Iterator["subprocess.Popen[str]"]:
    made = subprocess.Popen(
        [sys.executable, "-c", _WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield made
    end(_owned(made))
    made.kill()
    made.communicate()


def _owned(worker: "subprocess.Popen[str]") -> Owned:
    assert worker.stdin is not None
    assert worker.stdout is not None
    found = processes.process(worker.pid)
    pipes = {processes.pipe(worker.stdin.fileno()), processes.pipe(worker.stdout.fileno())}
    return Owned(frozenset({found} if found is not None else ()), "of this worker", frozenset(pipes))


def _children(worker: "subprocess.Popen[str]") -> dict[str, int]:
    assert worker.stdout is not None
    lines = [worker.stdout.readline().split() for _ in range(3)]
    return {name: int(pid) for name, pid in lines}


def _is_alive(pid: int) -> bool:
    found = processes.process(pid)
    return found is not None and not found.is_dead


@pytest.mark.parametrize("is_dead", [False, True])
def test_all_that_a_worker_started_ends_with_it_even_if_it_is_dead_already(
    worker: "subprocess.Popen[str]", is_dead: bool
) -> None:
    children, owned = _children(worker), _owned(worker)
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    # Forked by this process while it has the pipes: it is not the worker's.
    mine = os.fork()
    if not mine:
        time.sleep(1000)
    try:
        if is_dead:
            worker.kill()
            worker.wait()
        expected = {*children.values()} if is_dead else {worker.pid, *children.values()}
        assert {one.pid for one in owned.found()} == expected
        ended, alive = end(owned)
        assert {one.pid for one in ended} == expected
        assert alive == []
        assert not any(map(_is_alive, children.values()))
        assert _is_alive(bystander.pid)
        assert _is_alive(mine)
    finally:
        os.kill(mine, signal.SIGKILL)
        os.waitpid(mine, 0)
        bystander.kill()
        bystander.communicate()
    assert end(owned) == ([], [])


def test_who_has_the_id_of_a_worker_that_is_gone_is_left_alone() -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert end(Owned(frozenset({Found(bystander.pid, "1")}), "nobody's")) == ([], [])
    assert _is_alive(bystander.pid)
    bystander.kill()
    bystander.communicate()


def test_nobody_ends_itself_or_whom_it_descends_from() -> None:
    me, parent = processes.process(os.getpid()), processes.process(os.getppid())
    assert me is not None
    assert parent is not None
    owned = Owned(frozenset({me, parent}), "nobody's")
    assert {me, parent}.isdisjoint(owned.found())


def test_what_cannot_be_ended_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    found = processes.process(child.pid)
    assert found is not None
    clock = iter([0.0, 1.0, 3.0])
    monkeypatch.setattr(processes, "_clock", lambda: next(clock))
    monkeypatch.setattr(processes, "_kill", lambda pid, number: None)
    assert end(Owned(frozenset({found}), "nobody's")) == ([], [found])
    child.kill()
    child.communicate()


def test_where_nobody_tells_there_is_nobody(tmp_path: Path) -> None:
    assert Owned(frozenset(), "x").found(tmp_path / "none") == []


def test_many_are_told_in_few_words() -> None:
    several = [Found(pid, "1", name="sleep") for pid in range(1, 8)]
    assert listed(several[:2]) == "sleep (1), sleep (2)"
    assert listed(several) == "sleep (1), sleep (2), sleep (3), sleep (4), sleep (5) and 2 more"
