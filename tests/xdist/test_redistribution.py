"""Whoever is quick or slow, fails or dies: every test comes to its end once, and the session comes to its end."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_resilience.core.outcomes import Outcome

pytest.importorskip("xdist")

from .simulation import DIE, DIE_AFTER, DIE_AT_ONCE, FAIL, PASS, Worker, World

DEATHS = (DIE_AT_ONCE, DIE, DIE_AFTER)
MODES = ("load", "worksteal", "loadscope", "loadfile", "loadgroup")


def made(
    seed: int, mode: str, *, may_die: bool, may_poison: bool = False
) -> tuple[World, Callable[[int], int]]:
    """A session in which everything is drawn, who moves next too."""
    draw = random.Random(seed)
    deeds = [PASS, FAIL, FAIL, *(DEATHS if may_die else ())]
    strategies = [draw.choice(["deferred", "deferred", "isolated"]) for _ in range(12)]
    stop_at = draw.randint(1, 200) if draw.random() < 0.3 else -1
    moves = 0

    def choose(number: int) -> int:
        nonlocal moves
        moves += 1
        if moves == stop_at:
            world.stop()
        return draw.randrange(number)

    world = World(
        mode,
        lambda index, number: draw.choice(deeds),
        workers=draw.randint(2 if may_poison else 1, 3),
        total=draw.randint(1, 12),
        limit=draw.randint(1, 2 if may_poison else 4),
        restarts=draw.choice([None, 0, 1, 3]),
        crash_retries=draw.choice([0, 1, 2]),
        poisoned_after=draw.choice([1, 2]) if may_poison else 0,
        dies_before=lambda index: may_die and draw.random() < 0.05,
        strategy_of=lambda index: strategies[index],
    )
    return world, choose


def check_once(world: World) -> None:
    """Each test that began is reported once; each that did not was not wanted any more."""
    begun = {index for _, index, _ in world.attempts}
    is_cut = world.is_stopped or world.session._summary_report
    for index, finals in world.finals.items():
        if index in begun:
            assert len(finals) == 1, index
        else:
            # What ended its workers before it began, again and again.
            assert finals in ([], [Outcome.CRASHED])
            assert finals or is_cut
        numbers = [number for _, one, number in world.attempts if one == index]
        assert numbers == sorted(set(numbers)), "no attempt is made twice"
        assert len(numbers) <= world.limit + world.crash_retries


@pytest.mark.parametrize("mode", MODES)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_without_deaths(mode: str, seed: int) -> None:
    world, choose = made(seed, mode, may_die=False)
    world.run(choose)
    check_once(world)


@pytest.mark.parametrize("mode", MODES)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_with_workers_that_die(mode: str, seed: int) -> None:
    world, choose = made(seed, mode, may_die=True)
    world.run(choose)
    check_once(world)


@pytest.mark.parametrize("mode", ["load", "worksteal"])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_with_workers_that_are_replaced_because_they_fail(mode: str, seed: int) -> None:
    """What such a worker leaves is run, what it failed is run once more; pytest hears of each test once."""
    world, choose = made(seed, mode, may_die=False, may_poison=True)
    world.run(choose)
    begun = {index for _, index, _ in world.attempts}
    assert all(len(finals) == (index in begun) for index, finals in world.finals.items())
    assert world.is_stopped or len(begun) == world.total
    retired = [worker for worker in world.workers if worker.is_retired]
    failed = {
        index
        for worker, index, number in world.attempts
        if worker in retired and world.finals[index] == [Outcome.FAILED]
    }
    assert set(world.verified) <= failed
    assert len(world.verified) == len(set(world.verified))
    assert not world.verified or retired
    assert world.poisoned is not None
    assert world.is_stopped or not world.poisoned._in_doubt
    for index in range(world.total):
        numbers = [number for _, one, number in world.attempts if one == index]
        assert numbers == sorted(set(numbers)), "no attempt is made twice"
        assert len(numbers) <= world.limit + (index in world.verified)


@pytest.mark.parametrize("mode", ["load", "worksteal"])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_with_workers_that_are_replaced_and_others_that_die(mode: str, seed: int) -> None:
    world, choose = made(seed, mode, may_die=True, may_poison=True)
    world.run(choose)
    is_cut = world.is_stopped or world.session._summary_report
    assert is_cut or all(world.finals.values())


@pytest.mark.parametrize("may_die", [False, True])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_where_every_worker_has_tests_of_its_own(may_die: bool, seed: int) -> None:
    world, choose = made(seed, "each", may_die=may_die)
    world.run(choose)
    is_cut = world.is_stopped or world.session._summary_report
    for index, finals in world.finals.items():
        numbers = [number for _, one, number in world.attempts if one == index]
        copies = numbers.count(1)
        # Beside those that began, what ended its workers before it began, again and again.
        assert copies <= len(finals) <= world.copies
        assert is_cut or len(finals) == world.copies
        for worker in {worker for worker, one, _ in world.attempts if one == index}:
            own = [number for who, one, number in world.attempts if (who, one) == (worker, index)]
            assert own == sorted(set(own)), "no attempt is made twice"


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
