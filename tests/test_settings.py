"""Every setting: where its value comes from, and what is said of one that is not valid."""

import json
import re
import sys
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.layers import Layer, Sourced
from pytest_resilience.core.retry import RetryPolicy
from pytest_resilience.settings.options import OF_ERROR, OF_TEST, OPTIONS, Option, checked
from pytest_resilience.settings.resolved import Settings, resolve
from pytest_resilience.settings.tables import Part
from pytest_resilience.settings.values import SettingsError

from .values import ALLOWED, BAD, BY_KEY, GOOD, WITH_FLAG, as_kept, table


def complaint(flags: dict[str, object] | None = None, of_table: dict[str, object] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        resolve(flags or {}, of_table or {})
    return str(caught.value)


def as_typed(option: Option, value: object) -> object:
    """What pytest hands over of a flag."""
    return str(value) if option.metavar else True


# -- the list of options --------------------------------------------------------------------------------------------------


def test_these_tests_know_every_setting() -> None:
    assert set(GOOD) == set(BAD) == set(ALLOWED) == set(BY_KEY)


def test_names_flags_and_places_are_unique() -> None:
    assert len(BY_KEY) == len({option.dest for option in OPTIONS}) == len(OPTIONS)
    names = [name for option in WITH_FLAG for name in {option.flag, option.long_flag}]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.key)
def test_a_setting_takes_its_own_default_and_has_a_help_text(option: Option) -> None:
    assert checked(option.key, option.default, "x") == option.default
    assert option.help
    assert option.flag or not option.metavar


def test_a_switch_is_a_setting_that_is_on_or_off() -> None:
    switches = [option for option in WITH_FLAG if not option.metavar]
    assert switches
    assert all(option.default is False for option in switches)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.key)
def test_only_settings_for_retries_may_differ_between_tests_and_errors(option: Option) -> None:
    assert option.of == "run" or option.table == "retry"


def test_what_may_differ_between_tests_are_the_fields_of_a_policy() -> None:
    fields = {*RetryPolicy._fields}
    assert {option.field for option in OF_TEST} == fields - {"min_passes", "rules"}
    assert set(OF_ERROR) <= set(OF_TEST)


@pytest.mark.parametrize("option", OF_TEST, ids=lambda option: option.key)
def test_a_setting_and_the_policy_agree_on_the_default(option: Option) -> None:
    default = getattr(RetryPolicy(), option.field)
    assert option.default == ("" if option.name == "condition" else default)


@pytest.mark.parametrize("option", WITH_FLAG, ids=lambda option: option.flag)
def test_every_flag_has_a_form_that_no_other_plugin_takes(option: Option) -> None:
    assert re.fullmatch(r"--resilience-[a-z]+(-[a-z]+)*", option.long_flag)
    assert option.flag == option.long_flag or option.long_flag == f"--resilience-{option.flag[2:]}"


# -- where a value comes from ---------------------------------------------------------------------------------------------


def test_without_anything_all_defaults_hold_and_change_no_result() -> None:
    settings = resolve({}, {})
    assert vars(settings) == vars(Settings({option.key: option.default for option in OPTIONS}, {}))
    assert settings["retry.retries"] == 0
    assert (settings["stop.after"], settings["stop.same-error"]) == (0, 0)
    assert {settings[f"retry.{key}"] for key in ("budget", "max-first-failures", "max-flaky")} == {"none"}


@pytest.mark.parametrize("key", GOOD)
def test_a_value_in_the_table_comes_before_the_default(key: str) -> None:
    for value in GOOD[key]:
        settings = resolve({}, table(key, value))
        assert settings[key] == as_kept(value)
        assert settings.sources == {key: f"[tool.resilience.{key.partition('.')[0]}]"}
        assert not settings.is_typed(key)
        assert all(settings[other] == BY_KEY[other].default for other in BY_KEY if other != key)


@pytest.mark.parametrize("option", WITH_FLAG, ids=lambda option: option.flag)
def test_a_flag_comes_before_the_table_and_is_typed_as_text(option: Option) -> None:
    in_table, typed = GOOD[option.key]
    settings = resolve({option.key: as_typed(option, typed)}, table(option.key, in_table))
    assert settings[option.key] == typed
    assert settings.sources == {option.key: f"{option.flag} {typed}" if option.metavar else option.flag}
    assert settings.is_typed(option.key)


def test_a_flag_that_was_typed_under_another_name_keeps_it() -> None:
    names = {"retry.retries": "--reruns", "retry.fail-on-flaky": "--strict"}
    settings = resolve({"retry.retries": "2", "retry.fail-on-flaky": True}, {}, names)
    assert settings.sources == {"retry.retries": "--reruns 2", "retry.fail-on-flaky": "--strict"}
    with pytest.raises(SettingsError, match="--reruns two: expected a whole number"):
        resolve({"retry.retries": "two"}, {}, names)


@given(
    st.fixed_dictionaries(
        {}, optional={option.key: st.sampled_from(GOOD[option.key]) for option in WITH_FLAG}
    ),
    st.fixed_dictionaries({}, optional={key: st.sampled_from(values) for key, values in GOOD.items()}),
)
def test_each_setting_comes_from_its_flag_or_the_table_or_the_default(
    flags: dict[str, object], flat: dict[str, object]
) -> None:
    nested: dict[str, dict[str, object]] = {}
    for key, value in flat.items():
        name, _, rest = key.partition(".")
        nested.setdefault(name, {})[rest] = value
    settings = resolve({key: as_typed(BY_KEY[key], value) for key, value in flags.items()}, nested)
    expected = {**{key: option.default for key, option in BY_KEY.items()}, **flat, **flags}
    assert settings.values == {key: as_kept(value) for key, value in expected.items()}
    assert settings.sources.keys() == flat.keys() | flags.keys()


def test_only_a_typed_zero_turns_all_retries_off() -> None:
    assert resolve({"retry.retries": "0"}, {}).retries_off
    assert resolve({"retry.retries": "0"}, table("retry.retries", 3)).retries_off
    assert resolve({"retry.retries": "0"}, {}, {"retry.retries": "--resilience-retries"}).retries_off
    assert not resolve({"retry.retries": "0"}, {}, {"retry.retries": "--reruns"}).retries_off
    assert not resolve({"retry.retries": "1"}, {}).retries_off
    assert not resolve({}, table("retry.retries", 0)).retries_off
    assert not resolve({}, {}).retries_off


# -- the places of a policy -----------------------------------------------------------------------------------------------

NEAR = Layer("marker", {"retries": 3, "delay": 1.0, "min_passes": 2})
FITS = Part(source="override", paths=("a",), values={"retries": 4, "jitter": True})


def test_the_policy_of_a_test_comes_from_its_marker_flags_overrides_the_table_and_defaults() -> None:
    settings = resolve({"retry.delay": "2", "retry.strategy": "deferred"}, table("retry.phases", "call"))
    found = settings.places(NEAR, [FITS]).values()
    assert found.keys() == {*RetryPolicy._fields} - {"rules"}
    assert {name: found[name] for name in ("retries", "delay", "min_passes", "jitter", "strategy")} == {
        "retries": Sourced(3, "marker"),
        "delay": Sourced(1.0, "marker"),
        "min_passes": Sourced(2, "marker"),
        "jitter": Sourced(True, "override"),
        "strategy": Sourced("deferred", "--retry-strategy deferred"),
    }
    assert found["phases"] == Sourced(("call",), "[tool.resilience.retry]")
    assert found["refresh"] == Sourced((), "default")
    assert settings.places().values()["min_passes"] == Sourced(1, "default")


def test_with_all_retries_off_no_marker_override_or_rule_is_asked() -> None:
    places = resolve({"retry.retries": "0"}, table("retry.delay", 3)).places(NEAR, [FITS])
    found = places.values()
    assert {one.source for one in found.values()} == {"--retries 0", "[tool.resilience.retry]", "default"}
    assert (found["retries"].value, found["min_passes"].value) == (0, 1)
    assert "retries" not in places.changes(Layer("rule", {"retries": 5, "delay": 1.0}))


# -- values that are not valid ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in BAD.items() for value in values])
def test_a_bad_value_in_the_table_is_named_with_its_key_and_what_is_allowed(key: str, value: object) -> None:
    text = complaint(of_table=table(key, value))
    assert text.startswith(f"RES701 config-invalid: {key} = ")
    assert repr(value) in text
    assert " in [tool.resilience]: " in text
    assert ALLOWED[key] in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (option.key, value)
        for option in WITH_FLAG
        for value in BAD[option.key]
        if option.metavar and isinstance(value, str)
    ],
)
def test_a_bad_value_of_a_flag_is_named_with_the_flag(key: str, value: str) -> None:
    text = complaint({key: value})
    assert text.startswith(f"RES701 config-invalid: {BY_KEY[key].flag} {value}: ")
    assert ALLOWED[key] in text


def test_a_choice_names_the_nearest() -> None:
    assert complaint({"report.summary": "problem"}).endswith("did you mean 'problems'?")
    assert complaint(of_table=table("retry.backoff", "exp")).endswith("one of fixed, linear, exponential")
    assert complaint(of_table=table("retry.backoff", "exponental")).endswith("did you mean 'exponential'?")
    assert complaint(of_table=table("retry.phases", ["setup", "cal"])).endswith("did you mean 'call'?")
    assert complaint({"retry.strategy": "defer"}).endswith("did you mean 'deferred'?")


def test_of_several_patterns_the_bad_one_is_named() -> None:
    text = complaint(of_table=table("retry.only", ["good", "(bad"]))
    assert "'(bad' is no regular expression (missing )" in text


@pytest.mark.parametrize(("key", "value"), [("retry.only", "[[a]"), ("retry.condition", "error is 1")])
def test_what_python_warns_of_is_refused_where_warnings_are_ignored_too(key: str, value: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert ALLOWED[key] in complaint(of_table=table(key, value))


def test_a_long_value_is_cut() -> None:
    for key in ("report.summary", "retry.only", "retry.condition", "retry.phases"):
        assert len(complaint(of_table=table(key, "(" * 10_000))) < 400


def test_a_number_too_long_to_be_written_out_is_refused() -> None:
    """TOML has hexadecimal numbers of any length; Python refuses to print those."""
    number = 16 ** (sys.get_int_max_str_digits() + 1)
    for key in BY_KEY:
        assert ALLOWED[key] in complaint(of_table=table(key, number))
    tables: list[dict[str, object]] = [{"override": [{"paths": number}]}, {"override": number}]
    for of_table in (*tables, table("retry.rule", number)):
        assert "expected " in complaint(of_table=of_table)


# -- between processes --------------------------------------------------------------------------------------------------------

PARTS = st.lists(
    st.fixed_dictionaries(
        {"paths": st.just(["a", "b/*.py"]) | st.just("c"), "markers": st.sampled_from(["", "a or b"])},
        optional={option.name: st.sampled_from(GOOD[option.key]) for option in OF_TEST},
    ),
    max_size=3,
)
RULES = st.lists(
    st.fixed_dictionaries(
        {"match": st.just("x") | st.just(["y", "\ud800"])},
        optional={option.name: st.sampled_from(GOOD[option.key]) for option in OF_ERROR},
    ),
    max_size=3,
)


@given(
    st.dictionaries(st.sampled_from([option.key for option in WITH_FLAG]), st.integers(0, 1), max_size=3),
    st.fixed_dictionaries(
        {}, optional={key: st.sampled_from(values) for key, values in GOOD.items() if key[:6] == "retry."}
    ),
    PARTS,
    RULES,
)
def test_settings_reach_another_process_as_they_are(
    flags: dict[str, int], retry: dict[str, object], overrides: list[object], rules: list[object]
) -> None:
    settings = resolve(
        {key: as_typed(BY_KEY[key], GOOD[key][at]) for key, at in flags.items()},
        {
            "retry": {**{key.partition(".")[2]: value for key, value in retry.items()}, "rule": rules},
            "override": overrides,
        },
        above=(FITS,),
    )
    sent = json.dumps(settings.plain()).encode("ascii")
    arrived = Settings.from_plain(json.loads(sent))
    assert vars(arrived) == vars(settings)
    # A list is equal to no tuple, and 1 to both True and 1.0.
    assert repr(vars(arrived)) == repr(vars(settings))


# -- any input ----------------------------------------------------------------------------------------------------------------

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None, exclude_categories=()))
    | st.binary()
    | st.dates()
    | st.sampled_from(["0", "1", "fixed", "all", ".*", "[[]", "(?i)a(?x)", "\\"])
)
VALUES = st.recursive(SCALARS, lambda some: st.lists(some) | st.dictionaries(st.text(), some), max_leaves=5)
NAMES = (
    st.sampled_from(
        sorted({part for key in BY_KEY for part in key.split(".")} | {"rule", "match", "paths", "markers"})
    )
    | st.text()
)
PART = st.dictionaries(NAMES, VALUES, max_size=3)


@given(
    st.dictionaries(st.sampled_from([option.key for option in WITH_FLAG]), VALUES, max_size=2),
    st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, max_size=3) | VALUES, max_size=3),
    st.none() | VALUES | st.lists(PART, max_size=2),
    st.none() | VALUES | st.lists(PART, max_size=2),
)
def test_no_input_raises_anything_but_a_settings_error(
    flags: dict[str, object], of_table: dict[str, object], override: object, rule: object
) -> None:
    if override is not None:
        of_table["override"] = override
    if rule is not None and isinstance(of_table.setdefault("retry", {}), dict):
        of_table["retry"]["rule"] = rule  # type: ignore[index]
    try:
        settings = resolve(flags, of_table)
    except SettingsError:
        return
    for key, value in settings.values.items():
        assert checked(key, value, "again") == value
    assert vars(Settings.from_plain(json.loads(json.dumps(settings.plain())))) == vars(settings)


@given(st.sampled_from(sorted(BY_KEY)), VALUES)
def test_a_value_is_either_refused_or_kept_for_good(key: str, value: object) -> None:
    try:
        kept = checked(key, value, "x")
    except SettingsError:
        return
    assert checked(key, kept, "x") == kept
