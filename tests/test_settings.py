"""Every setting: where its value comes from, and what is said of one that is not valid."""

import re
import sys
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.retry import RetryPolicy
from pytest_resilience.settings import OPTIONS, Option, Settings, SettingsError, checked, resolve, table_in

BY_KEY = {option.key: option for option in OPTIONS}
WITH_FLAG = [option for option in OPTIONS if option.flag]

# For each setting: two good values as the table and as the command line have them, and bad ones.
GOOD: dict[str, tuple[object, object]] = {
    "retry.retries": (3, 4),
    "retry.delay": (1.5, 2.0),
    "retry.backoff": ("exponential", "fixed"),
    "retry.max-delay": (5.0, 6.0),
    "retry.only": (["a", "b"], ["c"]),
    "retry.except": (["a"], []),
    "stop.after": (5, 6),
    "stop.same-error": (7, 8),
    "ledger.dir": ("x", "y"),
    "ledger.durability": ("record", "process"),
    "ledger.keep-runs": (1, 2),
    "ledger.keep-days": (1, 2),
    "ledger.keep-mb": (1, 2),
    "report.summary": ("all", "none"),
}
NO_NUMBER = [-1, 1.5, "x", "", True, None, [], {}, 10**30, date(2026, 11, 21)]
NO_SECONDS = [-1, -0.5, "x", "", True, None, [1], float("nan"), float("inf"), "nan", "1e400", 10**30]
BAD: dict[str, list[object]] = {
    "retry.retries": NO_NUMBER,
    "retry.delay": NO_SECONDS,
    "retry.backoff": ["expo", "Fixed", "", 3, None, ["fixed"]],
    "retry.max-delay": NO_SECONDS,
    "retry.only": ["(", ["a", "["], [1], 3, None, {"a": "b"}, "a{99999999999999999999}", "[[a]"],
    "retry.except": ["*", ["a", "(?P<x"], [None]],
    "stop.after": NO_NUMBER,
    "stop.same-error": NO_NUMBER,
    "ledger.dir": ["", 3, None, ["x"]],
    "ledger.durability": ["seconds", "", 1],
    "ledger.keep-runs": [0, *NO_NUMBER],
    "ledger.keep-days": [0, *NO_NUMBER],
    "ledger.keep-mb": [0, *NO_NUMBER],
    "report.summary": ["al", "ALL", "", 1],
}
ALLOWED = {
    "retry.retries": "a whole number, 0 or more",
    "retry.delay": "a number of seconds, 0 or more",
    "retry.backoff": "one of fixed, exponential",
    "retry.max-delay": "a number of seconds, 0 or more",
    "retry.only": "regular expression",
    "retry.except": "regular expression",
    "stop.after": "a whole number, 0 or more",
    "stop.same-error": "a whole number, 0 or more",
    "ledger.dir": "a text that is not empty",
    "ledger.durability": "one of process, second, record",
    "ledger.keep-runs": "a whole number, 1 or more",
    "ledger.keep-days": "a whole number, 1 or more",
    "ledger.keep-mb": "a whole number, 1 or more",
    "report.summary": "one of all, problems, counts, none",
}


def table(key: str, value: object) -> dict[str, object]:
    """The ``[tool.resilience]`` table with one value in it."""
    name, _, rest = key.partition(".")
    return {name: {rest: value}}


def complaint(flags: dict[str, object] | None = None, of_table: dict[str, object] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        resolve(flags or {}, of_table or {})
    return str(caught.value)


def as_kept(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


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
    assert bool(option.flag) is bool(option.metavar)


@pytest.mark.parametrize("option", WITH_FLAG, ids=lambda option: option.flag)
def test_every_flag_has_a_form_that_no_other_plugin_takes(option: Option) -> None:
    assert re.fullmatch(r"--resilience-[a-z]+(-[a-z]+)*", option.long_flag)
    assert option.flag == option.long_flag or option.long_flag == f"--resilience-{option.flag[2:]}"


# -- where a value comes from ---------------------------------------------------------------------------------------------


def test_without_anything_all_defaults_hold_and_change_no_result() -> None:
    settings = resolve({}, {})
    assert settings == Settings({option.key: option.default for option in OPTIONS})
    assert settings.retry == RetryPolicy()
    assert (settings["stop.after"], settings["stop.same-error"]) == (0, 0)


@pytest.mark.parametrize("key", GOOD)
def test_a_value_in_the_table_comes_before_the_default(key: str) -> None:
    for value in GOOD[key]:
        settings = resolve({}, table(key, value))
        assert settings[key] == as_kept(value)
        assert settings.given == {key}
        assert all(settings[other] == BY_KEY[other].default for other in BY_KEY if other != key)


@pytest.mark.parametrize("option", WITH_FLAG, ids=lambda option: option.flag)
def test_a_flag_comes_before_the_table_and_is_typed_as_text(option: Option) -> None:
    in_table, typed = GOOD[option.key]
    settings = resolve({option.key: str(typed)}, table(option.key, in_table))
    assert settings[option.key] == typed
    assert settings.given == {option.key, option.flag}


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
    settings = resolve({key: str(value) for key, value in flags.items()}, nested)
    expected = {**{key: option.default for key, option in BY_KEY.items()}, **flat, **flags}
    assert settings.values == {key: as_kept(value) for key, value in expected.items()}


def test_the_retry_policy_is_made_of_the_retry_settings() -> None:
    of_table = {
        "retry": {
            "retries": 2,
            "delay": 1,
            "backoff": "exponential",
            "max-delay": 9,
            "only": "a",
            "except": ["b", "c"],
        }
    }
    assert resolve({}, of_table).retry == RetryPolicy(
        retries=2, delay=1.0, backoff="exponential", max_delay=9.0, only=("a",), except_=("b", "c")
    )


def test_only_a_typed_zero_turns_all_retries_off() -> None:
    assert resolve({"retry.retries": "0"}, {}).retries_off
    assert resolve({"retry.retries": "0"}, table("retry.retries", 3)).retries_off
    assert not resolve({"retry.retries": "1"}, {}).retries_off
    assert not resolve({}, table("retry.retries", 0)).retries_off
    assert not resolve({}, {}).retries_off


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
    [(option.key, value) for option in WITH_FLAG for value in BAD[option.key] if isinstance(value, str)],
)
def test_a_bad_value_of_a_flag_is_named_with_the_flag(key: str, value: str) -> None:
    text = complaint({key: value})
    assert text.startswith(f"RES701 config-invalid: {BY_KEY[key].flag} {value}: ")
    assert ALLOWED[key] in text


def test_a_choice_names_the_nearest() -> None:
    assert complaint({"report.summary": "problem"}).endswith("did you mean 'problems'?")
    assert complaint(of_table=table("retry.backoff", "exp")).endswith("one of fixed, exponential")
    assert complaint(of_table=table("retry.backoff", "exponental")).endswith("did you mean 'exponential'?")


def test_of_several_patterns_the_bad_one_is_named() -> None:
    text = complaint(of_table=table("retry.only", ["good", "(bad"]))
    assert "'(bad' is no regular expression (missing )" in text


def test_a_long_value_is_cut() -> None:
    for key in ("report.summary", "retry.only"):
        assert len(complaint(of_table=table(key, "(" * 10_000))) < 400


def test_a_number_too_long_to_be_written_out_is_refused() -> None:
    """TOML has hexadecimal numbers of any length; Python refuses to print those."""
    number = 16 ** (sys.get_int_max_str_digits() + 1)
    for key in BY_KEY:
        assert ALLOWED[key] in complaint(of_table=table(key, number))


# -- keys that are not known ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of_table", "text"),
    [
        ({"retri": {}}, "unknown key 'retri' in [tool.resilience]; did you mean 'retry'?"),
        ({"xyz": {}}, "unknown key 'xyz' in [tool.resilience]; known are ledger, report, retry, stop"),
        (
            {"retries": 2},
            "unknown key 'retries' in [tool.resilience]; 'retries' belongs in [tool.resilience.retry]",
        ),
        (
            {"stop": {"retries": 2}},
            "unknown key 'retries' in [tool.resilience.stop]; 'retries' belongs in [tool.resilience.retry]",
        ),
        (
            {"retry": {"max_delay": 2}},
            "unknown key 'max_delay' in [tool.resilience.retry]; did you mean 'max-delay'?",
        ),
        ({"stop": {"xyz": 2}}, "unknown key 'xyz' in [tool.resilience.stop]; known are after, same-error"),
        ({"retry": 3}, "retry = 3 in [tool.resilience]: expected a table"),
        ({"retry": [{"retries": 3}]}, "retry = [{'retries': 3}] in [tool.resilience]: expected a table"),
    ],
)
def test_an_unknown_key_is_told_with_the_nearest_or_the_right_place(
    of_table: dict[str, object], text: str
) -> None:
    assert complaint(of_table=of_table) == f"RES701 config-invalid: {text}"


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
NAMES = st.sampled_from(sorted({part for key in BY_KEY for part in key.split(".")})) | st.text()


@given(
    st.dictionaries(st.sampled_from([option.key for option in WITH_FLAG]), VALUES, max_size=2),
    st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, max_size=3) | VALUES, max_size=3),
)
def test_no_input_raises_anything_but_a_settings_error(
    flags: dict[str, object], of_table: dict[str, object]
) -> None:
    try:
        settings = resolve(flags, of_table)
    except SettingsError:
        return
    for key, value in settings.values.items():
        assert checked(key, value, "again") == value
    assert isinstance(settings.retry, RetryPolicy)


@given(st.sampled_from(sorted(BY_KEY)), VALUES)
def test_a_value_is_either_refused_or_kept_for_good(key: str, value: object) -> None:
    try:
        kept = checked(key, value, "x")
    except SettingsError:
        return
    assert checked(key, kept, "x") == kept


# -- the file -------------------------------------------------------------------------------------------------------------------


def pyproject(folder: Path, text: str | bytes) -> Path:
    path = folder / "pyproject.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_table_is_read_from_a_pyproject_file(tmp_path: Path) -> None:
    path = pyproject(tmp_path, "[tool.resilience.retry]\nretries = 2\n[tool.resilience.stop]\nafter = 3\n")
    assert table_in(path) == {"retry": {"retries": 2}, "stop": {"after": 3}}


def test_an_empty_table_is_a_table(tmp_path: Path) -> None:
    assert table_in(pyproject(tmp_path, "[tool.resilience]\n")) == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[tool.other]\nx = 1\n",
        "# resilience\n",
        "tool = 'resilience'\n",
        "[project]\nname = 'resilience'\n",
        "this is broken, and says nothing of us [",
    ],
)
def test_a_file_without_our_table_has_none(tmp_path: Path, text: str) -> None:
    assert table_in(pyproject(tmp_path, text)) is None


def test_a_file_that_is_not_there_has_no_table(tmp_path: Path) -> None:
    assert table_in(tmp_path / "pyproject.toml") is None
    assert table_in(tmp_path) is None


@pytest.mark.parametrize(
    "text",
    [
        "[tool.resilience\n",
        "[tool.resilience]\nretry = {\n",
        "[tool.resilience]\n[tool.resilience]\n",
        "[tool.resilience]\nx = " + "9" * 5000,
        "[tool.resilience]\nx = " + "[" * 100_000,
        b"[tool.resilience]\nx = '\xff'\n",
    ],
    ids=["header", "value", "twice", "number", "depth", "encoding"],
)
def test_a_broken_file_is_told_with_its_name(tmp_path: Path, text: str | bytes) -> None:
    path = pyproject(tmp_path, text)
    with pytest.raises(SettingsError, match=r"^RES701 config-invalid: .*pyproject\.toml is no valid TOML: "):
        table_in(path)


@pytest.mark.parametrize("value", ["3", "'x'", "[]", "[{}]", "true"])
def test_a_table_that_is_none_is_told(tmp_path: Path, value: str) -> None:
    path = pyproject(tmp_path, f"[tool]\nresilience = {value}\n")
    with pytest.raises(SettingsError, match=r"tool\.resilience in .*: expected a table"):
        table_in(path)


@given(st.binary() | st.text().map(str.encode))
def test_no_content_of_the_file_raises_anything_but_a_settings_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    for text in (content, b"[tool.resilience]\n" + content, b"[tool]\nresilience." + content):
        path.write_bytes(text)
        try:
            found = table_in(path)
        except SettingsError:
            continue
        assert found is None or isinstance(found, dict)
