"""Whoever is quick or slow, fails or dies: every test comes to its end once, and the session comes to its end."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_resilience.core.outcomes import Outcome

pytest.importorskip("xdist")

from .simulation import DIE, DIE_AFTER, DIE_BEFORE, FAIL, PASS, Worker, World

DEATHS = (DIE_BEFORE, DIE, DIE_AFTER)
# xdist itself does not survive the death of a worker in these modes while the worker has tests of its own to run.
FRAGILE = ("loadscope", "loadfile", "each")


def made(seed: int, mode: str, *, may_die: bool) -> tuple[World, Callable[[int], int], set[int]]:
    """A session in which everything is drawn, who moves next too; and the tests whose worker dies behind them."""
    draw = random.Random(seed)
    deeds = [PASS, FAIL, FAIL, *(DEATHS if may_die else ())]
    strategies = [draw.choice(["deferred", "deferred", "isolated"]) for _ in range(12)]
    stop_at = draw.randint(1, 200) if draw.random() < 0.3 else -1
    moves = 0
    behind: set[int] = set()

    def script(index: int, number: int) -> str:
        deed = draw.choice(deeds)
        if deed in DEATHS and mode in FRAGILE and number == 1:
            return FAIL
        if deed == DIE_AFTER:
            behind.add(index)
        return str(deed)

    def choose(number: int) -> int:
        nonlocal moves
        moves += 1
        if moves == stop_at:
            world.stop()
        return draw.randrange(number)

    world = World(
        mode,
        script,
        workers=draw.randint(1, 3),
        total=draw.randint(1, 12),
        limit=draw.randint(1, 4),
        restarts=draw.choice([None, 0, 1, 3]),
        strategy_of=lambda index: strategies[index],
    )
    return world, choose, behind


def check_once(world: World, behind: set[int]) -> None:
    """Each test that began is reported once; each that did not was not wanted any more."""
    begun = {index for _, index, _ in world.attempts}
    is_cut = world.is_stopped or world.session._summary_report
    for index, finals in world.finals.items():
        if index in behind and len(finals) == 2:
            # To xdist a test is in flight until its worker says otherwise, be it reported or not.
            assert finals.pop() is Outcome.CRASHED
        if index in begun:
            assert len(finals) == 1, index
        else:
            assert finals in ([], [Outcome.CRASHED])
            assert finals or is_cut
        numbers = [number for _, one, number in world.attempts if one == index]
        assert numbers == list(range(1, len(numbers) + 1)), "no attempt is made twice, and none left out"
        assert len(numbers) <= world.limit


@pytest.mark.parametrize("mode", ["load", "worksteal", "loadscope", "loadfile"])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_without_deaths(mode: str, seed: int) -> None:
    world, choose, behind = made(seed, mode, may_die=False)
    world.run(choose)
    check_once(world, behind)


@pytest.mark.parametrize("mode", ["load", "worksteal", "loadscope", "loadfile"])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_with_workers_that_die(mode: str, seed: int) -> None:
    world, choose, behind = made(seed, mode, may_die=True)
    world.run(choose)
    check_once(world, behind)


@pytest.mark.parametrize("may_die", [False, True])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_where_every_worker_has_tests_of_its_own(may_die: bool, seed: int) -> None:
    world, choose, behind = made(seed, "each", may_die=may_die)
    world.run(choose)
    begun = {(worker, index) for worker, index, _ in world.attempts}
    for index, finals in world.finals.items():
        copies = len([one for _, one in begun if one == index])
        crashes = finals.count(Outcome.CRASHED) if index in behind else 0
        assert copies <= len(finals) <= copies + crashes + bool(world.session._summary_report)
        for worker in {one for one, at in begun if at == index}:
            numbers = [number for who, at, number in world.attempts if (who, at) == (worker, index)]
            assert numbers == list(range(1, len(numbers) + 1))


# -- who gets what -----------------------------------------------------------------------------------------------------


def run(
    mode: str,
    total: int,
    failing: Callable[[int, int], bool],
    *,
    workers: int = 2,
    limit: int = 2,
    strategy: str = "deferred",
    seed: int = 0,
) -> World:
    """A session whose workers move by turns, or as the seed has it."""
    world = World(
        mode,
        lambda index, number: FAIL if failing(index, number) else PASS,
        workers=workers,
        total=total,
        limit=limit,
        strategy_of=lambda index: strategy,
    )
    world.run(random.Random(seed).randrange)
    return world


def workers_of(world: World, index: int) -> list[Worker]:
    """Who made the attempts at a test, in order."""
    return [worker for worker, one, _ in world.attempts if one == index]


@pytest.mark.parametrize("mode", ["load", "worksteal"])
@pytest.mark.parametrize("workers", [2, 3])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_what_fails_while_others_are_left_is_tried_on_another_worker(
    mode: str, workers: int, seed: int
) -> None:
    """The first half fails once. Whatever the order, no worker has been told then that nothing more follows."""
    world = run(mode, 60, lambda index, number: index % 30 < 8 and number == 1, workers=workers, seed=seed)
    first_tail = next(at for at, (_, _, number) in enumerate(world.attempts) if number == 2)
    early = [index for _, index, _ in world.attempts[: first_tail // 2] if index % 30 < 8]
    elsewhere = [index for index in early if workers_of(world, index)[0] is not workers_of(world, index)[1]]
    assert len(elsewhere) == len(early)
    assert len(world.workers) <= workers + 1


@pytest.mark.parametrize("mode", ["load", "worksteal"])
def test_a_single_worker_tries_again_itself_as_long_as_it_can(mode: str) -> None:
    world = run(mode, 20, lambda index, number: number < 3, workers=1, limit=3)
    assert len(world.attempts) == 60
    assert len(world.workers) <= 2
    assert len([worker for worker, _, _ in world.attempts if worker is world.workers[0]]) >= 58


@pytest.mark.parametrize("mode", ["load", "worksteal"])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_a_fresh_worker_keeps_what_fails_there(mode: str, seed: int) -> None:
    """However often it fails: no more workers are started than there were at first."""
    world = run(mode, 10, lambda index, number: True, limit=9, seed=seed)
    assert {len(workers_of(world, index)) for index in range(10)} == {9}
    assert len(world.workers) <= 4


@pytest.mark.parametrize("mode", ["load", "worksteal", "loadscope", "loadfile"])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_isolated_tests_share_one_worker_that_ran_nothing_else(mode: str, seed: int) -> None:
    world = run(mode, 12, lambda index, number: index % 3 == 0, limit=3, strategy="isolated", seed=seed)
    *_, fresh = world.workers
    assert len(world.workers) == 3
    ran = [(index, number) for worker, index, number in world.attempts if worker is fresh]
    assert sorted(ran) == [(index, number) for index in (0, 3, 6, 9) for number in (2, 3)]
    assert [number for _, number in ran] == [2, 2, 2, 2, 3, 3, 3, 3]
    assert {worker for worker, _, _ in world.attempts[-8:]} == {fresh}, "after all others"


@pytest.mark.parametrize("mode", ["loadscope", "loadfile", "each"])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_tests_that_stay_together_stay_where_they_are(mode: str, seed: int) -> None:
    world = run(mode, 12, lambda index, number: number == 1, limit=3, seed=seed)
    assert len(world.workers) == 2
    for index in range(12):
        tried = workers_of(world, index)
        assert all(tried.count(worker) == 2 for worker in set(tried))


def test_a_session_in_which_nothing_waits_keeps_the_scheduler_of_xdist() -> None:
    world = run("load", 6, lambda index, number: False)
    assert type(world.session.sched).__module__.startswith("xdist.")
