"""Nothing goes to the disk but through the redactor: facts, in whichever way they are written, and what a run is."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_resilience.core.facts import (
    AttemptEnded,
    AttemptStarted,
    DecisionTaken,
    Fact,
    FileCollected,
    SelectionDone,
    TestFinished,
    TestInherited,
    TestsSelected,
    WorkerDown,
)
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.redaction import MARK, Redactor
from pytest_resilience.ledger.lines import encode_all
from pytest_resilience.ledger.reading import facts_of
from pytest_resilience.ledger.redaction import all_redacted, redacted, redacted_info
from pytest_resilience.ledger.runinfo import RunInfo, new_run_id
from pytest_resilience.ledger.runs import Store
from pytest_resilience.ledger.segments import Segment

from ..secret_texts import SHAPES, Planted

SECRET, VALUE = "cust-123456", "hunter2-hunter2"
KEY, CLEAN = f"a.py::t[{SECRET}-{VALUE}]", "a.py::t[***-***]"

# A fact of each kind that holds texts, with the text in all of them.
WITH: list[Callable[[str], Fact]] = [
    lambda text: AttemptStarted(key=text, attempt=1),
    lambda text: TestFinished(key=text, outcome=Outcome.PASSED),
    lambda text: AttemptEnded(key=text, attempt=1, outcome=Outcome.FAILED, message=text, again=text),
    lambda text: TestsSelected(keys=("a.py::other", text), digest="0123456789abcdef"),
    lambda text: TestInherited(key=text, outcome=Outcome.PASSED, run="r", digest="0123456789abcdef"),
    lambda text: FileCollected(file=text, digest="0123456789abcdef"),
    lambda text: DecisionTaken(code="RES302", why=text),
    lambda text: WorkerDown(worker="gw0.1.0", why=text, key=text),
]


def a_redactor() -> Redactor:
    return Redactor([VALUE], ["cust-[0-9]+"])


def an_info(**texts: object) -> RunInfo:
    return RunInfo(id=new_run_id(1e9, bytes(8)), key="k", rootdir="/r")._replace(**texts)  # type: ignore[arg-type]


def bytes_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def is_told(secret: str, data: bytes) -> bool:
    """Whether a file tells a secret, as it is or as JSON."""
    return secret in data.decode() or json.dumps(secret)[1:-1] in data.decode()


PLANTED = st.sampled_from(sorted(SHAPES)).flatmap(lambda kind: SHAPES[kind])
AROUND = st.sampled_from(
    ["{}", "a.py::t[{}]", "a.py::C::t[1-{}]", "Error: {}\n  {}", "'{}'", "{} " * 40, "x" * 500 + " {}"]
)


@given(PLANTED, AROUND, st.sampled_from(WITH))
def test_no_line_of_a_fact_tells_a_secret(
    planted: Planted, around: str, with_text: Callable[[str], Fact]
) -> None:
    redactor = Redactor()
    fact = redacted(with_text(around.replace("{}", planted.text)), redactor)
    data = b"".join(encode_all([fact], writer="w", at=0.0))
    assert not is_told(planted.secret, data)
    assert redacted(fact, redactor) == redacted(fact, Redactor()) == fact, "twice changes nothing"


@given(st.sampled_from(WITH), st.text())
def test_a_fact_without_a_secret_is_the_same(with_text: Callable[[str], Fact], text: str) -> None:
    fact = with_text(text.replace("*", ""))
    assert redacted(fact, Redactor()) is fact


@pytest.mark.parametrize("with_text", WITH)
def test_of_a_test_whose_key_held_a_secret_the_content_is_unknown(with_text: Callable[[str], Fact]) -> None:
    plain, fact = (redacted(with_text(key), a_redactor()) for key in ("a.py::t[1]", KEY))
    assert getattr(plain, "digest", "0123456789abcdef") == "0123456789abcdef"
    assert getattr(fact, "digest", "") == ""


def test_a_message_is_looked_at_before_it_is_cut() -> None:
    """A secret that the end of the message goes through is not recognised by what is left of it."""
    for begin in range(500, 512):
        fact = DecisionTaken(code="", why="x" * begin + " " + SECRET)
        data = b"".join(encode_all(all_redacted([fact], a_redactor()), writer="w", at=0.0))
        assert b"cust" not in data


def test_of_a_very_long_message_no_part_of_a_secret_is_left() -> None:
    key = "-----BEGIN PRIVATE KEY-----" + "k" * 8100 + "-----END PRIVATE KEY-----"
    for begin in range(8):
        fact = DecisionTaken(code="", why=f"{key} {'x' * begin} {SECRET * 3} {'y' * 9000}")
        clean = redacted(fact, a_redactor())
        assert "cust" not in clean.why
        assert "kk" not in clean.why


# -- the ways to the disk ---------------------------------------------------------------------------------------------


def written_by_segment(folder: Path, facts: Iterable[Fact]) -> list[Fact]:
    segment = Segment.create(
        folder, "gw0", run="r", trouble=lambda code, why: pytest.fail(why), redactor=a_redactor()
    )
    for fact in facts:
        assert segment.write(fact)
    segment.close()
    return [fact for _, fact in facts_of(folder)][1:]


def test_what_a_segment_writes_is_redacted(tmp_path: Path) -> None:
    read = written_by_segment(tmp_path, [with_text(KEY) for with_text in WITH])
    assert read == [redacted(with_text(KEY), a_redactor()) for with_text in WITH]
    assert not is_told(SECRET, bytes_below(tmp_path))
    assert not is_told(VALUE, bytes_below(tmp_path))


def test_a_segment_without_a_redactor_knows_tokens_all_the_same(tmp_path: Path) -> None:
    segment = Segment.create(tmp_path, "gw0", run="r", trouble=lambda code, why: pytest.fail(why))
    segment.write(DecisionTaken(code="", why="https://me:swordfish@host"))
    segment.close()
    assert b"swordfish" not in bytes_below(tmp_path)


def test_the_name_of_a_worker_is_redacted_in_that_of_its_file(tmp_path: Path) -> None:
    segment = Segment.create(
        tmp_path, VALUE, run="r", trouble=lambda code, why: pytest.fail(why), redactor=a_redactor()
    )
    segment.close()
    assert VALUE not in "".join(path.name for path in tmp_path.iterdir())


def test_tests_that_fill_a_line_fit_into_lines_when_redacted(tmp_path: Path) -> None:
    """A pattern may find much, and the mark be longer than what it found."""
    keys = tuple(f"a.py::t[{n}-{'x-' * 700}]" for n in range(40))
    redactor = Redactor(patterns=["x"])
    store = Store(tmp_path / "store", redactor=redactor)
    folder = store.create(an_info())
    folder.write_selection([TestsSelected(keys=keys, digest="d")], SelectionDone(total=40))
    folder.release()
    found = [key for _, fact in facts_of(folder.path) if isinstance(fact, TestsSelected) for key in fact.keys]
    assert found == [redactor.key(key) for key in keys]


def test_what_a_store_writes_is_redacted(tmp_path: Path) -> None:
    inherited = [TestInherited(key=KEY, outcome=Outcome.PASSED, run="r", digest="d")]
    store = Store(tmp_path / "store", redactor=a_redactor())
    folder = store.create(an_info(args=(KEY,), keyword=VALUE, rootdir=f"/{SECRET}"), inherited)
    folder.write_selection([TestsSelected(keys=(KEY,), digest="d")], SelectionDone(total=1))
    folder.finish(exit_status=0, counts={})
    folder.release()
    assert [fact for _, fact in facts_of(folder.path)] == [
        TestInherited(key=CLEAN, outcome=Outcome.PASSED, run="r"),
        TestsSelected(keys=(CLEAN,)),
        SelectionDone(total=1),
    ]
    assert not is_told(SECRET, bytes_below(store.root))
    assert not is_told(VALUE, bytes_below(store.root))


# -- what a run is ----------------------------------------------------------------------------------------------------


def test_what_was_to_run_is_left_out_where_it_held_a_secret() -> None:
    """The next run then takes over too much rather than too little."""
    info = an_info(
        paths=("a.py", KEY), keyword=f"not {VALUE}", markexpr=f"m and {SECRET}", args=("-k", f"not {VALUE}")
    )
    clean = redacted_info(info, a_redactor())
    assert (clean.paths, clean.keyword, clean.markexpr, clean.args) == ((), "", "", ("-k", f"not {MARK}"))


def test_a_run_without_secrets_is_the_same() -> None:
    info = an_info(paths=("a.py",), keyword="a", markexpr="b", args=("--token-file", "here", "-p", "token"))
    assert redacted_info(info, a_redactor()) == info


def test_what_follows_an_option_with_the_name_of_a_secret_is_one() -> None:
    args = ("--db-password", "abc", "--db-password", "--verbose", "--token=abcdef1", "abc")
    clean = redacted_info(an_info(args=args), Redactor()).args
    assert clean == ("--db-password", MARK, "--db-password", "--verbose", f"--token={MARK}", "abc")


# -- what it costs ----------------------------------------------------------------------------------------------------


def test_a_key_that_the_selection_redacted_is_not_searched_again(tmp_path: Path) -> None:
    """Two lines a test stand between any two tests."""
    asked: list[str] = []

    def ask(text: str) -> str:
        asked.append(text)
        return text

    redactor = Redactor(ask=ask)
    redactor.vouch(["a.py::t"])
    segment = Segment.create(
        tmp_path, "gw0", run="r", trouble=lambda code, why: pytest.fail(why), redactor=redactor
    )
    asked.clear()
    segment.write(AttemptStarted(key="a.py::t", attempt=1))
    segment.write(TestFinished(key="a.py::t", outcome=Outcome.PASSED))
    assert asked == []
    segment.write(AttemptStarted(key="a.py::u", attempt=1))
    segment.write(TestFinished(key="a.py::u", outcome=Outcome.PASSED))
    segment.close()
    assert asked == ["a.py::u"], "one that comes from elsewhere is searched once"


@settings(max_examples=20)
@given(st.lists(st.text(max_size=30)))
def test_the_redactor_of_another_process_leaves_facts_as_they_are(texts: list[str]) -> None:
    """What a worker redacted the controller writes under the same key."""
    facts = [with_text(text) for with_text in WITH for text in texts]
    once = list(all_redacted(facts, a_redactor()))
    assert list(all_redacted(once, a_redactor())) == once
