"""The hooks that conftest files and other plugins may implement: to decide on a retry, and to hear of attempts."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from pytest_resilience import hookspecs
from pytest_resilience.core.facts import AttemptEnded, Fact
from pytest_resilience.hooks import attempts, listeners
from pytest_resilience.ledger.reading import facts_of

from .harness import Batch, Result

FAILS = """
import pytest
from steps import step
{marker}
def test_a():
    step("a")
    raise ConnectionError("port 80 is closed")
"""
MARKED = "@pytest.mark.flaky(retries=2, only=OSError)"


def run_with(pytester: pytest.Pytester, hook: str, marker: str = MARKED, *flags: str) -> tuple[Batch, Result]:
    """A run of a test that always fails, with an implementation of the hook that decides."""
    batch = Batch(pytester, {"conftest.py": hook, "test_it.py": FAILS.format(marker=marker)})
    pytester.syspathinsert(batch.root)
    return batch, batch.run(*flags)


def ended(batch: Batch) -> list[AttemptEnded]:
    return [fact for fact in batch.facts if isinstance(fact, AttemptEnded)]


# -- pytest_resilience_retry ---------------------------------------------------------------------------------------


def test_false_is_a_veto(pytester: pytest.Pytester) -> None:
    batch, run = run_with(pytester, "def pytest_resilience_retry(): return False")
    assert (run.outcomes, batch.steps) == ({"failed": 1}, ["a"])
    assert [one.again for one in ended(batch)] == ["pytest_resilience_retry says no"]


@pytest.mark.parametrize(
    "marker",
    [
        "",
        "@pytest.mark.flaky(retries=0)",
        "@pytest.mark.flaky(retries=1, only=ValueError)",
        "@pytest.mark.flaky(retries=1, except_='closed')",
        "@pytest.mark.flaky(retries=1, condition=False)",
        "@pytest.mark.flaky(retries=1, phases='setup')",
    ],
)
def test_true_is_another_attempt_whatever_the_policy_says(pytester: pytest.Pytester, marker: str) -> None:
    batch, run = run_with(pytester, "def pytest_resilience_retry(attempt): return attempt < 4", marker)
    assert (run.outcomes, batch.steps) == ({"failed": 1}, ["a"] * 4)
    assert run.last_line == "1 failed, 3 rerun"
    again = [one.again for one in ended(batch)]
    assert again == ["pytest_resilience_retry says yes"] * 3 + ["pytest_resilience_retry says no"]


def test_an_attempt_that_only_the_hook_wants_waits_and_refreshes_as_the_policy_has_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(attempts, "_clock", lambda: now[0])
    monkeypatch.setattr(attempts, "_sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    test = """
        import pytest
        from steps import step
        @pytest.fixture(scope="session")
        def db():
            step("+db")
            yield
            step("-db")
        @pytest.mark.flaky(retries=0, delay=5, backoff="linear", refresh="db")
        def test_a(db): assert step("a") > 2
    """
    batch = Batch(
        pytester,
        {"conftest.py": "def pytest_resilience_retry(attempt): return attempt < 5", "test_it.py": test},
    )
    assert batch.run().outcomes == {"flaky": 1}
    assert " ".join(batch.steps) == "+db a -db +db a -db +db a -db"
    assert [one.wait for one in ended(batch)] == [5, 10]
    assert now[0] == pytest.approx(15)


def test_a_number_is_the_wait_of_an_attempt_that_the_policy_wants(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(attempts, "_clock", lambda: now[0])
    monkeypatch.setattr(attempts, "_sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    hook = "def pytest_resilience_retry(attempt): return 90.5 if attempt == 1 else 0"
    batch, _ = run_with(pytester, hook, "@pytest.mark.flaky(retries=2, delay=3)")
    assert [one.wait for one in ended(batch)] == [90.5, 0, 0]
    assert [one.again for one in ended(batch)] == [
        "attempt 1 of 3",
        "attempt 2 of 3",
        "no attempts left of 3",
    ]
    assert now[0] == pytest.approx(90.5)


def test_a_number_keeps_what_the_policy_makes_anew(pytester: pytest.Pytester) -> None:
    test = """
        import pytest
        from steps import step
        @pytest.fixture(scope="session")
        def db():
            step("+db")
            yield
            step("-db")
        @pytest.mark.flaky(retries=1, refresh="db")
        def test_a(db): assert step("a") > 1
    """
    batch = Batch(pytester, {"conftest.py": "def pytest_resilience_retry(): return 0", "test_it.py": test})
    batch.run()
    assert " ".join(batch.steps) == "+db a -db +db a -db"


@pytest.mark.parametrize("answer", ["None", "True"])
def test_none_and_true_leave_a_retry_of_the_policy_as_it_is(pytester: pytest.Pytester, answer: str) -> None:
    batch, _ = run_with(pytester, f"def pytest_resilience_retry(attempt): return attempt < 3 and {answer}")
    assert [one.again for one in ended(batch)][:2] == ["attempt 1 of 3", "attempt 2 of 3"]


def test_it_is_asked_about_bad_attempts_alone_with_the_item_the_number_and_the_error(
    pytester: pytest.Pytester,
) -> None:
    conftest = """
        from steps import step
        def pytest_resilience_retry(item, attempt, error):
            step(f"{item.name} {attempt} {type(error).__name__}")
    """
    test = """
        import pytest
        from steps import step
        pytestmark = pytest.mark.flaky(retries=1)
        tried = []
        def test_call():
            tried.append(1)
            if len(tried) == 1: raise ConnectionError
        @pytest.fixture
        def broken(): raise OSError
        def test_setup(broken): pass
        @pytest.fixture
        def leaky():
            yield
            raise LookupError
        def test_teardown(leaky): pass
        def test_passes(): pass
        def test_skips(): pytest.skip()
        @pytest.mark.xfail
        def test_xfails(): assert False
        @pytest.mark.flaky(max_runs=2, min_passes=2)
        def test_repeated(): pass
    """
    batch = Batch(pytester, {"conftest.py": conftest, "test_it.py": test})
    pytester.syspathinsert(batch.root)
    batch.run()
    assert batch.steps == [
        "test_call 1 ConnectionError",
        "test_setup 1 OSError",
        "test_setup 2 OSError",
        "test_teardown 1 LookupError",
        "test_teardown 2 LookupError",
    ]


def test_a_failure_that_another_plugin_made_up_has_no_error(pytester: pytest.Pytester) -> None:
    conftest = """
        import pytest
        from steps import step
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport(item, call):
            report = yield
            if call.when == "call" and step("call") == 1:
                report.outcome, report.longrepr = "failed", "too many queries"
            return report
        def pytest_resilience_retry(attempt, error): return attempt < 3 and error is None
    """
    batch = Batch(pytester, {"conftest.py": conftest, "test_it.py": "def test_a(): pass"})
    pytester.syspathinsert(batch.root)
    assert batch.run().outcomes == {"flaky": 1}


def test_the_conftest_of_a_subfolder_speaks_first_and_for_its_tests_alone(pytester: pytest.Pytester) -> None:
    test = """
        from steps import step
        def test_{name}(): assert step("{name}") > 9
    """
    batch = Batch(
        pytester,
        {
            "conftest.py": "def pytest_resilience_retry(): return False",
            "sub/conftest.py": "def pytest_resilience_retry(attempt): return attempt < 3 or None",
            "sub/test_in.py": test.format(name="inside"),
            "test_out.py": test.format(name="outside"),
        },
    )
    pytester.syspathinsert(batch.root)
    batch.run("--retries", "5")
    # Below the limit of the folder it says yes; then it leaves it to the one above.
    assert [batch.steps.count(name) for name in ("inside", "outside")] == [3, 1]


ASKED = """
from steps import step
def pytest_resilience_retry(attempt):
    step("asked")
    return attempt < 3
"""


def test_where_all_retries_are_turned_off_nobody_is_asked(pytester: pytest.Pytester) -> None:
    batch, _ = run_with(pytester, ASKED, MARKED, "--retries", "0")
    assert batch.steps == ["a"]


def test_with_the_debugger_nobody_is_asked(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("_pytest.debugging._enter_pdb", lambda node, excinfo, report: report)
    batch, _ = run_with(pytester, ASKED, MARKED, "--pdb")
    assert batch.steps == ["a"]


def test_a_session_that_is_stopping_asks_nobody(pytester: pytest.Pytester) -> None:
    conftest = "from steps import step\ndef pytest_resilience_retry(): step('asked')"
    test = """
        def test_a(request):
            request.session.shouldfail = "enough"
            assert False
    """
    batch = Batch(pytester, {"conftest.py": conftest, "test_it.py": test})
    pytester.syspathinsert(batch.root)
    batch.run("--retries", "2")
    assert batch.steps == []


# -- an implementation that is broken ------------------------------------------------------------------------------

BROKEN = [
    ("raise ValueError('a bug in the hook')", "ValueError: a bug in the hook"),
    ("pytest.fail('not in a hook')", "Failed: not in a hook"),
    ("pytest.skip('not in a hook')", "Skipped: not in a hook"),
    ("raise SystemExit(3)", "SystemExit: 3"),
    (
        "return -1",
        "TypeError: it answers with int; expected None, True, False, or a number of seconds, 0 or more",
    ),
    ("return float('nan')", "TypeError: it answers with float"),
    ("return float('inf')", "TypeError: it answers with float"),
    ("return 10 ** 400", "TypeError: it answers with int"),
    ("return 'soon'", "TypeError: it answers with str"),
    ("return [True]", "TypeError: it answers with list"),
]


@pytest.mark.parametrize(("body", "why"), BROKEN, ids=[body for body, _ in BROKEN])
def test_the_policy_decides_where_the_hook_is_broken_and_it_is_told_once(
    pytester: pytest.Pytester, body: str, why: str
) -> None:
    hook = f"import pytest\ndef pytest_resilience_retry():\n    {body}"
    batch, run = run_with(pytester, hook)
    assert (run.status, run.outcomes, batch.steps) == (1, {"failed": 1}, ["a"] * 3)
    (warning,) = run.all_lines("WARNING")
    assert warning.startswith(
        f"RES901 internal-error: an implementation of pytest_resilience_retry is broken ({why}"
    )
    assert [one.again for one in ended(batch)] == [
        "attempt 1 of 3",
        "attempt 2 of 3",
        "no attempts left of 3",
    ]


@pytest.mark.parametrize("name", ["pytest_resilience_retry", "pytest_resilience_attempt_finished"])
@pytest.mark.parametrize(
    ("raised", "status"), [("KeyboardInterrupt", 2), ("pytest.exit.Exception('enough', returncode=9)", 9)]
)
def test_what_ends_a_session_ends_it_from_a_hook_too(
    pytester: pytest.Pytester, name: str, raised: str, status: int
) -> None:
    batch, run = run_with(pytester, f"import pytest\ndef {name}(): raise {raised}")
    assert (run.status, batch.steps) == (status, ["a"])
    assert run.outcomes in ({"interrupted": 1}, {"failed": 1})


def test_a_broken_hook_of_a_worker_is_told_with_the_worker(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    hook = "def pytest_resilience_retry(): raise ValueError('a bug')"
    batch = Batch(pytester, {"conftest.py": hook, "test_it.py": FAILS.format(marker=MARKED)})
    run = batch.run_apart("-p", "resilience", "-n", "1")
    assert (run.outcomes, batch.steps) == ({"failed": 1}, ["a"] * 3)
    assert run.line("WARNING").startswith("RES901 internal-error: an implementation of pytest_resilience_re")
    assert run.line("WARNING").endswith("(gw0)")


# -- pytest_resilience_attempt_finished ----------------------------------------------------------------------------


class Heard:
    """What the hook was told, and what the ledger had by then."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.in_ledger: list[list[Fact]] = []
        self.batch: Batch | None = None

    def pytest_resilience_attempt_finished(
        self, item: pytest.Item, attempt: int, outcome: str, error: BaseException | None, is_final: bool
    ) -> None:
        name = type(error).__name__ if error is not None else None
        self.calls.append((item.name, attempt, outcome, name, is_final))
        if self.batch is not None:
            self.in_ledger.append([fact for _, fact in facts_of(self.batch.newest.path)])


def test_every_attempt_is_told_with_what_it_showed_and_whether_it_was_the_last(
    pytester: pytest.Pytester,
) -> None:
    test = """
        import pytest
        from steps import step
        pytestmark = pytest.mark.flaky(retries=1)
        def test_flaky():
            if step("flaky") == 1: raise ConnectionError
        def test_bad(): raise ValueError
        def test_good(): pass
        def test_skipped(): pytest.skip()
        @pytest.mark.xfail
        def test_xfail(): assert False
        @pytest.mark.xfail
        def test_xpass(): pass
        @pytest.fixture
        def broken(): raise OSError
        @pytest.mark.flaky(retries=0)
        def test_error(broken): pass
        @pytest.mark.flaky(max_runs=3, min_passes=2)
        def test_twice(): pass
    """
    Batch(pytester, test).run(plugins=(heard := Heard(),))
    assert heard.calls == [
        ("test_flaky", 1, "failed", "ConnectionError", False),
        ("test_flaky", 2, "passed", None, True),
        ("test_bad", 1, "failed", "ValueError", False),
        ("test_bad", 2, "failed", "ValueError", True),
        ("test_good", 1, "passed", None, True),
        ("test_skipped", 1, "skipped", None, True),
        ("test_xfail", 1, "xfailed", None, True),
        ("test_xpass", 1, "xpassed", None, True),
        ("test_error", 1, "error", "OSError", True),
        ("test_twice", 1, "passed", None, False),
        ("test_twice", 2, "passed", None, True),
    ]


def test_what_is_told_is_in_the_ledger_already(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, FAILS.format(marker=MARKED))
    heard = Heard()
    heard.batch = batch
    batch.run(plugins=(heard,))
    attempts_in_ledger = [
        [fact.attempt for fact in facts if isinstance(fact, AttemptEnded)] for facts in heard.in_ledger
    ]
    assert attempts_in_ledger == [[1], [1, 2], [1, 2, 3]]


def test_listening_changes_nothing_that_others_see(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, FAILS.format(marker=MARKED))
    plain = batch.run()
    heard = batch.run(plugins=(Heard(),))
    assert plain.reports == heard.reports
    assert plain.last_line == heard.last_line


@pytest.mark.parametrize("body", ["raise ValueError('a bug')", "pytest.fail('a bug')", "raise SystemExit"])
def test_a_listener_that_is_broken_is_told_once_and_fails_no_test(
    pytester: pytest.Pytester, body: str
) -> None:
    conftest = f"import pytest\ndef pytest_resilience_attempt_finished(attempt):\n    {body}"
    test = """
        from steps import step
        def test_flaky(): assert step("flaky") > 1
        def test_good(): pass
    """
    batch = Batch(pytester, {"conftest.py": conftest, "test_it.py": test})
    run = batch.run("--retries", "1")
    assert (run.status, run.outcomes) == (0, {"flaky": 1, "passed": 1})
    (warning,) = run.all_lines("WARNING")
    assert "pytest_resilience_attempt_finished is broken" in warning


# -- whether or not the plugin is active ---------------------------------------------------------------------------

BOTH = """
def pytest_resilience_retry(item, attempt, error): return attempt < 3
def pytest_resilience_attempt_finished(item, attempt, outcome, error, is_final): pass
"""


def test_the_hooks_are_known_where_the_plugin_is_merely_installed(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, {"conftest.py": BOTH, "test_it.py": FAILS.format(marker="")})
    run = batch.run_bare("-p", "no:asyncio", "-W", "error", "--strict-config")
    assert (run.status, batch.steps) == (1, ["a"])


def test_an_argument_that_a_hook_does_not_have_is_refused(pytester: pytest.Pytester) -> None:
    conftest = "def pytest_resilience_retry(test): return True"
    run = Batch(pytester, {"conftest.py": conftest, "test_it.py": "def test_a(): pass"}).run()
    assert run.status != 0
    assert "pytest_resilience_retry" in run.text


@pytest.mark.parametrize(("optional", "status"), [(True, 0), (False, 1)])
def test_where_the_plugin_is_blocked_an_implementation_has_to_be_optional(
    pytester: pytest.Pytester, optional: bool, status: int
) -> None:
    conftest = (
        f"import pytest\n@pytest.hookimpl(optionalhook={optional})\ndef pytest_resilience_retry(): pass"
    )
    batch = Batch(pytester, {"conftest.py": conftest, "test_it.py": "def test_a(): pass"})
    run = batch.run_apart("-p", "no:resilience")
    assert bool(run.status) == bool(status)


def test_hooks_that_nobody_implements_are_not_called(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("nobody listens")

    monkeypatch.setattr(listeners.Listeners, "decide", never)
    monkeypatch.setattr(listeners.Listeners, "finished", never)
    batch = Batch(pytester, FAILS.format(marker=MARKED))
    assert batch.run().outcomes == {"failed": 1}


# -- the page of the reference -------------------------------------------------------------------------------------


def test_the_reference_has_every_hook_with_its_arguments() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "hooks.md").read_text("utf-8")
    hooks = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("pytest_")}
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == list(hooks)
    for name, hook in hooks.items():
        assert f"`{name}({', '.join(inspect.signature(hook).parameters)})`" in page
