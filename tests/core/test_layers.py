"""Of several places that set a value the nearest counts, and every value says where it comes from."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.errors import matches
from pytest_resilience.core.layers import Layer, Places, Sourced, resolved
from pytest_resilience.core.retry import RetryPolicy, Rule

Values = dict[str, int]

# Three of the names; "retries" is the one with a rule of its own.
NAMES = ("retries", "delay", "factor")
SOME = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 3))
ALL = st.fixed_dictionaries({name: st.integers(0, 3) for name in NAMES})


def layers(kind: str, several: list[Values]) -> tuple[Layer, ...]:
    """A layer for each, called after its kind and its number from 1."""
    return tuple(Layer(f"{kind} {at}", values) for at, values in enumerate(several, start=1))


# -- layers in general ------------------------------------------------------------------------------------------------


def test_the_first_layer_that_sets_a_name_counts() -> None:
    assert resolved([Layer("near", {"a": 1}), Layer("far", {"a": 2, "b": 3})]) == {
        "a": Sourced(1, "near"),
        "b": Sourced(3, "far"),
    }


def test_what_is_set_to_nothing_is_set() -> None:
    assert resolved([Layer("near", {"a": None, "b": 0}), Layer("far", {"a": 2, "b": 3})]) == {
        "a": Sourced(None, "near"),
        "b": Sourced(0, "near"),
    }


@given(st.lists(SOME))
def test_a_farther_layer_changes_nothing_that_is_set(several: list[Values]) -> None:
    for at in range(len(several)):
        found, more = resolved(layers("", several[:at])), resolved(layers("", several[: at + 1]))
        assert found.items() <= more.items()
        assert more.keys() == found.keys() | several[at].keys()


# -- the places of a policy -------------------------------------------------------------------------------------------


def test_the_places_come_in_their_order() -> None:
    places = Places(
        above=(Layer("above 1", {"y": 0}), Layer("above 2", {"y": 0, "z": 0})),
        marker=Layer("marker", {"a": 1, "z": 1}),
        flags=(Layer("flag", {"a": 2, "b": 2}),),
        overrides=(Layer("override 1", {"b": 3, "c": 3}), Layer("override 2", {"c": 4, "d": 4})),
        below=(Layer("table", {"d": 6, "e": 6}), Layer("default", dict.fromkeys("abcdefyz", 7))),
    )
    sources = {name: found.source for name, found in places.values().items()}
    assert sources == {
        "y": "above 1",
        "z": "above 2",
        "a": "marker",
        "b": "flag",
        "c": "override 1",
        "d": "override 2",
        "e": "table",
        "f": "default",
    }
    rule = Layer("rule", dict.fromkeys("abcdefyz", 5))
    assert places.changes(rule) == {"e": Sourced(5, "rule"), "f": Sourced(5, "rule")}


def test_a_marker_without_a_number_asks_for_one_retry() -> None:
    places = Places(marker=Layer("marker", {}), below=(Layer("default", {"retries": 0}),))
    assert places.values() == {"retries": Sourced(1, "marker")}
    assert places.changes(Layer("rule", {"retries": 0})) == {"retries": Sourced(1, "marker")}


def test_a_marker_without_a_number_keeps_what_the_test_has_anyway() -> None:
    places = Places(marker=Layer("marker", {}), below=(Layer("table", {"retries": 3}),))
    assert places.values() == {"retries": Sourced(3, "table")}
    assert places.changes(Layer("rule", {"retries": 5})) == {"retries": Sourced(5, "rule")}
    assert places.changes(Layer("rule", {})) == {}


def test_a_marker_with_a_number_has_that_even_if_it_is_none() -> None:
    places = Places(marker=Layer("marker", {"retries": 0}), below=(Layer("table", {"retries": 3}),))
    assert places.values() == {"retries": Sourced(0, "marker")}
    assert places.changes(Layer("rule", {"retries": 5})) == {}


def test_what_is_above_a_marker_without_a_number_is_not_changed_by_it() -> None:
    above, default = Layer("above", {"retries": 0}), Layer("default", {"retries": 0})
    places = Places(above=(above,), marker=Layer("marker", {}), below=(default,))
    assert places.values() == {"retries": Sourced(0, "above")}
    assert places.changes(Layer("rule", {"retries": 3})) == {}


def oracle(
    name: str,
    above: list[Values],
    marker: Values | None,
    flags: Values,
    overrides: list[Values],
    rules: list[Values],
    table: Values,
    default: Values,
) -> int:
    """The value of one name, from the farthest place to the nearest: each that sets it takes the place of the last."""
    value = default[name]
    value = table.get(name, value)
    for values in reversed(rules):
        if name in values:
            value = values[name]
    for values in reversed(overrides):
        if name in values:
            value = values[name]
    if name in flags:
        value = flags[name]
    if marker is not None:
        if name in marker:
            value = marker[name]
        elif name == "retries" and value == 0:
            value = 1
    for values in reversed(above):
        if name in values:
            value = values[name]
    return value


@given(
    st.lists(SOME, max_size=2),
    st.none() | SOME,
    SOME,
    st.lists(SOME, max_size=3),
    st.lists(st.tuples(st.booleans(), SOME), max_size=3),
    SOME,
    ALL,
)
def test_the_policy_for_an_error_is_what_a_plain_reading_of_all_places_gives(
    above: list[Values],
    marker: Values | None,
    flags: Values,
    overrides: list[Values],
    rules: list[tuple[bool, Values]],
    table: Values,
    default: Values,
) -> None:
    places = Places(
        above=layers("above", above),
        marker=None if marker is None else Layer("marker", marker),
        flags=tuple(Layer(f"--{name}", {name: value}) for name, value in flags.items()),
        overrides=layers("override", overrides),
        below=(Layer("table", table), Layer("default", default)),
    )

    def expected(rules: list[Values]) -> Mapping[str, int]:
        arguments = (above, marker, flags, overrides, rules, table, default)
        return {name: oracle(name, *arguments) for name in NAMES}

    values = {name: found.value for name, found in places.values().items()}
    assert values == expected([])

    error = ValueError("boom")
    policy = RetryPolicy(
        **values,  # type: ignore[arg-type]
        rules=tuple(
            Rule(
                ("boom",) if is_matched else ("bang",),
                {name: found.value for name, found in places.changes(Layer("rule", of_rule)).items()},
            )
            for is_matched, of_rule in rules
        ),
    )
    matched = [of_rule for is_matched, of_rule in rules if is_matched]
    assert all(
        matches(rule.match, error) is is_matched
        for rule, (is_matched, _) in zip(policy.rules, rules, strict=True)
    )
    about = policy.about(error)
    assert {name: getattr(about, name) for name in NAMES} == expected(matched)
    assert policy.about(None) == policy
    assert about.retries <= policy.most_retries


@given(st.none() | SOME, SOME, st.lists(SOME, max_size=3), SOME, ALL, SOME)
def test_a_source_is_a_place_that_says_so(
    marker: Values | None,
    flags: Values,
    overrides: list[Values],
    table: Values,
    default: Values,
    rule: Values,
) -> None:
    several = layers("override", overrides)
    places = Places(
        marker=None if marker is None else Layer("marker", marker),
        flags=(Layer("flags", flags),),
        overrides=several,
        below=(Layer("table", table), Layer("default", default)),
    )
    said = {"marker": marker or {}, "flags": flags, "table": table, "default": default, "rule": rule}
    said |= {layer.source: dict(layer.values) for layer in several}  # type: ignore[arg-type]
    for found in (places.values(), places.changes(Layer("rule", rule))):
        for name, one in found.items():
            asked = name == "retries" and one == Sourced(1, "marker")
            assert asked or said[one.source][name] == one.value
