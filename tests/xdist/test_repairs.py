"""What xdist does wrong when workers die is mended; and a canary for each fault tells when xdist has mended it itself."""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from pytest_resilience.hooks import xdist_internals
from pytest_resilience.hooks.xdist_repairs import (
    OF_EACH,
    OF_SCOPES,
    Repair,
    Stranger,
    can_take_back,
    repair,
    take_back,
)

pytest.importorskip("xdist")

from .simulation import DIE, PASS, World

if TYPE_CHECKING:
    from ..process.sessions import Batch

BY_MODE = {"loadscope": OF_SCOPES, "loadfile": OF_SCOPES, "loadgroup": OF_SCOPES, "each": OF_EACH}
MODES = ("load", "worksteal", *BY_MODE)
REPAIRS = [
    pytest.param(mode, one, id=f"{mode}-{one.method}-{number}")
    for mode, several in BY_MODE.items()
    for number, one in enumerate(several)
]


def scheduler(mode: str) -> Any:
    """A scheduler as xdist makes it, before any worker has come."""
    return World(mode, lambda index, number: PASS, is_stock=True).session.sched


def mended(what: str) -> str:
    """What a canary says."""
    return f"xdist has mended it: {what}. So the repair in hooks/xdist_repairs.py can go, once no older xdist is supported"


# -- schedulers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "one"), REPAIRS)
def test_canary(mode: str, one: Repair) -> None:
    assert one.is_needed(scheduler(mode)), mended(one.fault)


@pytest.mark.parametrize(("mode", "one"), REPAIRS)
def test_a_fault_is_mended(mode: str, one: Repair) -> None:
    made = scheduler(mode)
    repair(made)
    assert not one.shows(made)


@pytest.mark.parametrize("mode", MODES)
def test_looking_for_faults_leaves_a_scheduler_as_it_is(mode: str) -> None:
    made = scheduler(mode)
    before = {name: repr(value) for name, value in vars(made).items()}
    needed = [one for one in BY_MODE.get(mode, ()) if one.is_needed(made)]
    assert len(needed) == len(BY_MODE.get(mode, ()))
    assert {name: repr(value) for name, value in vars(made).items()} == before


@pytest.mark.parametrize("mode", ["load", "worksteal"])
def test_where_nothing_is_wrong_nothing_is_mended(mode: str) -> None:
    made = scheduler(mode)
    before = set(vars(made))
    repair(made)
    assert set(vars(made)) == before


class Unknown:
    """A scheduler of another plugin, which keeps its tests in its own way."""

    def __init__(self) -> None:
        self.workqueue, self.assigned_work = object(), object()

    def remove_node(self, node: Any) -> None:
        raise LookupError


def test_a_scheduler_that_is_built_otherwise_is_left_alone() -> None:
    made = Unknown()
    repair(made)
    assert set(vars(made)) == {"workqueue", "assigned_work"}
    assert not can_take_back(made)


@pytest.mark.parametrize("mode", BY_MODE)
def test_a_test_is_put_back_by_others_too(mode: str) -> None:
    """With the method that xdist offers to whoever implements `pytest_handlecrashitem`."""
    made = scheduler(mode)
    assert not can_take_back(made)
    repair(made)
    assert can_take_back(made)
    node = Stranger()
    made.add_node(node)
    if mode == "each":
        made.numnodes = 1
        made.add_node_collection(node, ["f::a", "f::b"])
        made.schedule()
    else:
        made.collection = ["f::a", "f::b"]
        units: dict[str, dict[str, bool]] = {}
        for one in made.collection:
            units.setdefault(made._split_scope(one), {})[one] = False
        made.assigned_work = {node: units}
    assert made.remove_node(node) == "f::a"
    made.mark_test_pending("f::a")
    if mode == "each":
        assert made._removed2pending == {node: [1, 0]}
    else:
        assert [one for unit in made.workqueue.values() for one in unit][-1] == "f::a"


@pytest.mark.parametrize("mode", ["load", "worksteal"])
def test_of_tests_with_the_same_id_the_one_that_died_is_put_back(mode: str) -> None:
    made = scheduler(mode)
    made.collection = ["::test", "::test"]
    take_back(made, Stranger(), 1)
    assert made.pending == [1]


# -- the session -------------------------------------------------------------------------------------------------------


def session(is_stock: bool) -> Any:
    """A session with one worker that has collected and has been given its tests."""
    world = World("load", lambda index, number: PASS, workers=1, is_stock=is_stock)
    while not world.session.sched.has_pending:
        (world.workers[0].move if world.session.queue.empty() else world.session.loop_once)()
    return world.session


def ends_although_tests_are_left(made: Any) -> bool:
    (node,) = made._active_nodes
    node.workeroutput["shouldstop"] = True
    made.worker_workerfinished(node)
    return bool(made.session_finished)


def hears_who_was_sent_away(made: Any) -> bool:
    try:
        made.worker_collectionfinish(Stranger(), [])
    except AssertionError:
        return False
    return True


def knows_a_replacement_when_it_has_collected(made: Any) -> bool:
    node: Any = Stranger()
    made.worker_workerready(node=node, workerinfo={})
    if node in made.sched.nodes:
        return False
    made.worker_collectionfinish(node=node, ids=made.sched.collection)
    return node in made.sched.nodes


def replaces_only_whom_it_needs(made: Any) -> bool:
    (node,) = made._active_nodes
    made.sched.pending, made.sched.node2pending = [], {node: []}
    made.worker_errordown(node, "Not properly terminated")
    return not made._active_nodes


@pytest.mark.parametrize(
    ("is_right", "fault"),
    [
        (ends_although_tests_are_left, "a session whose last worker ends early ends with an internal error"),
        (hears_who_was_sent_away, "a worker that was sent away ends the session with an AssertionError"),
        (knows_a_replacement_when_it_has_collected, "a replacement is given tests before it has collected"),
        (replaces_only_whom_it_needs, "a worker that dies after its last test is replaced"),
    ],
)
def test_the_session_is_mended_too(is_right: Callable[[Any], bool], fault: str) -> None:
    assert not is_right(session(is_stock=True)), mended(fault)
    assert is_right(session(is_stock=False))


class Closed:
    """The channel to a worker that has just died."""

    def send(self, what: object) -> None:
        raise OSError("cannot send")


def test_what_is_sent_to_the_dead_is_lost() -> None:
    from importlib import import_module

    controller = import_module("xdist.workermanage").WorkerController
    node = controller.__new__(controller)
    node.log, node.channel = lambda text: None, Closed()
    try:
        node.sendcommand("runtests", indices=[0])
    except OSError:
        pass
    else:
        pytest.fail(mended("a command to a worker that has just died ends the session"))
    xdist_internals.send_to_the_living(node)
    node.sendcommand("runtests", indices=[0])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("odd", [1, 2])
def test_a_replacement_that_collects_other_tests_is_given_none_and_the_session_ends(
    mode: str, workers: int, odd: int
) -> None:
    """What nobody else is left to run is not run."""
    for seed in range(20):
        world = World(
            mode,
            lambda index, number: DIE if index in (1, 4) and number == 1 else PASS,
            workers=workers,
            crash_retries=1,
            differs=lambda number: number == workers - 1 + odd,
        )
        world.run(random.Random(seed).randrange)
        copies = workers if mode == "each" else 1
        assert all(len(finals) <= copies for finals in world.finals.values())
        assert not [one for one, _, _ in world.attempts if world.workers.index(one) == workers - 1 + odd]


# -- xdist alone -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [*BY_MODE])
def test_canary_of_whole_sessions(mode: str) -> None:
    """One test always ends its worker. Without us no such session of twenty comes to its end with every test told once."""

    def is_exact(seed: int, *, is_stock: bool) -> bool:
        world = World(
            mode, lambda index, number: DIE if index == 1 else PASS, total=6, restarts=8, is_stock=is_stock
        )
        try:
            world.run(random.Random(seed).randrange)
        except (AssertionError, KeyError, RuntimeError):
            return False
        copies = 2 if mode == "each" else 1
        return all(len(finals) == copies for finals in world.finals.values())

    assert not all(is_exact(seed, is_stock=True) for seed in range(20)), mended(f"--dist {mode} as a whole")
    assert all(is_exact(seed, is_stock=False) for seed in range(20))


def test_canary_of_a_real_session(batch: "Batch") -> None:
    text = "import here, os\ndef test_a(): here.mark('died') and os._exit(1)\ndef test_b(): pass\n"
    batch.write({"test_a.py": text})
    said = batch.run("-n", "1", "--dist", "loadfile", "-p", "no:resilience")
    assert "1 failed, 2 passed" in said.text, mended("a test that crashed once counts twice")
    batch.begun()
    (batch.root / "marks" / "died").unlink()
    said = batch.run("-n", "1", "--dist", "loadfile")
    assert "1 passed, 1 rerun, 1 flaky" in said.text
