"""Where retrying goes wrong elsewhere: an attempt inherits from the last, or is told beside the final one."""

import json
import re

import pytest

from .harness import Batch

needs_subtests = pytest.mark.skipif(
    not hasattr(pytest, "Subtests"), reason="pytest has subtests of its own since 9"
)

# -- what each attempt begins with ---------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["all", "failed", "none"])
def test_each_attempt_has_a_folder_of_its_own(pytester: pytest.Pytester, policy: str) -> None:
    batch = Batch(
        pytester,
        """
        from steps import step
        def test_a(tmp_path, tmp_path_factory):
            step(str(tmp_path))
            assert tmp_path.is_dir() and tmp_path.parent == tmp_path_factory.getbasetemp()
            assert step("a") > 2
        """,
    )
    temp = pytester.path / "temp"
    run = batch.run("--retries", "2", "--basetemp", temp, "-o", f"tmp_path_retention_policy={policy}")
    assert run.outcomes == {"flaky": 1}, run.text
    folders = [step for step in batch.steps if step != "a"]
    assert len(set(folders)) == 3


def test_a_record_of_logging_belongs_to_its_phase_and_its_attempt(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import logging, pytest
        from steps import step
        @pytest.fixture
        def f(caplog):
            logging.warning("setup")
            yield
            for when in ("setup", "call"):
                step(" ".join([f"in {when}:", *(one.message for one in caplog.get_records(when))]))
        def test_a(f, caplog):
            logging.warning("call")
            assert caplog.messages == ["call"]
            assert step("a") > 2
        """,
    )
    assert batch.run("--retries", "2").outcomes == {"flaky": 1}
    assert batch.steps == ["a", "in setup: setup", "in call: call"] * 3


def test_what_an_attempt_held_is_let_go_before_the_next(pytester: pytest.Pytester) -> None:
    # A socket or a lock in a local variable would make the next attempt fail: it lives in the traceback.
    batch = Batch(
        pytester,
        """
        import gc, weakref
        from steps import step
        class Lock: pass
        held = []
        def test_a():
            gc.collect()
            step(f"held {sum(one() is not None for one in held)}")
            lock = Lock()
            held.append(weakref.ref(lock))
            assert step("a") > 2
        """,
    )
    assert batch.run_apart("-p", "resilience", "--retries", "2").outcomes == {"flaky": 1}
    assert batch.steps == ["held 0", "a"] * 3


def test_a_coroutine_of_unittest_has_its_fixtures_and_its_loop_in_each_attempt(
    pytester: pytest.Pytester,
) -> None:
    batch = Batch(
        pytester,
        """
        import asyncio, unittest
        from steps import step
        class Test(unittest.IsolatedAsyncioTestCase):
            async def asyncSetUp(self):
                step("+")
                self.loop = asyncio.get_running_loop()
            async def asyncTearDown(self): step("-")
            async def test_a(self):
                self.addAsyncCleanup(asyncio.sleep, 0)
                await asyncio.sleep(0)
                self.assertIs(self.loop, asyncio.get_running_loop())
                self.assertGreater(step("a"), 2)
        """,
    )
    assert batch.run("--retries", "2").outcomes == {"flaky": 1}
    assert batch.steps == ["+", "a", "-"] * 3


# -- hooks of others act in each attempt ---------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["setup", "call", "teardown"])
@pytest.mark.parametrize("place", ["tryfirst", "trylast"])
def test_a_hook_of_a_phase_that_fails_once_is_retried(
    pytester: pytest.Pytester, phase: str, place: str
) -> None:
    batch = Batch(
        pytester,
        {
            "conftest.py": f"""
                import pytest
                from steps import step
                @pytest.hookimpl({place}=True)
                def pytest_runtest_{phase}(item):
                    if item.name == "test_a" and step("hook") == 1:
                        raise ConnectionError("not yet")
            """,
            "test_it.py": """
                import pytest
                from steps import step
                @pytest.fixture(scope="module", autouse=True)
                def m():
                    step("+m")
                    yield
                    step("-m")
                @pytest.fixture(autouse=True)
                def f():
                    step("+f")
                    yield
                    step("-f")
                def test_a(): pass
                def test_b(): pass
            """,
        },
    )
    run = batch.run("--retries", "2")
    assert (run.status, run.outcomes) == (0, {"flaky": 1, "passed": 1}), run.text
    assert batch.steps.count("+m") == batch.steps.count("-m") == 1
    assert batch.steps.count("+f") == batch.steps.count("-f")
    assert batch.steps[-1] == "-m"


def test_a_plugin_that_rewrites_reports_does_so_in_each_attempt(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        {
            "conftest.py": """
                import pytest
                @pytest.hookimpl(wrapper=True)
                def pytest_runtest_makereport(item, call):
                    report = yield
                    if call.excinfo is not None and call.excinfo.errisinstance(NotImplementedError):
                        report.outcome, report.longrepr = "skipped", ("here", 1, "not yet")
                    if call.when == "call" and report.passed and getattr(item.module, "too_slow", []):
                        item.module.too_slow.pop()
                        report.outcome, report.longrepr = "failed", "too slow"
                    return report
            """,
            "test_it.py": """
                from steps import step
                too_slow = [1, 2]
                def test_slow(): step("slow")
                def test_not_yet():
                    step("not yet")
                    raise NotImplementedError
                def test_both():
                    if step("both") == 1:
                        raise ValueError
                    raise NotImplementedError
            """,
        },
    )
    run = batch.run("--retries", "2")
    assert batch.tests == {"test_slow": "flaky", "test_not_yet": "skipped", "test_both": "flaky"}
    assert batch.steps == ["slow"] * 3 + ["not yet"] + ["both"] * 2
    assert run.status == 0


# -- what is told --------------------------------------------------------------------------------------------

PHASES = """
import pytest, sys
from steps import step

def fail_in(phase, request):
    print(f"{phase} of {request.node.name}", step(f"{phase} {request.node.name}"))
    word, _, times = request.node.name.removeprefix("test_").partition("_")
    if word == phase and (times == "always" or step(f"failed {request.node.name}") == 1):
        raise ValueError(phase)

@pytest.fixture(autouse=True)
def f(request):
    fail_in("setup", request)
    yield
    fail_in("teardown", request)

def test_setup_once(request): fail_in("call", request)
def test_setup_always(request): fail_in("call", request)
def test_call_once(request): fail_in("call", request)
def test_call_always(request): fail_in("call", request)
def test_teardown_once(request): fail_in("call", request)
def test_teardown_always(request): fail_in("call", request)
def test_good(request): fail_in("call", request)
"""
ONCE = {"test_setup_once", "test_call_once", "test_teardown_once"}
ALWAYS = {"test_setup_always", "test_call_always", "test_teardown_always"}


def test_junitxml_has_one_testcase_for_each_test_whatever_phase_failed(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, PHASES)
    run = batch.run("--retries", "2", "--junitxml", "junit.xml")
    assert run.outcomes == {"flaky": 3, "failed": 1, "error": 2, "passed": 1}
    junit = (batch.root / "junit.xml").read_text()
    cases = re.findall(r'<testcase [^>]*name="(\w+)"[^>]*?(?:/>|>(.*?)</testcase>)', junit, re.DOTALL)
    told = {name: re.findall(r"<(failure|error|skipped)\b", inside) for name, inside in cases}
    assert len(cases) == 7
    assert {name for name, elements in told.items() if elements} == ALWAYS
    assert told["test_call_always"] == ["failure"]
    assert told["test_setup_always"] == told["test_teardown_always"] == ["error"]
    assert re.search(r'<testsuite [^>]*errors="2" failures="1" skipped="0"', junit)


def test_the_output_of_each_phase_is_that_of_the_final_attempt(pytester: pytest.Pytester) -> None:
    class Sections:
        seen: dict[str, list[tuple[str, str]]] = {}  # noqa: RUF012 - the plugin is one object

        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.when == "teardown":
                self.seen[report.nodeid.rpartition("::")[2]] = list(report.sections)

    batch = Batch(pytester, PHASES)
    batch.run("--retries", "2", plugins=(sections := Sections(),))
    for name in ONCE | {"test_call_always", "test_teardown_always"}:
        times = 3 if name in ALWAYS else 2
        calls = 1 if name == "test_setup_once" else times
        assert sections.seen[name] == [
            ("Captured stdout setup", f"setup of {name} {times}\n"),
            ("Captured stdout call", f"call of {name} {calls}\n"),
            ("Captured stdout teardown", f"teardown of {name} {calls}\n"),
        ]


def test_last_failed_knows_each_final_failure_and_no_other(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, PHASES)
    batch.run("--retries", "2")
    remembered = json.loads((batch.root / ".pytest_cache/v/cache/lastfailed").read_text())
    assert {name.rpartition("::")[2] for name in remembered} == ALWAYS


def test_maxfail_counts_each_final_failure_once(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, PHASES)
    run = batch.run("--retries", "2", "--maxfail", "2")
    # The failed setup and the failed call; what needed a second attempt in between does not count.
    assert run.outcomes == {"flaky": 2, "error": 1, "failed": 1, "not_run": 3}
    assert run.status == 1


def test_retries_raise_no_warnings_of_their_own(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = Batch(pytester, PHASES)
    monkeypatch.setenv("PYTHONDEVMODE", "1")
    run = batch.run_apart("-p", "resilience", "-W", "error", "--retries", "2")
    assert run.outcomes == {"flaky": 3, "failed": 1, "error": 2, "passed": 1}
    assert "warning" not in run.last_line


SUBTESTS = """
from steps import step
def test_a(subtests):
    times = step("a")
    for name in ("one", "two"):
        with subtests.test(name):
            step(name)
            assert times > 2 or name == "two"
"""


@needs_subtests
def test_subtests_run_and_count_once_an_attempt(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, SUBTESTS)
    run = batch.run("--retries", "2", "-v")
    assert (run.outcomes, batch.steps) == ({"flaky": 1}, ["a", "one", "two"] * 3)
    assert run.last_line == "2 subtests passed, 2 rerun, 1 flaky"


@needs_subtests
@pytest.mark.parametrize(
    "retries",
    [
        "3",
        "2",
    ],
)
def test_subtests_are_reported_after_the_setup_and_before_the_call(
    pytester: pytest.Pytester, retries: str
) -> None:
    class Log:
        seen: list[str] = []  # noqa: RUF012 - the plugin is one object

        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            # Those of an attempt that is repeated are held back, and say so.
            if report.outcome in ("passed", "failed"):
                self.seen.append(f"{type(report).__name__} {report.when}")

    batch = Batch(pytester, SUBTESTS)
    assert batch.run("--retries", retries, plugins=(log := Log(),)).outcomes == {"flaky": 1}
    assert log.seen == [
        "TestReport setup",
        *["SubtestReport call"] * 2,
        "TestReport call",
        "TestReport teardown",
    ]
