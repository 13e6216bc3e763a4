"""``--resume-failed``: what runs again, what is carried over, and that nothing is taken for good that did not pass."""

import pytest

from .harness import Batch

MIXED = {
    "test_one.py": """
        from steps import step
        def test_a(): step("a")
        def test_b(): assert step("b") > 1
    """,
    "test_two.py": """
        import pytest
        from steps import step
        def test_c(): step("c")
        def test_d(): assert step("d") > 2
        def test_e(): pytest.skip("not today")
        @pytest.mark.xfail
        def test_f(): assert step("f") > 9
    """,
}
FIRST = {"passed": 2, "failed": 2, "skipped": 1, "xfailed": 1}


def resumable(pytester: pytest.Pytester, files: dict[str, str] | None = None) -> Batch:
    """A suite after its first run, with no steps noted."""
    batch = Batch(pytester, files or MIXED)
    first = batch.run()
    assert files or first.outcomes == FIRST
    return batch


# -- carried over and outstanding


@pytest.mark.invariant(12)
def test_what_is_outstanding_runs_and_what_is_good_is_carried_over(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    before = batch.steps
    run = batch.run("--resume-failed")
    assert batch.steps_after(before) == ["b", "d"]
    assert (run.status, run.outcomes) == (1, {"passed": 1, "failed": 1, "carried_over": 4})
    assert run.last_line == "1 failed, 1 passed, 4 carried over"
    assert batch.tests == {
        "test_a": "carried_over",
        "test_b": "passed",
        "test_c": "carried_over",
        "test_d": "failed",
        "test_e": "carried_over",
        "test_f": "carried_over",
    }


@pytest.mark.invariant(12)
def test_a_chain_of_resumes_ends_with_every_test_good_and_then_has_nothing_to_do(
    pytester: pytest.Pytester,
) -> None:
    batch = resumable(pytester)
    assert batch.run("--resume-failed").status == 1
    run = batch.run("--resume-failed")
    assert (run.status, run.outcomes) == (0, {"passed": 1, "carried_over": 5})
    before = batch.steps
    run = batch.run("--resume-failed")
    assert (run.status, run.outcomes) == (0, {"carried_over": 6})
    assert batch.steps_after(before) == []
    # And once more: resuming is idempotent.
    assert batch.run("--resume-failed").outcomes == {"carried_over": 6}


@pytest.mark.invariant(12)
def test_that_nothing_is_left_is_said(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester, {"test_it.py": "def test_a(): pass"})
    run = batch.run("--resume-failed")
    assert (run.status, run.outcomes) == (0, {"carried_over": 1})
    assert "RES501 resume-nothing-left" in run.text
    assert not run.line("RESUME")


def test_the_summary_says_where_carried_tests_passed(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    first = batch.runs[0]
    run = batch.run("--resume-failed")
    assert run.line("CARRIED").startswith(f"4 tests - passed in run {first.id.partition('-')[2][:4]}, ")
    assert f"resuming run {first.id.partition('-')[2][:4]} (just now): 4 carried over, 2 left" in run.text


def test_a_flaky_test_is_carried_over_and_still_called_flaky(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        "from steps import step\ndef test_a(): assert step('a') > 1\ndef test_b(): assert step('b') > 2",
    )
    batch.run("--retries", "1")
    run = batch.run("--resume-failed", "-vv")
    assert run.outcomes == {"carried_over": 1, "passed": 1}
    assert "1 of them flaky" in run.line("CARRIED")


def test_new_tests_run(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    before = batch.steps
    batch.write({"test_three.py": "from steps import step\ndef test_new(): step('new')"})
    run = batch.run("--resume-failed")
    assert sorted(batch.steps_after(before)) == ["b", "d", "new"]
    assert run.outcomes == {"passed": 2, "failed": 1, "carried_over": 4}


def test_tests_of_a_changed_file_run_again(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    before = batch.steps
    batch.write({"test_one.py": MIXED["test_one.py"].replace("def test_a(): ", "def test_a(): 1 and ")})
    run = batch.run("--resume-failed")
    assert batch.steps_after(before) == ["a", "b", "d"]
    assert run.outcomes == {"passed": 2, "failed": 1, "carried_over": 3}
    assert run.line("CHANGED").startswith("1 test - RES505 resume-code-changed: ")


@pytest.mark.parametrize("change", ["changed", "added", "removed"])
def test_a_conftest_above_a_file_counts_as_the_file(pytester: pytest.Pytester, change: str) -> None:
    batch = Batch(
        pytester,
        {
            "sub/test_in.py": "import steps\ndef test_in(): steps.step('in')",
            "test_out.py": "import steps\ndef test_out(): steps.step('out')\ndef test_bad(): assert 0",
        },
    )
    if change != "added":
        batch.write({"sub/conftest.py": "x = 1"})
    batch.run("test_out.py", "sub")
    before = batch.steps
    if change == "removed":
        (batch.root / "sub/conftest.py").unlink()
    else:
        batch.write({"sub/conftest.py": "x = 2"})
    run = batch.run("--resume-failed")
    assert batch.steps_after(before) == ["in"]
    assert run.outcomes == {"carried_over": 1, "passed": 1, "failed": 1}


def test_a_test_that_was_changed_and_then_not_selected_is_not_good_any_more(
    pytester: pytest.Pytester,
) -> None:
    batch = resumable(pytester, {"test_a.py": "def test_a(): pass", "test_b.py": "def test_b(): assert 0"})
    batch.write({"test_a.py": "def test_a(): 1"})
    assert batch.run("--resume-failed", "test_b.py").outcomes == {"failed": 1}
    # No test was learnt to be good with the file as it was before: that would not be known to hold.
    assert batch.run("--resume-failed").outcomes == {"passed": 1, "failed": 1}


def test_tests_that_are_gone_are_named_and_dropped(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    batch.write({"test_one.py": "from steps import step\ndef test_a(): step('a')"})
    run = batch.run("--resume-failed")
    assert run.line("GONE") == "1 test - RES504 resume-tests-changed: test_one.py::test_b"
    assert run.outcomes == {"passed": 1, "failed": 1, "carried_over": 3}
    assert not batch.run("--resume-failed").line("GONE")


def test_a_file_that_is_gone_takes_its_tests_along(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    (batch.root / "test_one.py").unlink()
    run = batch.run("--resume-failed", "-vv")
    assert "test_one.py::test_b" in run.line("GONE")
    assert run.outcomes == {"failed": 1, "carried_over": 3}


# -- paths and expressions


def test_the_choice_of_the_first_run_is_taken_over(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, MIXED)
    assert batch.run("test_two.py", "-k", "c or d").outcomes == {"passed": 1, "failed": 1}
    before = batch.steps
    run = batch.run("--resume-failed")
    assert batch.steps_after(before) == ["d"]
    assert run.outcomes == {"failed": 1, "carried_over": 1}


def test_a_marker_expression_is_taken_over(pytester: pytest.Pytester) -> None:
    files = {
        "pytest.ini": "[pytest]\nmarkers = slow",
        "test_it.py": """
            import pytest
            @pytest.mark.slow
            def test_a(): assert 0
            def test_b(): pass
        """,
    }
    batch = Batch(pytester, files)
    assert batch.run("-m", "slow").outcomes == {"failed": 1}
    assert batch.run("--resume-failed").outcomes == {"failed": 1}


def test_narrowing_by_path_keeps_the_rest_outstanding(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    run = batch.run("--resume-failed", "test_one.py")
    assert (run.status, run.outcomes) == (1, {"passed": 1, "carried_over": 1})
    assert run.line("OPEN").startswith("1 test - RES506 resume-outstanding: outside today's selection")
    assert "1 left: 1 outside today's selection" in run.line("RESUME")
    before = batch.steps
    batch.run("--resume-failed")
    assert batch.steps_after(before) == ["d"]


def test_a_resume_that_reaches_beyond_the_first_choice_widens_it(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        {
            "sub/test_in.py": "def test_in(): assert 0",
            "test_out.py": "def test_out(): assert 0",
            "test_never.py": "def test_never(): assert 0",
        },
    )
    batch.run("sub")
    assert batch.run("--resume-failed", "test_out.py", "sub/test_in.py").outcomes == {"failed": 2}
    assert batch.run("--resume-failed").outcomes == {"failed": 2}


def test_narrowing_by_expression_keeps_the_rest_outstanding(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    run = batch.run("--resume-failed", "-k", "test_b")
    assert (run.status, run.outcomes) == (1, {"passed": 1})
    assert "RES506" in run.text
    assert batch.run("--resume-failed").outcomes == {"failed": 1, "carried_over": 5}


def test_a_word_after_the_flag_is_a_path(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        {
            "tests/test_in.py": "from steps import step\ndef test_in(): assert step('in') > 1",
            "test_out.py": "from steps import step\ndef test_out(): assert step('out') > 2",
        },
    )
    pytester.syspathinsert(batch.root)
    batch.run("tests", "test_out.py")
    before = batch.steps
    run = batch.run("--resume-failed", "tests/")
    assert batch.steps_after(before) == ["in"]
    assert (run.status, run.outcomes) == (1, {"passed": 1})


def test_a_resume_that_names_a_test_runs_that_test(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    before = batch.steps
    batch.run("--resume-failed", "test_two.py::test_d")
    assert batch.steps_after(before) == ["d"]


def test_a_run_can_be_named_by_the_beginning_of_its_name(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    first = batch.runs[0].id
    batch.run("test_one.py::test_a")
    before = batch.steps
    run = batch.run(f"--resume-failed={first.partition('-')[2][:8]}")
    assert batch.steps_after(before) == ["b", "d"]
    assert run.outcomes["carried_over"] == 4


def test_a_complete_run_does_not_hide_an_older_one_with_something_left(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    assert batch.run("test_one.py::test_a").outcomes == {"passed": 1}
    assert batch.run("--resume-failed").outcomes == {"passed": 1, "failed": 1, "carried_over": 4}


def test_a_run_that_learnt_nothing_does_not_hide_an_older_one(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester, {"test_a.py": "def test_a(): assert 0", "test_b.py": "def test_b(): pass"})
    batch.write({"conftest.py": "def pytest_collection(): raise KeyboardInterrupt"})
    assert batch.run().status == 2
    batch.write({"conftest.py": ""})
    run = batch.run("--resume-failed")
    assert run.outcomes["failed"] == 1
    assert "resilience: resuming run" in run.text


def test_a_serial_resume_says_how_many_tests_it_runs(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester, {"test_a.py": "def test_a(): assert 0\ndef test_b(): pass"})
    assert "resilience: 1 carried over, 1 to run" in batch.run("--resume-failed").text


def test_deselected_tests_stay_outstanding(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    run = batch.run("--resume-failed", "--deselect", "test_one.py::test_b")
    assert (run.status, run.outcomes) == (1, {"failed": 1, "carried_over": 4})
    assert "test_one.py::test_b" not in run.line("GONE")
    assert "RES506" in run.text
    assert "2 left" in run.line("RESUME")


def test_all_deselected_is_never_green(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    run = batch.run("--resume-failed", "-k", "nothing_like_this")
    assert run.status != 0
    assert batch.run("--resume-failed").outcomes["carried_over"] == 4


def test_a_file_that_cannot_be_imported_keeps_its_tests_outstanding(pytester: pytest.Pytester) -> None:
    batch = resumable(pytester)
    batch.write({"test_two.py": "import nosuchmodule"})
    run = batch.run("--resume-failed")
    assert run.status != 0
    assert not run.line("GONE")
    batch.write(MIXED)
    run = batch.run("--resume-failed")
    assert "GONE" not in run.text
    assert run.outcomes["failed"] == 1


def test_a_class_or_parameter_with_odd_names_is_found_again(pytester: pytest.Pytester) -> None:
    batch = resumable(
        pytester,
        {
            "test_it.py": """
                import pytest
                @pytest.mark.parametrize("x", ["a::b", "a b", "[", "]x[", "ü", "-", "", "a/b.py::c", "\\x00", "\\n"])
                class Test:
                    def test_good(self, x): pass
                    def test_bad(self, x): assert 0
            """
        },
    )
    run = batch.run("--resume-failed")
    assert run.outcomes == {"failed": 10, "carried_over": 10}
    assert not run.line("GONE")


# -- no run to resume


def test_without_a_ledger_everything_runs_and_that_is_said(pytester: pytest.Pytester) -> None:
    run = Batch(pytester, MIXED).run("--resume-failed")
    assert run.outcomes == FIRST
    assert "WARNING RES502 resume-ledger-missing: no earlier run in .pytest_resilience" in run.text


def test_a_run_of_another_environment_is_not_ours(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = resumable(pytester)
    monkeypatch.setenv("TOX_ENV_NAME", "other")
    run = batch.run("--resume-failed")
    assert "RES503" in run.text
    assert "carried_over" not in run.outcomes


@pytest.mark.invariant(19)
def test_a_run_that_is_alive_is_not_resumed(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        {
            "conftest.py": "pytest_plugins = ['pytester']",
            "test_it.py": """
                def test_a(request, pytester):
                    import os
                    os.chdir(request.config.rootpath)
                    result = pytester.runpytest_subprocess(
                        "-p", "no:asyncio", "--resume-failed", "--rootdir", request.config.rootpath
                    )
                    assert result.ret == 4
                    result.stderr.fnmatch_lines(["ERROR: RES403 ledger-locked: run * is still alive*"])
            """,
        },
    )
    assert batch.run().outcomes == {"passed": 1}


def test_a_resume_of_nothing_is_as_empty_as_the_run_before(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, {"test_a.py": "x = 1"})
    assert batch.run().status == pytest.ExitCode.NO_TESTS_COLLECTED
    assert batch.run("--resume-failed").status == pytest.ExitCode.NO_TESTS_COLLECTED


def test_paths_and_expression_are_taken_over_one_by_one(pytester: pytest.Pytester) -> None:
    files = {
        "sub/test_in.py": "def test_x(): assert 0\ndef test_y(): assert 0\ndef test_z(): assert 0",
        "test_out.py": "def test_x(): assert 0",
    }
    batch = Batch(pytester, files)
    batch.run("sub", "-k", "test_x or test_y")
    run = batch.run("--resume-failed", "sub")
    assert batch.started == ["test_x", "test_y"]
    assert "taken over from that run: -k 'test_x or test_y'\n" in run.text
    run = batch.run("--resume-failed", "-k", "test_x")
    assert batch.started == ["test_x"]
    assert "taken over from that run: sub\n" in run.text
