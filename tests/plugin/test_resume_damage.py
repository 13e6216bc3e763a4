"""``--resume-failed`` with a ledger that is damaged, foreign or cannot be written: it costs time, never a test."""

import os
import stat

import pytest

from pytest_resilience.core.facts import Fact, TestFinished, TestsSelected
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.ledger.lines import encode_all

from .harness import Batch

SUITE = """
from steps import step
def test_a(): step("a")
def test_b(): assert step("b") > 1
"""


def resumable(pytester: pytest.Pytester) -> Batch:
    """A suite after its first run: `test_a` has passed, `test_b` has failed."""
    batch = Batch(pytester, SUITE)
    assert batch.run().outcomes == {"passed": 1, "failed": 1}
    batch.forget()
    return batch


@pytest.mark.invariant(11)
@pytest.mark.parametrize("what", ["run.json", "tests.jsonl", "final.json", "segment", "FORMAT", "owner.lock"])
@pytest.mark.parametrize("how", ["removed", "empty", "torn", "flipped", "garbage"])
def test_damage_costs_time_and_never_a_test(pytester: pytest.Pytester, what: str, how: str) -> None:
    batch = resumable(pytester)
    store, folder = batch.store.root, batch.newest.path
    path = {"segment": batch.segment(), "FORMAT": store / what}.get(what, folder / what)
    content = path.read_bytes()
    match how:
        case "removed":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "torn":
            path.write_bytes(content[: len(content) * 2 // 3])
        case "flipped":
            path.write_bytes(bytes(one ^ 1 if at % 97 == 50 else one for at, one in enumerate(content)))
        case "garbage":
            path.write_bytes(os.urandom(2000))
    run = batch.run("--resume-failed")
    assert "INTERNALERROR" not in run.text
    assert "b" in batch.steps, run.text
    assert run.status == 1, run.text
    if "a" not in batch.steps:
        assert run.outcomes == {"failed": 1, "carried_over": 1}


@pytest.mark.invariant(11)
@pytest.mark.parametrize("seed", range(10))
def test_a_flipped_bit_anywhere_never_skips_a_test_that_did_not_pass(
    pytester: pytest.Pytester, seed: int
) -> None:
    batch = resumable(pytester)
    segment = batch.segment()
    content = bytearray(segment.read_bytes())
    content[(seed * 7919) % len(content)] ^= 1 << (seed % 8)
    segment.write_bytes(content)
    run = batch.run("--resume-failed")
    assert (run.status, batch.steps.count("b")) == (1, 1), run.text


def test_damage_is_told_with_its_code(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    with batch.segment().open("ab") as segment:
        segment.write(b"not a record\n")
    assert "WARNING RES401 ledger-corrupt: 1 bad place" in batch.run("--resume-failed").text


@pytest.mark.invariant(14)
def test_a_file_in_place_of_the_ledger_does_not_stop_the_tests(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, {"test_it.py": SUITE, "ledger": "a file"})
    named = ("--resilience-dir", "ledger")
    run = batch.run("--retries", "1", *named)
    assert (run.status, run.outcomes) == (0, {"passed": 1, "flaky": 1})
    assert "WARNING RES402 ledger-unwritable: " in run.text
    batch.forget()
    run = batch.run("--resume-failed", *named)
    assert (run.status, run.outcomes) == (1, {"passed": 1, "failed": 1})
    assert "RES402" in run.text
    # What is not in the ledger cannot be resumed.
    assert not run.line("RESUME")


@pytest.mark.invariant(14)
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_does_not_stop_the_tests(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, SUITE)
    batch.root.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        run = batch.run("-p", "no:cacheprovider")
    finally:
        batch.root.chmod(0o700)
    assert "WARNING RES402 ledger-unwritable: " in run.text


@pytest.mark.invariant(23)
def test_a_ledger_that_others_may_write_to_is_not_believed(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    batch.store.root.chmod(0o777)
    run = batch.run("--resume-failed")
    assert "carried_over" not in run.outcomes
    assert "others may write to it" in run.text


@pytest.mark.invariant(27)
def test_a_ledger_of_a_newer_release_is_left_alone(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    mark = batch.store.root / "FORMAT"
    mark.write_text(mark.read_text().replace('"major": 1', '"major": 99'))
    run = batch.run("--resume-failed")
    assert "carried_over" not in run.outcomes
    assert "RES404 ledger-version-unsupported: " in run.text
    assert "newer release" in run.text
    assert len(list((batch.store.root / "runs").iterdir())) == 1


FOREIGN = (
    "--collect-only",
    "-x",
    "../../evil.py::test",
    "/etc/passwd::test",
    "%s%n{0.__class__}",
    "$(touch evil)::test",
    "`touch evil`",
    "::error file=x::y",
    "@evil",
    "\x1b[2Jtest_it.py::test_a",
    "test_it.py::test_a;touch evil",
)


@pytest.mark.invariant(25)
def test_ids_that_the_ledger_alone_knows_do_nothing(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    facts: list[Fact] = [
        TestsSelected(keys=FOREIGN),
        *(TestFinished(key=one, outcome=Outcome.FAILED) for one in FOREIGN),
    ]
    writer = "gw9.1.00000000"
    lines = b"".join(encode_all(facts, writer=writer, at=0.0))
    (batch.newest.path / f"seg-{writer}.jsonl").write_bytes(lines)
    run = batch.run("--resume-failed")
    assert run.outcomes == {"failed": 1, "carried_over": 1}, run.text
    assert batch.steps == ["b"]
    assert "\x1b[2J" not in run.text
    assert "INTERNALERROR" not in batch.type(run.line("RESUME").partition(" - ")[0]).text
    assert {path.name for path in batch.root.rglob("*evil*")} == set()
