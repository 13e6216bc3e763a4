"""A process that takes too long is told, asked and ended, in this order; one that goes on in time is left alone."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.liveness import AGAIN_SECONDS, GRACE_SECONDS, Action, Ladder, Watched

TIMES = st.floats(0, 1000).map(lambda seconds: round(seconds, 2))
LIMITS = st.one_of(st.just(0.0), st.floats(0.1, 100))
# When it was looked, and since when the process was at what it did then.
LOOKS = st.lists(st.tuples(TIMES, st.integers(0, 3)), max_size=60).map(sorted)


def actions(
    looks: Sequence[float], *, limit: float = 0.0, slow: float = 0.0, since: float = 0.0
) -> list[tuple[float, str]]:
    """What is done, and when, about a process that never gets on."""
    ladder = Ladder()
    done: list[tuple[float, str]] = []
    watched = Watched(what="a test", since=since, limit=limit, slow=slow)
    for now in looks:
        done += [(now, action.kind) for action in ladder.look({"gw0": watched}, now)]
    return done


EVERY_TENTH = [number / 10 for number in range(200)]


def test_a_process_that_hangs_is_told_asked_and_ended() -> None:
    assert actions(EVERY_TENTH, limit=4.0) == [
        (2.0, "say"),
        (4.0, "ask"),
        (4.5, "end"),
        *((4.5 + AGAIN_SECONDS * times, "end") for times in range(1, 8)),
    ]


def test_without_a_limit_it_is_told_again_and_again() -> None:
    assert actions(EVERY_TENTH, slow=5.0) == [(5.0, "say"), (10.0, "say"), (15.0, "say")]
    assert actions(EVERY_TENTH) == []


def test_who_is_slow_only_at_the_limit_is_never_told_to_be() -> None:
    assert [kind for _, kind in actions(EVERY_TENTH, limit=4.0, slow=4.0)][:2] == ["ask", "end"]


def test_what_was_missed_is_not_told_later() -> None:
    assert actions([0, 31, 32, 40], slow=10.0) == [(31, "say"), (40, "say")]
    assert actions([0, 31, 31.4, 31.5], limit=10.0) == [(31, "ask"), (31.5, "end")]


def test_one_that_goes_on_when_it_is_asked_is_left_alone() -> None:
    ladder = Ladder()
    ladder.look({"gw0": Watched(what="a test", since=0.0, limit=1.0)}, 1.0)
    later = Watched(what="a test", since=1.2, limit=1.0)
    assert ladder.look({"gw0": later}, 1.5) == []
    assert [action.kind for action in ladder.look({"gw0": later}, 2.3)] == ["ask"]
    assert ladder.look({}, 2.7) == []
    assert [action.kind for action in ladder.look({"gw0": later}, 2.9)] == ["ask"], "it began anew"


def test_the_time_in_which_nobody_ran_does_not_count() -> None:
    ladder = Ladder()
    begun_before = Watched(what="a test", since=0.0, limit=4.0)
    begun_meanwhile = Watched(what="another", since=1000.0, limit=4.0)
    ladder.look({"gw0": begun_before}, 1.0)
    seen = {"gw0": begun_before, "gw1": begun_meanwhile}
    assert ladder.look(seen, 1001.0, slept=1000.0) == []
    assert ladder.look(seen, 1002.0) == [Action("say", "gw0", 2.0)]
    assert ladder.look(seen, 1003.5) == [Action("say", "gw1", 2.5)]
    assert ladder.look(seen, 1004.0) == [Action("ask", "gw0", 4.0)]
    assert ladder.look(seen, 1005.0) == [Action("end", "gw0", 5.0), Action("ask", "gw1", 4.0)]


def test_of_one_that_is_gone_only_the_end_is_left() -> None:
    gone = Watched(what="gone", since=3.0, is_gone=True)
    ladder = Ladder()
    assert [ladder.look({"gw0": gone}, now) for now in (3.0, 4.0, 5.0)] == [
        [Action("end", "gw0", 0.0)],
        [],
        [Action("end", "gw0", 2.0)],
    ]


@given(LOOKS, LIMITS, LIMITS, st.integers(0, 3))
def test_nobody_is_ended_before_the_limit_or_unasked(
    looks: list[tuple[float, int]], limit: float, slow: float, lives: int
) -> None:
    """Whatever is seen when: the end of a process has its limit and the grace behind it, of the same doing."""
    ladder = Ladder()
    asked: dict[float, float] = {}
    since, last = 0.0, 0
    for now, number in looks:
        if number != last:
            since, last = now, number
        watched = Watched(what=number, since=since, limit=limit, slow=slow)
        for action in ladder.look({"gw0": watched}, now):
            if action.kind == "ask":
                assert limit
                assert now >= since + limit
                assert since not in asked
                asked[since] = now
            elif action.kind == "end":
                assert now >= asked[since] + GRACE_SECONDS
            else:
                assert since not in asked
                assert now >= since + watched.period > since


@given(LOOKS, st.floats(0.1, 100), LIMITS)
def test_who_hangs_is_ended_once_it_was_looked_twice_after_the_limit(
    looks: list[tuple[float, int]], limit: float, slow: float
) -> None:
    done = actions([now for now, _ in looks], limit=limit, slow=slow)
    late = [now for now, _ in looks if now >= limit]
    is_time_enough = bool(late) and late[-1] >= late[0] + GRACE_SECONDS
    assert ("end" in [kind for _, kind in done]) == is_time_enough
    assert [kind for _, kind in done if kind == "ask"] == ["ask"] * bool(late)


@given(st.lists(st.tuples(st.sampled_from("abc"), TIMES, LIMITS, LIMITS), max_size=5), TIMES)
def test_until_something_is_due_nobody_has_to_look(
    processes: list[tuple[str, float, float, float]], now: float
) -> None:
    seen = {
        who: Watched(what=0, since=since, limit=limit, slow=slow) for who, since, limit, slow in processes
    }
    ladder = Ladder()
    ladder.look(seen, now)
    left = ladder.seconds_left(now, most=50.0)
    assert 0 <= left <= 50
    assert ladder.look(seen, now + left * 0.99) == [] or left == 0
    if 0 < left < 50:
        assert ladder.look(seen, now + left + 0.001)


@given(st.permutations(["gw0", "gw1", "gw2"]), TIMES)
def test_what_one_does_is_nothing_to_the_others(order: list[str], now: float) -> None:
    seen = {f"gw{at}": Watched(what=0, since=100.0 * at, limit=50.0) for at in range(3)}
    ladder = Ladder()
    together = ladder.look({who: seen[who] for who in order}, now)
    alone = [action for who in order for action in Ladder().look({who: seen[who]}, now)]
    assert together == alone
