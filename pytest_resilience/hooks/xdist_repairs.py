"""What xdist does wrong when workers die, mended on the scheduler and the session at hand.

No repair looks at a version. Each is made only where the fault shows: it is tried on a copy of the scheduler, with
made-up workers. A release of xdist that has mended a fault keeps its own way, and a test tells us that the repair can
go. What is said of xdist holds for 3.8.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from types import MethodType, SimpleNamespace
from typing import Any


@dataclass(frozen=True, slots=True)
class Repair:
    """One fault of a scheduler, how it shows in a copy that may be spoilt, and what is put in the place of a method."""

    fault: str
    shows: Callable[[Any], bool]
    method: str
    mended: Callable[..., Any]

    def is_needed(self, scheduler: Any) -> bool:
        """Whether a scheduler has the fault. One that is built in another way than we know is left alone."""
        try:
            return self.shows(copy(scheduler))
        except Exception:
            return False


def repair(scheduler: Any) -> None:
    """Mend the faults that a scheduler shows."""
    for one in [one for one in repairs_of(scheduler) if one.is_needed(scheduler)]:
        setattr(scheduler, one.method, MethodType(one.mended, scheduler))


def repairs_of(scheduler: Any) -> Sequence[Repair]:
    """The repairs for a scheduler like this one, needed or not."""
    if hasattr(scheduler, "workqueue") and hasattr(scheduler, "assigned_work"):
        return OF_SCOPES
    return OF_EACH if hasattr(scheduler, "_removed2pending") else ()


def can_take_back(scheduler: Any) -> bool:
    """Whether a test that a dead worker left in the middle can be put back into the queue that it came from."""
    return _has_one_queue(scheduler) or "mark_test_pending" in vars(scheduler)


def take_back(scheduler: Any, node: Any, index: int) -> None:
    """Put a test back that `node`, which is dead, left in the middle. Nobody is told to run it yet: after a death there
    is a replacement, or all that is left is given up.
    """
    if _has_one_queue(scheduler):
        scheduler.pending.append(index)
    elif hasattr(scheduler, "_removed2pending"):
        scheduler._removed2pending.setdefault(node, []).append(index)
    else:
        scheduler.mark_test_pending(scheduler.collection[index])


def _has_one_queue(scheduler: Any) -> bool:
    """Like "load" and "worksteal", which put back by id alone, the first test of several that share it."""
    return isinstance(getattr(scheduler, "pending", None), list) and hasattr(scheduler, "node2pending")


# -- loadscope, loadfile, loadgroup --------------------------------------------------------------------------------
#
# `workqueue` has units of tests that stay together, by scope, `assigned_work` those that a worker was given: each maps
# node ids to whether the test is done. `registered_collections` has the node ids of the workers that have collected.


def _scopes_remove_node(self: Any, node: Any) -> str | None:
    """Of what the dead worker had, give out again what it had not begun."""
    units = self.assigned_work.pop(node)
    if self.collection is None:
        self.registered_collections.pop(node, None)
    left = {scope: [one for one, is_done in unit.items() if not is_done] for scope, unit in units.items()}
    crashed = next((tests.pop(0) for tests in left.values() if tests), None)
    for scope, tests in reversed(left.items()):
        if tests:
            self.workqueue[scope] = dict.fromkeys(tests, False) | self.workqueue.get(scope, {})
            self.workqueue.move_to_end(scope, last=False)
    return crashed


def _scopes_mark_test_pending(self: Any, item: str) -> None:
    """To the rest of its unit, so that both stay together; behind it, because it may end the next worker too."""
    self.workqueue.setdefault(self._split_scope(item), {})[item] = False


def _scopes_assign_work_unit(self: Any, node: Any) -> None:
    """A unit may come in two parts: the second is added to what is known of the first."""
    scope, unit = self.workqueue.popitem(last=False)
    units = self.assigned_work.setdefault(node, {})
    # Last, where the order tells what is in flight; unless the first part is not done, which then comes before it.
    before = units.get(scope, {}) if False in units.get(scope, {}).values() else units.pop(scope, {})
    units[scope] = before | unit
    collection = self.registered_collections[node]
    node.send_runtest_some([collection.index(one) for one, is_done in unit.items() if not is_done])


def _scopes_reschedule(self: Any, node: Any) -> None:
    """A worker begins a test when it knows the next one, or that none follows: one test alone is not enough."""
    if node.shutting_down or node not in self.registered_collections:
        return
    while self.workqueue and self._pending_of(self.assigned_work[node]) <= 2:
        self._assign_work_unit(node)
    if not self.workqueue and self._pending_of(self.assigned_work[node]) < 2:
        node.shutdown()


def _gives_out_what_is_done(scheduler: Any) -> bool:
    node = _with_units(scheduler, {"f": {"f::done": True, "f::crashes": False, "f::left": False}})
    scheduler.remove_node(node)
    return any({"f::done", "f::crashes"} & set(unit) for unit in scheduler.workqueue.values())


def _counts_the_dead_as_collected(scheduler: Any) -> bool:
    node = _with_units(scheduler, {})
    scheduler.collection = None
    scheduler.remove_node(node)
    return node in scheduler.registered_collections


def _cannot_take_back(scheduler: Any) -> bool:
    try:
        scheduler.mark_test_pending("f::crashes")
    except NotImplementedError:
        return True
    return False


def _forgets_the_first_part(scheduler: Any) -> bool:
    node = _with_units(scheduler, {"f": {"f::first": False}}, {"f": {"f::second": False}})
    scheduler._assign_work_unit(node)
    return not any("f::first" in unit for unit in scheduler.assigned_work[node].values())


def _serves_who_has_not_collected(scheduler: Any) -> bool:
    node = _with_units(scheduler, {}, {"f": {"f::a": False}})
    scheduler.registered_collections = {}
    try:
        scheduler._reschedule(node)
    except KeyError:
        return True
    return bool(node.sent)


def _leaves_one_test_alone(scheduler: Any) -> bool:
    node = _with_units(scheduler, {}, {"f": {"f::a": False}, "g": {"g::b": False}})
    scheduler._reschedule(node)
    return len(node.sent) == 1 and not node.shutting_down


def _with_units(
    scheduler: Any, assigned: dict[str, dict[str, bool]], queued: dict[str, dict[str, bool]] | None = None
) -> Any:
    """A made-up worker that has been assigned these units, and these still to come."""
    node = Stranger()
    tests = [one for units in (assigned, queued or {}) for unit in units.values() for one in unit]
    scheduler.collection = tests
    scheduler.registered_collections = {node: tests}
    scheduler.assigned_work = {node: assigned}
    scheduler.workqueue = OrderedDict(queued or {})
    return node


OF_SCOPES = (
    Repair(
        "a dead worker's finished tests are given out again, and so is the one that it died of",
        _gives_out_what_is_done,
        "remove_node",
        _scopes_remove_node,
    ),
    Repair(
        "who died before tests were given out counts as one that has collected, instead of one that has not yet",
        _counts_the_dead_as_collected,
        "remove_node",
        _scopes_remove_node,
    ),
    Repair("a test cannot be put back", _cannot_take_back, "mark_test_pending", _scopes_mark_test_pending),
    Repair(
        "what a worker has of a scope is forgotten when it is given more of it",
        _forgets_the_first_part,
        "_assign_work_unit",
        _scopes_assign_work_unit,
    ),
    Repair(
        "who has not collected yet is given tests, with a KeyError",
        _serves_who_has_not_collected,
        "_reschedule",
        _scopes_reschedule,
    ),
    Repair(
        "a replacement is given a single test, and waits for the next one before it begins",
        _leaves_one_test_alone,
        "_reschedule",
        _scopes_reschedule,
    ),
)


# -- each ----------------------------------------------------------------------------------------------------------
#
# `node2pending` has the indexes of the tests that a worker has left, `_removed2pending` those that a dead one left to
# the replacement with the same spec.


def _each_remove_node(self: Any, node: Any) -> str | None:
    """What the dead worker left is there for its replacement."""
    pending = self.node2pending.pop(node)
    if not self.collection_is_completed:
        self.node2collection.pop(node, None)
    if not pending:
        return None
    index = pending.pop(0)
    if pending:
        self._removed2pending[node] = [*pending, *self._removed2pending.get(node, [])]
    self._left_in_the_middle = node, index
    crashed: str = self.node2collection[node][index]
    return crashed


def _each_mark_test_pending(self: Any, item: str) -> None:
    """The test that was left in the middle last; the replacement runs it after all else."""
    node, index = self._left_in_the_middle
    take_back(self, node, index)


def _each_add_node_collection(self: Any, node: Any, collection: Sequence[str]) -> None:
    """A replacement may die as well. One to which nothing is left, or that cannot run what is, has nothing to do."""
    was_completed = self.collection_is_completed
    type(self).add_node_collection(self, node, collection)
    if not was_completed:
        return
    self.node2collection.setdefault(node, list(collection))
    if not self.node2pending[node]:
        dead = [one for one in self._removed2pending if one.gateway.spec == node.gateway.spec]
        if dead:
            del self._removed2pending[dead[0]]
        self._started.append(node)
        node.shutdown()


def _each_schedule(self: Any) -> None:
    """A worker gets what it has to run at once, and nothing more follows."""
    for node, pending in self.node2pending.items():
        if node in self._started or node not in self.node2collection:
            continue
        self._started.append(node)
        if pending:
            node.send_runtest_some(pending)
        else:
            pending[:] = range(len(self.node2collection[node]))
            node.send_runtest_all()
        node.shutdown()


def _forgets_what_a_replacement_collected(scheduler: Any) -> bool:
    node = _with_pending(scheduler, [0, 1, 2])
    scheduler.remove_node(node)
    another = _replaced(scheduler, ["a", "b", "c"])
    try:
        return bool(scheduler.remove_node(another) != "b")
    except KeyError:
        return True


def _serves_a_replacement_too_early(scheduler: Any) -> bool:
    _with_pending(scheduler, [0, 1, 2])
    another = Stranger()
    scheduler.add_node(another)
    try:
        scheduler.schedule()
    except KeyError:
        return True
    return bool(another.sent)


def _has_no_place_for_who_is_not_needed(scheduler: Any) -> bool:
    _with_pending(scheduler, [0, 1, 2])
    another = _replaced(scheduler, ["a", "b", "c"])
    try:
        scheduler.schedule()
    except KeyError:
        return True
    return bool(another.sent)


def _waits_for_what_nobody_can_run(scheduler: Any) -> bool:
    node = _with_pending(scheduler, [0, 1, 2])
    scheduler.remove_node(node)
    _replaced(scheduler, ["other"])
    return not scheduler.tests_finished


def _each_counts_the_dead_as_collected(scheduler: Any) -> bool:
    node = _with_pending(scheduler, [])
    scheduler.collection_is_completed = False
    scheduler.remove_node(node)
    return node in scheduler.node2collection


def _each_cannot_take_back(scheduler: Any) -> bool:
    node = _with_pending(scheduler, [0])
    scheduler.remove_node(node)
    return _cannot_take_back(scheduler)


def _with_pending(scheduler: Any, pending: list[int]) -> Any:
    """A made-up worker that is running these of its three tests."""
    node = Stranger()
    scheduler.collection_is_completed = True
    scheduler.node2collection, scheduler.node2pending = {node: ["a", "b", "c"]}, {node: pending}
    scheduler._started, scheduler._removed2pending = [node], {}
    return node


def _replaced(scheduler: Any, collection: list[str]) -> Any:
    """A made-up worker that comes later."""
    node = Stranger()
    scheduler.add_node(node)
    scheduler.add_node_collection(node, collection)
    return node


OF_EACH = (
    Repair(
        "who died before tests were given out counts as one that has collected, instead of one that has not yet",
        _each_counts_the_dead_as_collected,
        "remove_node",
        _each_remove_node,
    ),
    Repair("a test cannot be put back", _each_cannot_take_back, "remove_node", _each_remove_node),
    Repair("a test cannot be put back", _each_cannot_take_back, "mark_test_pending", _each_mark_test_pending),
    Repair(
        "what a replacement collected is forgotten, with a KeyError when it dies too",
        _forgets_what_a_replacement_collected,
        "add_node_collection",
        _each_add_node_collection,
    ),
    Repair(
        "a replacement to which nothing is left ends the session with a KeyError",
        _has_no_place_for_who_is_not_needed,
        "add_node_collection",
        _each_add_node_collection,
    ),
    Repair(
        "a replacement that has not collected yet is given tests, with a KeyError",
        _serves_a_replacement_too_early,
        "schedule",
        _each_schedule,
    ),
    Repair(
        "a replacement that collected other tests leaves a session that waits for ever",
        _waits_for_what_nobody_can_run,
        "add_node_collection",
        _each_add_node_collection,
    ),
)


class Stranger:
    """A made-up worker, as far as a scheduler sees it. `sent` are the indexes that it was told to run."""

    def __init__(self) -> None:
        self.gateway = SimpleNamespace(id="gw?", spec="popen")
        self.shutting_down = False
        self.sent: list[int] = []

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        """Told to run some tests."""
        self.sent += indices

    def send_runtest_all(self) -> None:
        """Told to run all tests."""
        self.sent.append(-1)

    def shutdown(self) -> None:
        """Told that nothing more follows."""
        self.shutting_down = True


# -- the session ---------------------------------------------------------------------------------------------------


def replace_if_needed(session: Any, is_needed: Callable[[], bool]) -> None:
    """Have a dead worker replaced only when something is left to run: xdist starts a process in any case."""
    inner = session._clone_node

    def clone(node: Any) -> Any:
        return inner(node) if is_needed() else None

    session._clone_node = clone


def add_when_collected(session: Any) -> None:
    """Let the scheduler know of a replacement when it has collected, and only then: tests are given out by their places,
    and of what has not been collected nobody knows the places.

    One that came when the session was ending was told to end, and stays unknown even if the session goes on, because
    another worker died meanwhile. xdist ends with an AssertionError then.
    """
    ready, collected = session.worker_workerready, session.worker_collectionfinish
    late: set[Any] = set()

    def hear_ready(node: Any, workerinfo: Any) -> None:
        scheduler = session.sched
        if session.shuttingdown or not scheduler.collection_is_completed:
            ready(node=node, workerinfo=workerinfo)
            return
        late.add(node)
        session.sched = SimpleNamespace(add_node=lambda node: None)
        try:
            ready(node=node, workerinfo=workerinfo)
        finally:
            session.sched = scheduler

    def hear_collected(node: Any, ids: Sequence[str]) -> None:
        is_late = node in late
        late.discard(node)
        if session.shuttingdown:
            # xdist told it to those that it knew of.
            node.shutdown()
        elif is_late:
            session.sched.add_node(node)
        elif node not in session.sched.nodes:
            return
        collected(node=node, ids=ids)

    session.worker_workerready, session.worker_collectionfinish = hear_ready, hear_collected


def end_without_workers(session: Any) -> None:
    """End the session when its last worker has, whatever is left; xdist ends with an internal error then."""
    inner = session.worker_workerfinished

    def finished(node: Any) -> None:
        inner(node)
        if not session._active_nodes:
            session.triggershutdown()

    session.worker_workerfinished = finished
