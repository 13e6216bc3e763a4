"""A session of xdist without processes: its own loop and schedulers, what we put around them, and workers made of queues.

Who moves next is drawn, and so is what becomes of every attempt: what would take hours of bad luck takes a millisecond.
"""

import json
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from inspect import signature
from types import SimpleNamespace
from typing import Any

from pytest_resilience.core.facts import AttemptEnded, TestFinished
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.run import Run
from pytest_resilience.hooks import verdicts, xdist_internals
from pytest_resilience.hooks.activity import Activity
from pytest_resilience.hooks.arrivals import Arrivals
from pytest_resilience.hooks.crashes import Crashes
from pytest_resilience.hooks.handover import BEGINS, GIVES_AGAIN, HANDED, WAITS
from pytest_resilience.hooks.last_words import RETIRE
from pytest_resilience.hooks.poisoned import Poisoned
from pytest_resilience.hooks.redistribution import Redistribution

SHUTDOWN = "shutdown"
# What an attempt does: it passes, fails, or the process dies at its beginning, in it, or right after it.
PASS, FAIL, DIE_AT_ONCE, DIE, DIE_AFTER = "pass", "fail", "die at once", "die", "die after"

Script = Callable[[int, int], str]


class Worker:
    """What a worker does with its queue, as xdist's does; and with tests that wait, as ours does."""

    def __init__(self, world: "World", name: str) -> None:
        self._world = world
        self.gateway = SimpleNamespace(id=name, spec="popen")
        self.workerinfo: dict[str, Any] = {}
        self.workeroutput = {"exitstatus": 0, "shouldfail": False, "shouldstop": False}
        self.is_down = False
        self.is_retired = False
        self._is_shutdown_sent = False
        self._queue: deque[Any] = deque()
        self._next: Any = None
        self._handed: dict[int, dict[str, Any]] = {}
        self._staying: dict[int, str] = {}
        self._kept: list[tuple[str, int, dict[str, Any]]] = []
        self._steps = self._life()

    def __repr__(self) -> str:
        return str(self.gateway.id)

    # -- what the controller does with it -------------------------------------------------------------------------

    @property
    def shutting_down(self) -> bool:
        return self.is_down or self._is_shutdown_sent

    def shutdown(self) -> None:
        if not self.is_down:
            self.sendcommand("shutdown")
            self._is_shutdown_sent = True

    def send_runtest_some(self, indices: list[int]) -> None:
        self.sendcommand("runtests", indices=indices)

    def send_runtest_all(self) -> None:
        self.sendcommand("runtests", indices=list(range(self._world.total)))

    def send_steal(self, indices: list[int]) -> None:
        self.sendcommand("steal", indices=indices)

    def sendcommand(self, name: str, **arguments: Any) -> None:
        if name == HANDED:
            said = json.loads(arguments["text"])
            self._handed[said["index"]] = said
        elif name == RETIRE:
            self.is_retired = True
        elif name == "runtests":
            self._queue.extend(arguments["indices"])
        elif name == "shutdown":
            self._queue.append(SHUTDOWN)
        elif name == "steal":
            wanted = set(arguments["indices"])
            stolen = [one for one in self._queue if one in wanted]
            if len(stolen) < len(wanted):
                stolen = []
            self._queue = deque(one for one in self._queue if one not in stolen)
            self._tell("unscheduled", indices=stolen)

    def notify_inproc(self, name: str, **arguments: Any) -> None:
        self._world.session.queue.put((name, arguments))

    def process_from_remote(self, event: Any) -> None:
        name, arguments = event
        self.notify_inproc(name, node=self, **arguments)

    # -- what it does itself --------------------------------------------------------------------------------------

    @property
    def can_move(self) -> bool:
        """Whether it is not waiting for a command."""
        return not self.is_down and (not self._is_waiting or bool(self._queue))

    def move(self) -> None:
        """Go on, to the next thing that anybody else can see."""
        next(self._steps, None)

    def _tell(self, name: str, **arguments: Any) -> None:
        self.process_from_remote((name, arguments))

    _is_waiting = False

    @property
    def _is_ending(self) -> bool:
        return self.is_retired or self._world.is_stopped

    def _life(self) -> Iterator[None]:
        self._tell("workerready", workerinfo={})
        yield
        self._tell("collectionfinish", ids=self._world.collected_by(self))
        self._is_waiting = True
        yield
        upcoming = self._queue.popleft()
        while upcoming is not SHUTDOWN and not self._is_ending:
            self._is_waiting = True
            while not self._queue:
                yield
            self._is_waiting = False
            index, upcoming = upcoming, self._queue.popleft()
            if self._world.dies_before(index):
                yield from self._die()
            yield from self._run(index, self._handed.pop(index, None), in_loop=True)
            self._tell("runtest_protocol_complete", item_index=index, duration=0.0)
            yield
        self._is_waiting = False
        while self._kept and not self._is_ending:
            strategy, index, course = self._kept.pop(0)
            yield from self._run(index, {"strategy": strategy, "course": course}, in_loop=False)
        for _, index, course in self._kept:
            self._finish(index, Outcome.FAILED, course["number"] - 1)
        self.is_down = True
        self.workeroutput["shouldstop"] = self._world.is_stopped
        self._tell("workerfinished")

    def _run(self, index: int, handed: dict[str, Any] | None, *, in_loop: bool) -> Iterator[None]:
        world = self._world
        course: dict[str, Any] = {"number": 1, "seconds": 0.0} if handed is None else dict(handed["course"])
        number = course["number"]
        if handed is not None and self._is_ending and not in_loop:
            self._finish(index, Outcome.FAILED, number - 1)
            return
        self._tell("logstart", nodeid=world.ids[index], location=())
        if handed is not None and self._is_ending:
            return
        if handed is not None:
            self._tell(BEGINS, text=json.dumps({"index": index}))
            if handed.get("stays"):
                self._staying[index] = handed["strategy"]
        does = world.attempted(self, index, number)
        if does == DIE_AT_ONCE:
            yield from self._die()
        yield
        if does == DIE:
            yield from self._die()
        if does in (FAIL, DIE_AFTER) and number < world.limit and not self._is_ending:
            self._wait(index, {**course, "number": number + 1}, in_loop=in_loop)
        else:
            self._finish(index, Outcome.FAILED if does == FAIL else Outcome.PASSED, number)
        yield
        if does == DIE_AFTER:
            yield from self._die()

    def _wait(self, index: int, course: dict[str, Any], *, in_loop: bool) -> None:
        world = self._world
        strategy = world.strategy_of(index)
        stays = world.mode == "each" or self._staying.get(index) == strategy
        is_handed_over = not stays and (strategy == "isolated" or world.mode in GIVES_AGAIN)
        said = {
            "index": index,
            "nodeid": world.ids[index],
            "strategy": strategy,
            "after": 0.0,
            "is_handed_over": is_handed_over,
            "is_in_loop": in_loop,
            "course": course,
            "ended": {"key": world.ids[index], "attempt": course["number"] - 1, "outcome": "failed"},
        }
        self._tell(WAITS, text=json.dumps(said), reports=json.dumps([{"index": index}]))
        if not is_handed_over:
            self._kept.append((strategy, index, course))
            self._kept.sort(key=lambda one: one[0] == "isolated")

    def _finish(self, index: int, outcome: Outcome, attempts: int) -> None:
        report = self._world.report(index, failed=outcome is Outcome.FAILED)
        key = self._world.ids[index]
        ended = AttemptEnded(key=key, attempt=attempts, outcome=outcome) if outcome.is_bad else None
        verdicts.attach(report, TestFinished(key=key, outcome=outcome, attempts=attempts), ended)
        self._tell("testreport", rep=report)

    def _die(self) -> Iterator[None]:
        self._tell("errordown", error="Not properly terminated")
        self.is_down = True
        yield


class World:
    """The controller with its workers. `finals` has what was reported for each test, in order.

    With `is_stock` it is the session of xdist alone: without us it runs tests, and knows nothing of those that wait.
    """

    def __init__(
        self,
        mode: str,
        script: Script,
        *,
        workers: int = 2,
        total: int = 6,
        limit: int = 3,
        restarts: int | None = None,
        crash_retries: int = 0,
        poisoned_after: int = 0,
        dies_before: Callable[[int], bool] = lambda index: False,
        differs: Callable[[int], bool] = lambda number: False,
        is_stock: bool = False,
        strategy_of: Callable[[int], str] = lambda index: "deferred",
    ) -> None:
        scheduler, dsession = import_module("xdist.scheduler"), import_module("xdist.dsession")
        self.mode, self.total, self.limit, self.strategy_of = mode, total, limit, strategy_of
        self.dies_before, self.crash_retries, self.copies = dies_before, crash_retries, workers
        self.ids = [f"test_{index // 3}.py::test_{index}" for index in range(total)]
        self.is_stopped = False
        self._differs = differs
        self.attempts: list[tuple[Worker, int, int]] = []
        self.finals: dict[int, list[Outcome]] = {index: [] for index in range(total)}
        self.taken_back: Counter[str] = Counter()
        self._script = script
        self._names = 0
        values = {"dist": mode, "tx": ["popen"] * workers, "maxfail": 0, "maxschedchunk": None}
        self.config: Any = SimpleNamespace(
            option=SimpleNamespace(
                **values, debug=False, verbose=0, loadscopereorder=True, maxworkerrestart=restarts,
                numprocesses=workers,
            ),
            getvalue=values.get,
            getoption=values.get,
            pluginmanager=SimpleNamespace(
                hasplugin=lambda name: True,
                getplugin=lambda name: None, get_plugin=lambda name: self.session if name == "dsession" else None
            ),
            hook=_Hooks(self),
        )  # fmt: skip
        self.session: Any = dsession.DSession(self.config)
        self.session._session = SimpleNamespace(testscollected=0)
        self.session._summary_report = None
        self.session._clone_node = lambda node: self._start()
        self.session.shouldstop = False
        self.run_so_far = Run()
        owner: Any = SimpleNamespace(
            config=self.config, segment=None, allowance=None, guarded=_unguarded, decision=None,
            run=self.run_so_far, write=self.run_so_far.observe, warn=lambda *what: None,
            settings={"worker.poisoned-after": poisoned_after},
        )  # fmt: skip
        terminal: Any = SimpleNamespace(
            given_up=lambda key: self.taken_back.update([key]),
            retried=lambda *what: None,
            say=lambda text: None,
        )
        known: Any = SimpleNamespace(
            writer=str,
            key_at=lambda index, nodeid: nodeid,
            index_of=self.ids.index,
            crash_retries=lambda index: crash_retries,
            note=lambda node, finished, ended: self.verified.append(self.ids.index(finished.key)),
            take=lambda node, reports: None,
            take_pass=lambda node, report: None,
            stopped_by_xdist=lambda reason: None,
        )
        self.redistribution = Redistribution(owner, terminal, known)
        self.verified: list[int] = []
        self.poisoned = Poisoned(owner, terminal, known, self.redistribution) if poisoned_after else None
        self.activity = Activity()
        unwatched: Any = SimpleNamespace(hang_of=lambda node: None)
        arrivals = Arrivals(owner, known, self.redistribution, self.poisoned)
        self.crashes = Crashes(
            owner, terminal, known, self.redistribution, arrivals, self.activity, unwatched
        )
        classes = {
            "load": scheduler.LoadScheduling,
            "worksteal": scheduler.WorkStealingScheduling,
            "loadfile": scheduler.LoadFileScheduling,
            "loadscope": scheduler.LoadScopeScheduling,
            "loadgroup": scheduler.LoadGroupScheduling,
            "each": scheduler.EachScheduling,
        }
        self.session.sched = classes[mode](self.config, dsession.Producer("", enabled=False))
        self._is_stock = is_stock
        if not is_stock:
            making: Any = self.crashes.pytest_xdist_make_scheduler()
            next(making)
            with suppress(StopIteration):
                making.send(self.session.sched)
        self.workers: list[Worker] = []
        for _ in range(workers):
            self._start()

    def _start(self) -> Worker:
        worker = Worker(self, f"gw{self._names}")
        self._names += 1
        if not self._is_stock:
            self.activity.pytest_configure_node(worker)
            self.redistribution.pytest_configure_node(worker)
        self.workers.append(worker)
        self.session._active_nodes.add(worker)
        return worker

    def collected_by(self, worker: Worker) -> list[str]:
        """What a worker collects, which may differ from what the others do."""
        return [f"{one}[odd]" if self._differs(self.workers.index(worker)) else one for one in self.ids]

    def run(self, choose: Callable[[int], int]) -> None:
        """Run to the end. `choose(n)` draws who of n moves next. AssertionError when nobody can, or it takes for ever."""
        around: Any = self.redistribution.pytest_runtestloop()
        next(around)
        for _ in range(5000):
            if self.session.session_finished:
                break
            movers: list[Callable[[], None]] = [one.move for one in self.workers if one.can_move]
            if not self.session.queue.empty():
                movers.append(self._loop_once)
            assert movers, "it hangs"
            movers[choose(len(movers)) % len(movers)]()
        else:
            raise AssertionError("it takes for ever")
        with suppress(StopIteration):
            around.send(None)

    def _loop_once(self) -> None:
        self.session.loop_once()
        if self.session.shouldstop:
            self.session.triggershutdown()

    def stop(self) -> None:
        """Stop the session as a threshold does: each worker after the test that it runs."""
        self.is_stopped = True
        xdist_internals.stop_workers(self.config, "stopped", "")

    def attempted(self, worker: Worker, index: int, number: int) -> str:
        """An attempt begins; what becomes of it."""
        self.attempts.append((worker, index, number))
        return self._script(index, number)

    def report(self, index: int, *, failed: bool) -> Any:
        """The report of a teardown, as far as anybody looks at it here."""
        return SimpleNamespace(
            nodeid=self.ids[index],
            location=("", 0, ""),
            when="teardown",
            item_index=index,
            failed=failed,
            outcome="failed" if failed else "passed",
        )

    def reported(self, report: Any) -> None:
        """What pytest is told at last."""
        index = self.ids.index(report.nodeid)
        carried = verdicts.read(report)
        self.finals[index].append(Outcome.CRASHED if carried is None else carried[0].outcome)


class _Hooks:
    """pytest's hooks, as far as they are called here: ours listen, and the world takes down what is reported."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            world = self._world
            if name == "pytest_report_from_serializable":
                return world.report(arguments["data"]["index"], failed=True)
            if name == "pytest_report_to_serializable":
                return {"index": world.ids.index(arguments["report"].nodeid)}
            if name == "pytest_handlecrashitem":
                handling: Any = world.crashes.pytest_handlecrashitem(
                    arguments["crashitem"], arguments["report"]
                )
                next(handling)
                with suppress(StopIteration):
                    handling.send(None)
                return None
            for plugin in (world.crashes, world.redistribution, world.poisoned):
                method = getattr(plugin, name, None)
                if method is not None:
                    method(**{one: arguments[one] for one in signature(method).parameters})
            if name == "pytest_runtest_logreport":
                self._world.reported(arguments["report"])
            return None

        return call


@contextmanager
def _unguarded() -> Iterator[None]:
    yield
