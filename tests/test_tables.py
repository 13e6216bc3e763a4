"""The table in a pyproject.toml: its keys, its overrides and rules, and what is said of those that make no sense."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.settings.options import OF_ERROR, OF_TEST, Option
from pytest_resilience.settings.pyproject import table_in
from pytest_resilience.settings.resolved import Settings, resolve
from pytest_resilience.settings.tables import Part
from pytest_resilience.settings.values import SettingsError, shown

from .values import ALLOWED, BAD, BY_KEY, GOOD, as_kept


def complaint(of_table: dict[str, object]) -> str:
    with pytest.raises(SettingsError) as caught:
        resolve({}, of_table)
    return str(caught.value)


# -- keys that are not known ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of_table", "text"),
    [
        ({"retri": {}}, "unknown key 'retri' in [tool.resilience]; did you mean 'retry'?"),
        (
            {"xyz": {}},
            "unknown key 'xyz' in [tool.resilience]; known are hang, ledger, override, report, resume, retry, stop, worker",
        ),
        ({"overrides": []}, "unknown key 'overrides' in [tool.resilience]; did you mean 'override'?"),
        ({"rule": []}, "unknown key 'rule' in [tool.resilience]; 'rule' belongs in [tool.resilience.retry]"),
        ({"retry": {"rules": []}}, "unknown key 'rules' in [tool.resilience.retry]; did you mean 'rule'?"),
        (
            {"retry": {"override": []}},
            "unknown key 'override' in [tool.resilience.retry]; 'override' belongs in [tool.resilience]",
        ),
        (
            {"retry": {"paths": "tests"}},
            "unknown key 'paths' in [tool.resilience.retry]; 'paths' belongs in [[tool.resilience.override]]",
        ),
        (
            {"retry": {"match": "Error"}},
            "unknown key 'match' in [tool.resilience.retry]; 'match' belongs in [[tool.resilience.retry.rule]]",
        ),
        (
            {"retry": {"min_passes": 2}},
            "unknown key 'min_passes' in [tool.resilience.retry]; 'min_passes' belongs in the flaky marker",
        ),
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
        (
            {"stop": {"xyz": 2}},
            "unknown key 'xyz' in [tool.resilience.stop]; known are after, same-error, grace",
        ),
        ({"retry": 3}, "retry = 3 in [tool.resilience]: expected a table"),
        ({"retry": [{"retries": 3}]}, "retry = [{'retries': 3}] in [tool.resilience]: expected a table"),
    ],
)
def test_an_unknown_key_is_told_with_the_nearest_or_the_right_place(
    of_table: dict[str, object], text: str
) -> None:
    assert complaint(of_table) == f"RES701 config-invalid: {text}"


# -- overrides and rules ----------------------------------------------------------------------------------------------------

OVERRIDE, RULE = "[[tool.resilience.override]]", "[[tool.resilience.retry.rule]]"


def with_override(**keys: object) -> dict[str, object]:
    """A table with one override; an underscore stands for a dash."""
    return {"override": [{name.replace("_", "-"): value for name, value in keys.items()}]}


def with_rule(**keys: object) -> dict[str, object]:
    """A table with one rule."""
    return {"retry": {"rule": [keys]}}


@pytest.mark.parametrize("option", OF_TEST, ids=lambda option: option.name)
def test_an_override_takes_any_retry_setting_of_a_test(option: Option) -> None:
    for value in GOOD[option.key]:
        settings = resolve({}, {"override": [{"paths": "tests", option.name: value}]})
        (part,) = settings.overrides
        assert part == Part(
            source=f"{OVERRIDE} 1", values={option.field: as_kept(value)}, paths=("tests",), markers=""
        )
        assert vars(settings) == vars(Settings(resolve({}, {}).values, {}, overrides=(part,)))


@pytest.mark.parametrize("option", OF_ERROR, ids=lambda option: option.name)
def test_a_rule_takes_any_setting_of_an_error(option: Option) -> None:
    for value in GOOD[option.key]:
        settings = resolve({}, with_rule(match=["a", "b"], **{option.name: value}))
        (part,) = settings.rules
        assert part == Part(source=f"{RULE} 1", values={option.field: as_kept(value)}, match=("a", "b"))
        assert vars(settings) == vars(Settings(resolve({}, {}).values, {}, rules=(part,)))


def test_overrides_and_rules_keep_their_order_and_are_counted_from_one() -> None:
    of_table = {
        "override": [{"paths": "a"}, {"markers": "slow and not db"}, {"paths": ["b", "c"], "markers": "db"}],
        "retry": {"retries": 1, "rule": [{"match": "x"}, {"match": "y"}]},
    }
    settings = resolve({}, of_table)
    assert [part.source for part in settings.overrides] == [f"{OVERRIDE} {at}" for at in (1, 2, 3)]
    assert [part.paths for part in settings.overrides] == [("a",), (), ("b", "c")]
    assert [part.markers for part in settings.overrides] == ["", "slow and not db", "db"]
    assert [(part.source, part.match) for part in settings.rules] == [
        (f"{RULE} 1", ("x",)),
        (f"{RULE} 2", ("y",)),
    ]
    assert settings["retry.retries"] == 1


@pytest.mark.parametrize(
    ("of_table", "text"),
    [
        (with_override(retries=1), f"{OVERRIDE} 1 has neither paths nor markers; "),
        (with_override(paths=[], markers=" "), f"{OVERRIDE} 1 has neither paths nor markers; "),
        (with_override(paths=3), f"paths = 3 in {OVERRIDE} 1: expected a text or a list of them"),
        (with_override(paths=[""]), f"paths = [''] in {OVERRIDE} 1: expected a text or a list of them"),
        (
            with_override(paths="/tests"),
            f"paths = '/tests' in {OVERRIDE} 1: '/tests' begins with a slash; expected paths relative to the rootdir",
        ),
        (
            with_override(markers=["slow"]),
            f"markers = ['slow'] in {OVERRIDE} 1: expected an expression as for -m",
        ),
        (
            with_override(paths="a", retrys=1),
            f"unknown key 'retrys' in {OVERRIDE} 1; did you mean 'retries'?",
        ),
        (with_override(path="a"), f"unknown key 'path' in {OVERRIDE} 1; did you mean 'paths'?"),
        (with_override(marker="a"), f"unknown key 'marker' in {OVERRIDE} 1; did you mean 'markers'?"),
        (
            with_override(paths="a", retries=-1),
            f"retries = -1 in {OVERRIDE} 1: expected a whole number, 0 or more",
        ),
        (
            with_override(paths="a", budget=5),
            f"unknown key 'budget' in {OVERRIDE} 1; 'budget' belongs in [tool.resilience.retry]",
        ),
        (
            with_override(paths="a", after=5),
            f"unknown key 'after' in {OVERRIDE} 1; 'after' belongs in [tool.resilience.stop]",
        ),
        (
            with_override(paths="a", match="x"),
            f"unknown key 'match' in {OVERRIDE} 1; 'match' belongs in {RULE}",
        ),
        (
            with_override(paths="a", xyz=5),
            f"unknown key 'xyz' in {OVERRIDE} 1; known are paths, markers, hang-timeout, retries, delay, ",
        ),
        (
            {"override": [{"paths": "a"}, {"paths": "b", "jitter": "yes"}]},
            f"jitter = 'yes' in {OVERRIDE} 2: expected true or false",
        ),
        ({"override": {"paths": "a"}}, f"expected tables, as {OVERRIDE}"),
        ({"override": ["a"]}, f"override = ['a'] in [tool.resilience]: expected tables, as {OVERRIDE}"),
        ({"override": 3}, f"override = 3 in [tool.resilience]: expected tables, as {OVERRIDE}"),
        (with_rule(retries=1), f"{RULE} 1 has no match; expected a regular expression or a list of them"),
        (with_rule(match=[]), f"{RULE} 1 has no match; expected a regular expression or a list of them"),
        (with_rule(match=3), f"match = 3 in {RULE} 1: expected a regular expression or a list of them"),
        (with_rule(match="("), f"match = '(' in {RULE} 1: '(' is no regular expression "),
        (
            with_rule(match="a", retries=True),
            f"retries = True in {RULE} 1: expected a whole number, 0 or more",
        ),
        (with_rule(match="a", delays=1), f"unknown key 'delays' in {RULE} 1; did you mean 'delay'?"),
        (
            with_rule(match="a", only="x"),
            f"unknown key 'only' in {RULE} 1; 'only' belongs in [tool.resilience.retry]",
        ),
        (
            with_rule(match="a", paths="x"),
            f"unknown key 'paths' in {RULE} 1; 'paths' belongs in {OVERRIDE}",
        ),
        ({"retry": {"rule": {"match": "a"}}}, f"expected tables, as {RULE}"),
        ({"retry": {"rule": "a"}}, f"retry.rule = 'a' in [tool.resilience]: expected tables, as {RULE}"),
    ],
)
def test_an_override_or_a_rule_that_makes_no_sense_is_told(of_table: dict[str, object], text: str) -> None:
    told = complaint(of_table)
    assert told.startswith("RES701 config-invalid: ")
    assert text in told


@pytest.mark.parametrize(
    ("key", "value"), [(option.key, value) for option in OF_TEST for value in BAD[option.key]]
)
def test_a_bad_value_of_an_override_is_named_with_its_key_and_what_is_allowed(
    key: str, value: object
) -> None:
    name = BY_KEY[key].name
    text = complaint({"override": [{"paths": "a", name: value}]})
    assert text.startswith(f"RES701 config-invalid: {name} = {shown(value)} in {OVERRIDE} 1: ")
    assert ALLOWED[key] in text


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
