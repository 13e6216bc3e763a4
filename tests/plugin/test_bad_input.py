"""Bad input ends a session before it begins: exit status 4 and one sentence with what was given and what is allowed."""

import pytest

from .harness import Batch, Result

PLAIN = "from steps import step\ndef test_a(): step('a')"


def refused(batch: Batch, run: Result) -> str:
    """The sentence of a session that did not begin."""
    assert run.status == 4, run.text
    assert batch.steps == []
    assert "Traceback" not in run.text
    assert "INTERNALERROR" not in run.text
    sentences = [line for line in run.lines if line.startswith("ERROR: RES")]
    assert len(sentences) == 1, run.text
    return sentences[0].removeprefix("ERROR: ")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ("--retries=-1", "--retries -1: expected a whole number, 0 or more"),
        ("--retries=two", "--retries two: expected a whole number, 0 or more"),
        ("--retries=1.5", "--retries 1.5: expected a whole number, 0 or more"),
        ("--retries=", "--retries : expected a whole number, 0 or more"),
        ("--resilience-retries=no", "--retries no: expected a whole number, 0 or more"),
        ("--retry-delay=soon", "--retry-delay soon: expected a number of seconds, 0 or more"),
        ("--retry-delay=-1", "--retry-delay -1: expected a number of seconds, 0 or more"),
        ("--retry-delay=nan", "--retry-delay nan: expected a number of seconds, 0 or more"),
        ("--retry-delay=inf", "--retry-delay inf: expected a number of seconds, 0 or more"),
        ("--stop-after=-2", "--stop-after -2: expected a whole number, 0 or more"),
        ("--stop-same-error=x", "--stop-same-error x: expected a whole number, 0 or more"),
        ("--resilience-dir=", "--resilience-dir : expected a text that is not empty"),
        (
            "--retry-budget=101%",
            '--retry-budget 101%: expected a whole number, 0 or more, a share from "0%" to "100%", or "none"',
        ),
        (
            "--retry-strategy=defer",
            "--retry-strategy defer: expected one of immediate, deferred, isolated; did you mean 'deferred'?",
        ),
        (
            "--resilience-summary=problem",
            "--resilience-summary problem: expected one of all, problems, counts, none; did you mean 'problems'?",
        ),
        (
            "--resilience-summary=wibble",
            "--resilience-summary wibble: expected one of all, problems, counts, none",
        ),
    ],
)
def test_a_flag_with_a_value_that_makes_no_sense(
    pytester: pytest.Pytester, flags: str, sentence: str
) -> None:
    batch = Batch(pytester, PLAIN)
    assert refused(batch, batch.run_bare("-p", "no:asyncio", flags)) == f"RES701 config-invalid: {sentence}"


def test_a_negative_number_may_follow_as_a_word_of_its_own(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, PLAIN)
    assert "--retries -1" in refused(batch, batch.run("--retries", "-1"))


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("[tool.resilience]\nretries = 1", "'retries' belongs in [tool.resilience.retry]"),
        (
            "[tool.resilience.rety]\nretries = 1",
            "unknown key 'rety' in [tool.resilience]; did you mean 'retry'?",
        ),
        (
            "[tool.resilience.retry]\nretrys = 1",
            "unknown key 'retrys' in [tool.resilience.retry]; did you mean 'retries'?",
        ),
        (
            "[tool.resilience.stop]\nretries = 1",
            "unknown key 'retries' in [tool.resilience.stop]; 'retries' belongs in [tool.resilience.retry]",
        ),
        (
            "[tool.resilience.stop]\nwibble = 1",
            "unknown key 'wibble' in [tool.resilience.stop]; known are after, same-error",
        ),
        (
            "[tool.resilience.retry]\nretries = true",
            "retry.retries = True in [tool.resilience]: expected a whole number, 0 or more",
        ),
        (
            "[tool.resilience.retry]\nretries = [1]\n",
            "retry.retries = [1] in [tool.resilience]: expected a whole number, 0 or more",
        ),
        (
            "[tool.resilience.retry]\ndelay = -0.5",
            "retry.delay = -0.5 in [tool.resilience]: expected a number of seconds, 0 or more",
        ),
        (
            '[tool.resilience.retry]\nbackoff = "exponentially"',
            "expected one of fixed, linear, exponential; did you mean 'exponential'?",
        ),
        ('[tool.resilience.retry]\nonly = ["("]', "'(' is no regular expression"),
        ("[tool.resilience.retry]\nonly = 3", "expected a regular expression or a list of them"),
        (
            '[tool.resilience.retry]\ncondition = "error is"',
            "retry.condition = 'error is' in [tool.resilience]: 'error is' is no expression (",
        ),
        (
            "[tool.resilience.retry]\nfactor = inf",
            "retry.factor = inf in [tool.resilience]: expected a number",
        ),
        ("[tool.resilience.retry]\nrule = 3", "expected tables, as [[tool.resilience.retry.rule]]"),
        (
            "[[tool.resilience.retry.rule]]\nretries = 3",
            "[[tool.resilience.retry.rule]] 1 has no match; expected a regular expression or a list of them",
        ),
        (
            "[[tool.resilience.override]]\nretries = 3",
            "[[tool.resilience.override]] 1 has neither paths nor markers",
        ),
        (
            '[[tool.resilience.override]]\npaths = "a"\n[[tool.resilience.override]]\npaths = "b"\nbudget = 5',
            "unknown key 'budget' in [[tool.resilience.override]] 2; 'budget' belongs in [tool.resilience.retry]",
        ),
        ('[tool.resilience.ledger]\ndir = ""', "expected a text that is not empty"),
        ("[tool.resilience.ledger]\nkeep-runs = 0", "expected a whole number, 1 or more"),
        ('[tool.resilience.ledger]\ndurability = "always"', "expected one of process, second, record"),
        ("[tool]\nresilience = 3", "expected a table"),
        ("[tool.resilience]\nretry = 3", "retry = 3 in [tool.resilience]: expected a table"),
    ],
)
def test_a_table_that_cannot_be_understood(pytester: pytest.Pytester, table: str, sentence: str) -> None:
    batch = Batch(pytester, {"test_it.py": PLAIN, "pyproject.toml": table, "pytest.ini": "[pytest]"})
    told = refused(batch, batch.run_bare("-p", "no:asyncio"))
    assert told.startswith("RES701 config-invalid: ")
    assert sentence in told


def test_a_run_that_does_not_exist_is_told_with_those_there_are(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, PLAIN)
    for _ in range(3):
        batch.run()
    batch.forget()
    told = refused(batch, batch.run("--resume-failed=nosuchrun"))
    assert told == (
        "RES502 resume-ledger-missing: no run 'nosuchrun' in the ledger; newest runs: "
        + ", ".join(info.id for info in batch.runs)
    )
    assert len(batch.runs) == 3


def test_a_run_is_named_where_there_is_none(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, PLAIN)
    assert "newest runs: none" in refused(batch, batch.run("--resume-failed=nosuchrun"))


def test_a_prefix_that_fits_several_runs_is_told_with_them(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, PLAIN)
    for _ in range(2):
        batch.run()
    batch.forget()
    told = refused(batch, batch.run("--resume-failed=2"))
    assert told.startswith("RES502 resume-ledger-missing: '2' fits several runs: ")
    assert all(info.id in told for info in batch.runs)


def test_a_session_that_was_refused_prints_no_summary(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, PLAIN).run("--resume-failed=nosuchrun")
    assert "OUTCOMES" not in run.text
    assert "RESUME" not in run.text
