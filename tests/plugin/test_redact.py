"""``ledger.redact``, secrets of the environment, and the hook: what the ledger holds of a session, and what a resume does."""

from pathlib import Path

import pytest

from .harness import Batch

TABLE = """
    [tool.resilience.ledger]
    redact = ["cust-[0-9]+", "bluebird"]
"""
SUITE = """
    import pytest
    from steps import step

    @pytest.mark.parametrize("text", ["cust-1", "plain", "cust-2"])
    def test_a(text):
        step(text)
        assert text != "cust-2" or step("second") > 1, f"no {text}"
"""
SECRET = "k9-walnut-77"


def suite(pytester: pytest.Pytester, files: dict[str, str] | None = None) -> Batch:
    return Batch(pytester, {"pyproject.toml": TABLE, "test_it.py": SUITE, **(files or {})})


def ledger_of(batch: Batch) -> str:
    """Every byte of the ledger, and the names of its files."""
    paths = [path for path in batch.store.root.rglob("*") if path.is_file()]
    return "".join(f"{path}\n{path.read_bytes().decode()}" for path in paths)


# -- what is written ----------------------------------------------------------------------------------------------------


def test_what_a_pattern_finds_is_not_in_the_ledger(pytester: pytest.Pytester) -> None:
    batch = suite(pytester)
    run = batch.run()
    assert "cust-" not in ledger_of(batch)
    assert batch.tests == {"test_a[***]": "passed", "test_a[plain]": "passed", "test_a[***] #2": "failed"}
    assert run.line("REDACTED").startswith("3 texts - RES803 secret-redacted: ")
    assert "FAILED test_it.py::test_a[cust-2] - AssertionError: no cust-2" in run.text, "pytest's own"


def test_a_value_of_a_secret_looking_variable_is_not_in_the_ledger(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_PASSWORD", SECRET)
    batch = Batch(pytester, f"def test_a(): raise ValueError('{SECRET}')")
    batch.run("-k", f"not {SECRET.replace('-', '_')}", "-o", f"cache_dir={SECRET}")
    assert "ValueError: ***" in ledger_of(batch)
    assert SECRET not in ledger_of(batch)


def test_without_a_secret_nothing_is_said(pytester: pytest.Pytester) -> None:
    assert "RES803" not in Batch(pytester, "def test_a(): assert False, 'a token'").run().text


@pytest.mark.parametrize("option", ["-q", "--resilience-summary=counts"])
def test_the_line_is_left_out_where_little_is_wanted(pytester: pytest.Pytester, option: str) -> None:
    assert "RES803" not in suite(pytester).run(option).text


def test_the_block_shows_what_the_ledger_has(pytester: pytest.Pytester) -> None:
    run = suite(pytester).run("--retries", "1", "-vv")
    assert run.line("FLAKY").startswith(
        "test_it.py::test_a[***] #2 - passed on attempt 2 of 2: AssertionError: no ***"
    )
    assert run.outcomes == {"passed": 2, "flaky": 1}


def test_a_test_sees_its_own_errors_as_they_were(pytester: pytest.Pytester) -> None:
    batch = suite(
        pytester,
        {
            "test_it.py": """
                def test_a(attempt):
                    assert attempt.number > 1, "bluebird"
                    assert "bluebird" in attempt.errors[0]
            """
        },
    )
    assert batch.run("--retries", "1").outcomes == {"flaky": 1}
    assert "bluebird" not in ledger_of(batch)


def test_a_reason_to_stop_is_redacted(pytester: pytest.Pytester) -> None:
    batch = suite(
        pytester,
        {
            "test_it.py": """
                import pytest
                @pytest.mark.parametrize("n", range(4))
                def test_a(n): raise OSError("bluebird")
            """
        },
    )
    assert batch.run("--stop-same-error", "2").outcomes == {"failed": 2, "not_run": 2}
    assert "OSError: ***" in batch.past.run.reason.why
    assert "bluebird" not in ledger_of(batch)


# -- a resume -----------------------------------------------------------------------------------------------------------


def test_a_test_with_a_secret_in_its_id_runs_again_and_others_are_carried_over(
    pytester: pytest.Pytester,
) -> None:
    batch = suite(pytester)
    batch.run()
    before = batch.steps
    run = batch.run("--resume-failed")
    assert batch.steps_after(before) == ["cust-1", "cust-2", "second"]
    assert (run.status, run.outcomes) == (0, {"passed": 2, "carried_over": 1}), run.text
    assert "CHANGED" not in run.text
    before = batch.steps
    again = batch.run("--resume-failed")
    assert (again.status, again.outcomes) == (0, {"passed": 2, "carried_over": 1})
    assert batch.steps_after(before) == ["cust-1", "cust-2", "second"]


def test_what_another_test_showed_under_the_same_key_is_never_taken_over(pytester: pytest.Pytester) -> None:
    """Three stars may be an id of their own; today they are what is left of a secret one."""
    files = {
        "test_it.py": """
            import os, pytest
            @pytest.mark.parametrize("text", [os.environ["TEXT"]])
            def test_a(text): assert text == "***"
        """
    }
    batch = suite(pytester, files)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXT", "***")
        assert batch.run().outcomes == {"passed": 1}
        patch.setenv("TEXT", "cust-1")
        run = batch.run("--resume-failed")
    assert (run.status, run.outcomes) == (1, {"failed": 1})


def test_a_key_from_before_the_pattern_was_set_is_redacted_and_not_believed(
    pytester: pytest.Pytester,
) -> None:
    """What is known of tests that are left out today is written again, too."""
    batch = suite(pytester, {"pyproject.toml": ""})
    assert batch.run("-k", "cust").outcomes == {"passed": 1, "failed": 1}
    batch.write({"pyproject.toml": TABLE})
    narrowed = batch.run("--resume-failed", "-k", "plain")
    assert (narrowed.status, narrowed.outcomes) == (1, {"passed": 1})
    assert "cust-" not in "".join(path.read_text() for path in batch.newest.path.iterdir())
    before = batch.steps
    run = batch.run("--resume-failed", "-k", "a")
    assert batch.steps_after(before) == ["cust-1", "cust-2", "second"]
    assert (run.status, run.outcomes) == (0, {"passed": 2, "carried_over": 1})


def test_a_good_file_is_imported_again_once_an_id_of_it_is_known_as_a_secret(
    pytester: pytest.Pytester,
) -> None:
    batch = suite(pytester, {"pyproject.toml": "", "test_it.py": SUITE.replace('cust-2" or', 'other" or')})
    assert batch.run().outcomes == {"passed": 3}
    assert batch.run("--resume-failed").outcomes == {"carried_over": 3}
    batch.write({"pyproject.toml": TABLE})
    before = batch.steps
    run = batch.run("--resume-failed")
    assert batch.steps_after(before) == ["cust-1", "cust-2"]
    assert (run.status, run.outcomes) == (0, {"passed": 2, "carried_over": 1})
    assert "cust-" not in "".join(path.read_text() for path in batch.newest.path.iterdir())


def test_an_outstanding_test_with_a_secret_in_its_id_is_not_gone(pytester: pytest.Pytester) -> None:
    batch = suite(pytester)
    batch.run()
    run = batch.run("--resume-failed", "test_it.py::test_a[plain]")
    assert (run.status, run.outcomes) == (1, {"carried_over": 1}), run.text
    assert "GONE" not in run.text
    assert "OPEN 2 tests" in run.text


def test_what_is_a_secret_no_more_is_open_until_all_that_it_may_have_been_ran(
    pytester: pytest.Pytester,
) -> None:
    """The id says another thing today. It may have been any that begins like it."""
    batch = suite(pytester)
    batch.run()
    batch.write({"pyproject.toml": ""})
    for choice in ("not cust-2", "cust or plain"):
        run = batch.run("--resume-failed", "-k", choice)
        assert run.status == 1
        assert "GONE" not in run.text
        assert "OPEN 2 tests" in run.text
    batch.write({"conftest.py": "# all run again"})
    run = batch.run("--resume-failed")
    assert (run.status, run.outcomes) == (0, {"passed": 3})
    assert run.line("GONE").startswith("2 tests")


def test_it_is_gone_when_nothing_is_left_that_it_may_stand_for(pytester: pytest.Pytester) -> None:
    batch = suite(pytester)
    batch.run()
    batch.write({"test_it.py": "def test_b(): pass"})
    run = batch.run("--resume-failed")
    assert (run.status, run.outcomes) == (0, {"passed": 1})
    assert run.line("GONE").startswith("3 tests"), run.text


def test_a_choice_with_a_secret_is_not_taken_over(pytester: pytest.Pytester) -> None:
    batch = suite(pytester)
    batch.run("-k", "cust-2")
    before = batch.steps
    run = batch.run("--resume-failed")
    assert batch.steps_after(before) == ["cust-1", "plain", "cust-2", "second"]
    assert run.outcomes == {"passed": 3}


def test_a_run_whose_key_holds_a_secret_goes_on_with_no_other_and_is_resumed_by_its_own_name(
    pytester: pytest.Pytester,
) -> None:
    """What would be left of the key may be left of another one too."""
    batch = Batch(
        pytester, {"pyproject.toml": TABLE, "test_it.py": "def test_a(): pass\ndef test_b(): assert 0"}
    )
    for key in ("cust-77", "cust-78", "***", "cust-77"):
        run = batch.run("--run-key", key)
        assert run.outcomes == {"passed": 1, "failed": 1}
    assert "cust-" not in ledger_of(batch)
    assert [(info.run_key, info.parent) for info in batch.runs] == [("", ""), ("", ""), ("***", ""), ("", "")]
    command, _, _ = run.line("RESUME").partition(" - ")
    assert command.endswith(f"pytest --resume-failed={batch.runs[-1].id.partition('-')[2]}")
    assert batch.run(*command.split()[1:]).outcomes == {"carried_over": 1, "failed": 1}


def test_a_secret_test_that_kills_every_run_is_not_held_back(pytester: pytest.Pytester) -> None:
    """Who knows whether it is the one that did."""
    batch = suite(pytester)
    for _ in range(3):
        batch.run("--resume-failed")
        batch.kill_during("test_a[***]")
    batch.forget()
    run = batch.run("--resume-failed")
    assert "crashed" not in run.outcomes
    assert batch.steps[-1:] == ["cust-1"], "after all others"


# -- the hook -----------------------------------------------------------------------------------------------------------


def test_the_hook_sees_ids_messages_and_arguments_and_all_who_implement_it_are_asked(
    pytester: pytest.Pytester,
) -> None:
    batch = suite(
        pytester,
        {
            "conftest.py": """
                def pytest_resilience_redact(text):
                    return text.replace("plain", "***") if "plain" in text else None
            """,
            "sub/conftest.py": """
                def pytest_resilience_redact(text):
                    return text.replace("simple", "***")
            """,
            "sub/test_that.py": """
                import pytest
                @pytest.mark.parametrize("text", ["plain-simple"])
                def test_b(text): assert text == "simple"
            """,
        },
    )
    batch.run("-o", "cache_dir=plain")
    text = ledger_of(batch)
    assert "plain" not in text
    assert "simple" not in text
    assert "test_b[***-***]" in batch.tests


@pytest.mark.parametrize(
    "body",
    [
        "raise KeyError(text)",
        "pytest.skip('no')",
        "return 3",
        "return text.replace('plain', 'other')",
        "return text + '***'",
    ],
)
def test_what_a_broken_hook_was_asked_about_is_not_written(pytester: pytest.Pytester, body: str) -> None:
    hook = f"import pytest\ndef pytest_resilience_redact(text):\n    if 'plain' in text:\n        {body}\n"
    batch = suite(pytester)
    (batch.root / "conftest.py").write_text(hook)
    run = batch.run()
    assert run.outcomes == {"passed": 2, "failed": 1}
    assert "plain" not in ledger_of(batch)
    (told,) = (line for line in run.all_lines("WARNING") if "RES901" in line)
    assert "an implementation of pytest_resilience_redact is broken" in told
    assert run.all_lines("FAILED") == ["test_it.py::test_a[cust-2] - AssertionError: no cust-2"]


def test_with_a_hook_that_is_always_broken_every_test_has_its_outcome_and_runs_again(
    pytester: pytest.Pytester,
) -> None:
    batch = suite(pytester, {"conftest.py": "def pytest_resilience_redact(text): raise OSError(text)"})
    assert batch.run().outcomes == {"passed": 2, "failed": 1}
    assert batch.tests == {"***": "passed", "*** #2": "passed", "*** #3": "failed"}
    run = batch.run("--resume-failed")
    assert (run.status, run.outcomes) == (0, {"passed": 3})


def test_without_the_ledger_nothing_is_said_of_it(pytester: pytest.Pytester, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    run = suite(pytester).run("--resilience-dir", str(tmp_path / "file"))
    assert "RES402" in run.text
    assert "RES803" not in run.text
