"""Secrets planted wherever a suite can have one: none is in any byte of the ledger, and no outcome is another."""

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pytest_resilience.core.redaction import MARK

from ..secret_texts import SHAPES, Planted, some
from .sessions import Batch

TOML = """
[tool.resilience.ledger]
redact = ["cust-[0-9]{6,}"]
[tool.resilience.retry]
retries = 1
"""

CONFTEST = """
import here, pytest, re

def pytest_addoption(parser):
    parser.addoption("--db-password")
    parser.addoption("--dsn")

def pytest_resilience_redact(text):
    return re.sub("zebra [0-9a-zA-Z]+", "zebra ***", text)

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    here.note(item.nodeid.partition("[")[0].rpartition("::")[2])

@pytest.fixture
def broken(text):
    raise RuntimeError(f"no connection with {text}")

@pytest.fixture
def left_open(text):
    yield
    raise ValueError(text)
"""

SUITE = """
import json, os, pathlib, pytest, here

TEXTS = json.loads(pathlib.Path(__file__).with_name("texts").read_text())
each = pytest.mark.parametrize("text", TEXTS)
each_in_secret = pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))

def test_plain(): pass

@each
def test_passes(text): pass

@each
def test_fails(text): assert text == "another", f"it is {text}"

@each_in_secret
def test_raises(text): raise ExceptionGroup(text, [ValueError(text)])

@each_in_secret
def test_cannot_begin(text, broken): pass

@each_in_secret
def test_cannot_end(text, left_open): pass

@each_in_secret
def test_skips(text): pytest.skip(text)

@each_in_secret
def test_is_flaky(text): assert not here.mark(f"flaky-{TEXTS.index(text)}"), text

@each_in_secret
def test_skips_at_last(text):
    if here.mark(f"skip-{TEXTS.index(text)}"):
        raise OSError(text)
    pytest.skip(text)

@pytest.mark.parametrize("text", TEXTS[-1:])
def test_dies(text):
    if os.environ.get("PYTEST_XDIST_WORKER"):
        os._exit(3)

@pytest.mark.parametrize("text", TEXTS[:1], ids=[0])
def test_ends_the_session(text):
    if here.is_there("end"):
        raise KeyboardInterrupt(text)
"""

VALUE, ODD_VALUE = "value", "odd value"
# A few shapes at a time: that each is known wherever it stands, and in whichever fact, is tested with the redactor.
PLANTED = st.sets(st.sampled_from(sorted(SHAPES)), min_size=2, max_size=2).flatmap(
    lambda kinds: st.fixed_dictionaries(
        {
            **{kind: SHAPES[kind] for kind in {*kinds, "github", "npm", "url"}},
            VALUE: some(10, 20).map(lambda value: Planted(f"<{value}>", value)),
            ODD_VALUE: some(10, 20, salt=ODD_VALUE).map(
                lambda value: Planted(f"[ü'{value}\\]", f"ü'{value}\\")
            ),
            "pattern": st.integers(100_000, 10**9).map(lambda number: Planted(*[f"cust-{number}"] * 2)),
            "hook": some(10, 20, salt="hook").map(lambda secret: Planted(f"zebra {secret}", secret)),
        }
    )
)


def planted_in(folder: Path, texts: list[str]) -> Batch:
    """The suite with these texts planted in it."""
    batch = Batch(folder)
    (batch.root / "pytest.ini").unlink()
    files = {"pyproject.toml": TOML, "conftest.py": CONFTEST, "test_it.py": SUITE}
    batch.write({**files, "texts": json.dumps(texts)})
    return batch


def texts_in(folder: Path) -> Iterator[str]:
    """All that a folder holds: the names of files, their bytes, and what these say as JSON."""
    for path in folder.rglob("*"):
        yield str(path.relative_to(folder))
        if path.is_file():
            data = path.read_bytes().decode("utf-8", "replace")
            yield data
            for line in data.splitlines():
                if line.startswith("{"):
                    yield from words_of(json.loads(line))


def words_of(value: object) -> Iterator[str]:
    """All texts in a value of JSON."""
    match value:
        case str():
            yield value
        case list():
            for one in value:
                yield from words_of(one)
        case dict():
            for name, one in value.items():
                yield name
                yield from words_of(one)


def leaks(batch: Batch, planted: dict[str, Planted]) -> dict[str, str]:
    """Which secrets the ledger holds, and where."""
    found = list(texts_in(batch.root / ".pytest_resilience"))
    assert sum(MARK in text for text in found) > len(planted)
    forms = {
        kind: {one.secret, one.secret.encode("unicode_escape").decode(), json.dumps(one.secret)[1:-1]}
        for kind, one in planted.items()
    }
    return {
        kind: text[:300]
        for kind, secrets in forms.items()
        for text in found
        if any(secret in text for secret in secrets)
    }


@pytest.mark.parametrize(("workers", "number_of_examples"), [((), 2), (("-n", "2"), 1)])
def test_no_secret_is_in_any_byte_of_the_ledger(
    workers: tuple[str, ...],
    number_of_examples: int,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if workers and find_spec("xdist") is None:
        pytest.skip("without xdist")

    @settings(max_examples=number_of_examples, phases=[Phase.generate])
    @given(PLANTED)
    def check(planted: dict[str, Planted]) -> None:
        monkeypatch.setenv("DB_PASSWORD", planted[VALUE].secret)
        monkeypatch.setenv("DEPLOY_TOKEN", planted[ODD_VALUE].secret)
        batch = planted_in(tmp_path_factory.mktemp("batch"), [one.text for one in planted.values()])
        arguments = [
            *workers,
            *("--dsn", planted["url"].text, "--db-password", planted["github"].secret, "--tb=no"),
            *("-o", f"cache_dir={planted[VALUE].secret}"),
            *("-k", f"not {planted['github'].secret}", "-m", f"not {planted['npm'].secret}"),
        ]
        try:
            first = batch.run(*arguments)
            assert first.outcomes["failed"] == len(planted) * 2 - 1, first.text
            assert "REDACTED" in first.text
            batch.run("--resume-failed", *arguments, "--stop-same-error", "2", "test_it.py")
            batch.mark("end")
            batch.run("--resume-failed", *workers, "-k", "ends_the_session or passes")
            assert len(batch.runs()) == 3
            assert leaks(batch, planted) == {}
        finally:
            batch.clear()

    check()


def test_redacted_tests_end_as_others_and_alone_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids with a secret in them pass and run again; all else that was good is carried over."""
    monkeypatch.setenv("DB_PASSWORD", "hunter2-hunter2")
    texts = ["hunter2-hunter2", "cust-123456", "plain", "password=abc12345"]
    other = planted_in(tmp_path / "other", ["one", "two", "three", "four"])
    batch = planted_in(tmp_path / "batch", texts)
    expected, said = other.run(), batch.run()
    assert (said.status, said.outcomes) == (expected.status, expected.outcomes)
    assert said.line("REDACTED").startswith("37 texts - RES803"), said.text
    for one in (other, batch):
        one.begun()
        one.mark("mended")

    resumed = batch.resume()
    assert batch.begun() == {
        "test_passes": 3,
        "test_fails": 4 * 2,
        "test_raises": 4 * 2,
        "test_cannot_begin": 4 * 2,
        "test_cannot_end": 4 * 2,
        "test_dies": 1,
    }
    assert resumed.outcomes["carried_over"] == 1 + 1 + 3 * 4 + 1, resumed.text
    assert resumed.outcomes["passed"] == 3 + 1
    assert "CHANGED" not in resumed.text
