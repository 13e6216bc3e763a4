"""The arguments of a `flaky` marker mean the same whatever they are called, and each thing is said once."""

import itertools
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.vocabularies import (
    BY_POSITION,
    OTHERS,
    OURS,
    ArgumentError,
    RerunFilter,
    translated,
)

MEANINGS = {name: {name} for name in OURS}
for _names in OTHERS.values():
    for _name, _ours in _names.items():
        MEANINGS.setdefault(_ours, set()).add(_name)
IGNORED = MEANINGS.pop("")
SYNONYMS = [pair for names in MEANINGS.values() for pair in itertools.permutations(sorted(names), 2)]
KNOWN = sorted({*OURS, *itertools.chain.from_iterable(OTHERS.values())})


def a_filter(error: object, name: str, test: object, plugin: object) -> bool:
    return True


def value_for(name: str) -> object:
    """A value that is taken under any name."""
    return a_filter if name == "rerun_filter" else 3


@st.composite
def markers(draw: st.DrawFn) -> Mapping[str, object]:
    """Arguments by name, from all vocabularies, no two of the same meaning, in any order."""
    names = [draw(st.sampled_from(sorted(MEANINGS[one]))) for one in draw(st.sets(st.sampled_from(OURS)))]
    names += draw(st.sets(st.sampled_from(sorted(IGNORED))))
    return {name: value_for(name) for name in draw(st.permutations(names))}


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"reruns": 2}, {"retries": 2}),
        ({"reruns_delay": 1.5}, {"delay": 1.5}),
        ({"reruns_delay_backoff_factor": 3}, {"factor": 3, "backoff": "exponential"}),
        ({"only_rerun": "Timeout"}, {"only": "Timeout"}),
        ({"rerun_except": [ValueError]}, {"except_": [ValueError]}),
        ({"only_on": [OSError]}, {"only": [OSError]}),
        ({"exclude": [OSError]}, {"except_": [OSError]}),
        ({"max_runs": 5, "min_passes": 2}, {"retries": 4, "min_passes": 2}),
        ({"max_runs": 1}, {"retries": 0}),
        ({"rerun_filter": a_filter}, {"condition": RerunFilter(a_filter)}),
    ],
    ids=lambda one: " ".join(one),
)
def test_a_name_of_another_plugin_has_one_of_ours(theirs: dict[str, object], ours: dict[str, object]) -> None:
    assert translated((), theirs).values == ours


@given(markers())
def test_every_argument_is_found_under_our_name_and_knows_its_own(kwargs: Mapping[str, object]) -> None:
    arguments = translated((), kwargs)
    assert arguments.values.keys() == arguments.written.keys()
    said = {ours for ours in arguments.values if arguments.written[ours] in kwargs}
    assert {arguments.written[ours] for ours in said} == kwargs.keys() - IGNORED
    assert all(arguments.written[ours] in MEANINGS[ours] for ours in said)
    assert arguments.values.keys() - said <= {"backoff"}


@given(markers(), st.randoms(use_true_random=False))
def test_the_order_of_names_does_not_matter(kwargs: Mapping[str, object], chance: object) -> None:
    shuffled = dict(sorted(kwargs.items(), key=lambda _: chance.random()))  # type: ignore[attr-defined]
    assert translated((), shuffled) == translated((), kwargs)


@given(markers())
def test_our_own_names_are_taken_as_they_are(kwargs: Mapping[str, object]) -> None:
    own = {name: value for name, value in kwargs.items() if name in OURS}
    values = translated((), own).values
    assert {name: values[name] for name in own} == own


@given(st.sampled_from(OURS), st.one_of(st.none(), st.text(), st.integers(), st.just(object())))
def test_values_are_for_others_to_check(name: str, value: object) -> None:
    assert translated((), {name: value}).values[name] is value


def test_nothing_said_is_nothing_set() -> None:
    assert not translated((), {}).values


# -- whose names ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("plugin", "names"), OTHERS.items(), ids=OTHERS)
def test_a_name_that_only_one_plugin_has_tells_whose_marker_it_is(
    plugin: str, names: Mapping[str, str]
) -> None:
    for name in names:
        assert translated((), {name: value_for(name)}).others == {plugin}


def test_names_that_are_ours_too_tell_nothing() -> None:
    assert not translated((), dict.fromkeys(OURS, 1)).others
    assert not translated((3, 1, 2), {}).others


def test_a_marker_may_mix_vocabularies() -> None:
    arguments = translated((), {"reruns": 3, "only_on": [OSError], "max_delay": 5})
    assert arguments.values == {"retries": 3, "only": [OSError], "max_delay": 5}
    assert arguments.others == {"rerunfailures", "pytest-retry"}


def test_cumulative_timing_is_known_and_sets_nothing() -> None:
    arguments = translated((), {"cumulative_timing": False})
    assert not arguments.values
    assert arguments.others == {"pytest-retry"}


# -- by position ------------------------------------------------------------------------------------------------------


@given(st.integers(0, 3))
def test_by_position_come_retries_delay_and_factor(number: int) -> None:
    args = (7, 0.5, 3.0)[:number]
    assert translated(args, {}) == translated((), dict(zip(BY_POSITION, args, strict=False)))


def test_four_arguments_by_position_are_too_many() -> None:
    with pytest.raises(
        ArgumentError, match=r"^flaky takes retries, delay and factor by position, the rest by"
    ):
        translated((3, 1, 2, "AssertionError"), {})


# -- the factor -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kwargs", [{"factor": 2}, {"reruns_delay_backoff_factor": 2}])
def test_a_factor_makes_the_backoff_exponential(kwargs: dict[str, object]) -> None:
    assert translated((), kwargs).values == {"factor": 2, "backoff": "exponential"}


def test_a_backoff_that_is_named_stays() -> None:
    assert translated((), {"factor": 2, "backoff": "linear"}).values["backoff"] == "linear"
    assert translated((3, 1, 2), {"backoff": "fixed"}).values["backoff"] == "fixed"


# -- what is said twice -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), SYNONYMS)
def test_two_names_for_the_same_thing_are_refused(first: str, second: str) -> None:
    with pytest.raises(ArgumentError, match=f"^flaky has {first} and {second}, which mean the same$"):
        translated((), {first: value_for(first), second: value_for(second)})


@pytest.mark.parametrize("at", range(len(BY_POSITION)))
def test_by_position_and_by_name_is_twice(at: int) -> None:
    ours = BY_POSITION[at]
    for name in MEANINGS[ours]:
        how = "twice, by position and by name" if name == ours else f"and {name}, which mean the same"
        with pytest.raises(ArgumentError, match=f"^flaky has {ours} {how}$"):
            translated((1, 1, 1)[: at + 1], {name: 1})


@pytest.mark.parametrize("name", OTHERS["flaky"])
def test_none_leaves_open_what_the_flaky_package_leaves_open(name: str) -> None:
    assert not translated((), {name: None}).values
    for ours in ("retries", "condition"):
        assert translated((), {name: None, ours: 1}).values == {ours: 1}
        assert translated((), {ours: 1, name: None}).values == {ours: 1}


# -- what cannot be understood ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("retrys", "retries"),
        ("rerun", "reruns"),
        ("rerun_delay", "reruns_delay"),
        ("max_run", "max_runs"),
        ("only_reruns", "only_rerun"),
        ("exclud", "exclude"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(ArgumentError) as raised:
        translated((), {name: 1})
    assert f"unknown argument {name!r} of the flaky marker; did you mean {near!r}?" in str(raised.value)


def test_an_unknown_name_is_told_with_all_that_is_known() -> None:
    with pytest.raises(ArgumentError) as raised:
        translated((), {"zzz": 1})
    assert str(raised.value).startswith(
        "unknown argument 'zzz' of the flaky marker; known are retries, delay, "
    )
    assert all(name in str(raised.value) for name in (*OURS, *OTHERS))


@given(st.text().filter(lambda name: name not in KNOWN))
def test_no_other_name_is_known(name: str) -> None:
    with pytest.raises(ArgumentError, match=r"^unknown argument "):
        translated((), {name: 1})


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("broken")


@pytest.mark.parametrize("value", ["3", 2.0, True, Unprintable()], ids=["text", "float", "bool", "object"])
def test_max_runs_has_to_be_a_number_to_count_from(value: object) -> None:
    with pytest.raises(ArgumentError, match=r"^flaky\(max_runs=...\): expected a whole number, got "):
        translated((), {"max_runs": value})


def test_max_runs_below_one_is_for_others_to_refuse() -> None:
    assert translated((), {"max_runs": 0}).values == {"retries": -1}


def test_a_rerun_filter_has_to_be_a_function() -> None:
    with pytest.raises(ArgumentError, match=r"^flaky\(rerun_filter=...\): expected a function, got bool$"):
        translated((), {"rerun_filter": True})


# -- rerun_filter -----------------------------------------------------------------------------------------------------


def asked(answer: object) -> tuple[list[tuple[object, ...]], RerunFilter]:
    """What a filter that gives this answer was called with, and the filter."""
    calls: list[tuple[object, ...]] = []

    def function(*arguments: object) -> object:
        calls.append(arguments)
        return answer

    condition = translated((), {"rerun_filter": function}).values["condition"]
    assert isinstance(condition, RerunFilter)
    return calls, condition


def test_a_rerun_filter_is_given_what_sys_exc_info_would_give() -> None:
    calls, condition = asked(True)
    with pytest.raises(ValueError, match="boom") as raised:
        raise ValueError("boom")
    assert condition.admits(raised.value, "test_a", "the test", "the plugin")
    assert raised.tb is not None
    assert calls == [((ValueError, raised.value, raised.tb), "test_a", "the test", "the plugin")]


def test_a_rerun_filter_is_told_of_a_failure_without_an_exception() -> None:
    calls, condition = asked(True)
    condition.admits(None, "test_a", "the test", "the plugin")
    assert calls == [((None, None, None), "test_a", "the test", "the plugin")]


@pytest.mark.parametrize(("answer", "is_admitted"), [(1, True), ("yes", True), (0, False), (None, False)])
def test_what_a_rerun_filter_returns_counts_by_its_truth(answer: object, is_admitted: bool) -> None:
    assert asked(answer)[1].admits(ValueError(), "test_a", None, None) is is_admitted


def test_what_a_rerun_filter_raises_is_raised() -> None:
    def broken(*arguments: object) -> bool:
        raise LookupError("no such status")

    function: Callable[..., bool] = broken
    with pytest.raises(LookupError):
        RerunFilter(function).admits(ValueError(), "test_a", None, None)
