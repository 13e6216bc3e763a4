"""What is made anew between two attempts, and what is kept: fixtures of every scope, instances, what reports carry."""

import pytest

from .harness import Batch

SCOPES = ("function", "class", "module", "package", "session")


def fixtures_around(body: str) -> str:
    """A test with a fixture of each scope; each notes ``+name`` and ``-name``."""
    return (
        """
import pytest
from steps import step

@pytest.fixture(scope="session", autouse=True)
def s():
    step("+s")
    yield
    step("-s")

@pytest.fixture(scope="module", autouse=True)
def m(s):
    step("+m")
    yield
    step("-m")

@pytest.fixture(scope="class", autouse=True)
def c(m):
    step("+c")
    yield
    step("-c")

@pytest.fixture(autouse=True)
def f(c):
    step("+f")
    yield
    step("-f")
"""
        + body
    )


def test_only_the_function_scope_is_made_anew_for_a_failed_call(pytester: pytest.Pytester) -> None:
    body = """
class Test:
    def test_first(self): assert step("first") > 1
    def test_last(self): assert step("last") > 2
"""
    batch = Batch(pytester, fixtures_around(body))
    assert batch.run("--retries", "2").outcomes == {"flaky": 2}
    assert " ".join(batch.steps) == (
        "+s +m +c +f first -f +f first -f +f last -f +f last -f +f last -f -c -m -s"
    )


def test_a_final_failure_tears_everything_down_once(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, fixtures_around('class Test:\n    def test_a(self): assert step("a") > 9\n'))
    assert batch.run("--retries", "1").outcomes == {"failed": 1}
    assert " ".join(batch.steps) == "+s +m +c +f a -f +f a -f -c -m -s"


@pytest.mark.parametrize("scope", SCOPES)
def test_a_fixture_whose_setup_failed_is_made_anew_whatever_its_scope(
    pytester: pytest.Pytester, scope: str
) -> None:
    batch = Batch(
        pytester,
        f"""
        import pytest
        from steps import step
        @pytest.fixture(scope="session", autouse=True)
        def kept():
            step("+kept")
            yield
            step("-kept")
        @pytest.fixture(scope="{scope}")
        def broken():
            assert step("+broken") > 2
            yield
            step("-broken")
        @pytest.fixture
        def above(broken):
            step("+above")
            yield
            step("-above")
        class Test:
            def test_a(self, above): step("a")
        """,
    )
    assert batch.run("--retries", "2").outcomes == {"flaky": 1}
    assert " ".join(batch.steps) == "+kept +broken +broken +broken +above a -above -broken -kept"


@pytest.mark.parametrize("scope", SCOPES)
def test_when_a_shared_fixture_stays_broken_each_test_tries_it_again(
    pytester: pytest.Pytester, scope: str
) -> None:
    batch = Batch(
        pytester,
        f"""
        import pytest
        from steps import step
        @pytest.fixture(scope="{scope}", autouse=True)
        def broken(): assert step("broken") > 2
        class Test:
            def test_a(self): step("a")
            def test_b(self): step("b")
        """,
    )
    run = batch.run("--retries", "1")
    # pytest shows the cached error of a shared fixture to the first attempt of the next test.
    assert run.outcomes == {"error": 1, "passed" if scope == "function" else "flaky": 1}
    assert batch.steps == ["broken"] * 3 + ["b"]


@pytest.mark.parametrize("where", ["setup_module", "setup_class", "setup_method"])
def test_classic_setups_that_failed_run_again(pytester: pytest.Pytester, where: str) -> None:
    setup = f"def {where}({'' if where == 'setup_module' else 'self'}): assert step('setup') > 1"
    inside = "" if where == "setup_module" else setup
    if where == "setup_class":
        inside = "@classmethod\n    " + inside
    batch = Batch(
        pytester,
        f"from steps import step\n{setup if not inside else ''}\nclass Test:\n    {inside}\n"
        "    def test_a(self): step('a')\n    def test_b(self): step('b')\n",
    )
    assert batch.run("--retries", "1").outcomes == {"passed": 1, "flaky": 1}
    assert batch.steps[:3] == ["setup", "setup", "a"]


@pytest.mark.parametrize("scope", SCOPES)
def test_a_fixture_whose_teardown_failed_is_made_anew_and_the_test_is_flaky(
    pytester: pytest.Pytester, scope: str
) -> None:
    batch = Batch(
        pytester,
        f"""
        import pytest
        from steps import step
        @pytest.fixture(scope="{scope}")
        def broken():
            step("+broken")
            yield
            assert step("-broken") > 1
        class Test:
            def test_a(self, broken): step("a")
        """,
    )
    run = batch.run("--retries", "1")
    assert (run.status, run.outcomes) == (0, {"flaky": 1})
    assert " ".join(batch.steps) == "+broken a -broken +broken a -broken"


def test_a_teardown_that_always_fails_is_an_error(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.fixture
        def broken():
            yield
            assert step("-broken") > 9
        def test_a(broken): step("a")
        """,
    )
    run = batch.run("--retries", "1")
    assert (run.status, run.outcomes) == (1, {"error": 1})
    assert batch.steps == ["a", "-broken"] * 2
    assert run.last_line == "1 passed, 1 error, 1 rerun"


def test_a_failing_teardown_after_a_failed_call_does_not_end_the_retries(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.fixture
        def broken():
            yield
            assert step("-broken") > 1
        def test_a(broken): assert step("a") > 1
        """,
    )
    run = batch.run("--retries", "1")
    assert (run.status, run.outcomes) == (0, {"flaky": 1})


def test_a_module_fixture_first_made_on_a_later_attempt_is_torn_down(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.fixture(scope="module", autouse=True)
        def m():
            step("+m")
            yield
            step("-m")
        @pytest.fixture(scope="module")
        def late():
            step("+late")
            yield
            step("-late")
        def test_a(request):
            if step("a") == 1:
                assert False
            request.getfixturevalue("late")
        def test_b(): step("b")
        """,
    )
    assert batch.run("--retries", "1").outcomes == {"passed": 1, "flaky": 1}
    assert " ".join(batch.steps) == "+m a a +late b -late -m"


def test_a_module_fixture_is_torn_down_after_a_session_fixture_failed_once(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.fixture(scope="session")
        def s():
            assert step("+s") > 1
            yield
            step("-s")
        @pytest.fixture(scope="module")
        def m(s):
            step("+m")
            yield
            step("-m")
        def test_a(m): step("a")
        def test_b(m): step("b")
        """,
    )
    assert batch.run("--retries", "1").outcomes == {"passed": 1, "flaky": 1}
    assert " ".join(batch.steps) == "+s +s +m a b -m -s"


@pytest.mark.parametrize("scope", SCOPES)
def test_the_finalizer_of_a_setup_that_failed_runs_before_the_next_attempt(
    pytester: pytest.Pytester, scope: str
) -> None:
    batch = Batch(
        pytester,
        f"""
        import pytest
        from steps import step
        @pytest.fixture(scope="{scope}")
        def broken(request):
            times = step("+broken")
            request.addfinalizer(lambda: step("-broken"))
            assert times > 1
        def test_a(broken): step("a")
        """,
    )
    assert batch.run("--retries", "1").outcomes == {"flaky": 1}
    assert " ".join(batch.steps) == "+broken -broken +broken a -broken"


def test_a_parametrised_fixture_keeps_its_parameter(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.fixture(scope="module", params=["x", "y"])
        def p(request):
            step(f"+{request.param}")
            yield request.param
            step(f"-{request.param}")
        def test_a(p): assert step(f"a{p}") > 1
        def test_b(p): step(f"b{p}")
        """,
    )
    assert batch.run("--retries", "1").outcomes == {"passed": 2, "flaky": 2}
    assert " ".join(batch.steps) == "+x ax ax bx -x +y ay ay by -y"


def test_each_attempt_has_an_instance_of_its_own(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        from steps import step
        class Test:
            seen = 0
            def test_a(self):
                self.seen += 1
                step(f"seen {self.seen}")
                assert step("a") > 2
        """,
    )
    assert batch.run("--retries", "2").outcomes == {"flaky": 1}
    assert batch.steps == ["seen 1", "a"] * 3


def test_built_in_fixtures_begin_empty_in_each_attempt(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import logging, os, warnings
        from steps import step
        def test_a(tmp_path, caplog, capsys, recwarn, monkeypatch, request, record_property):
            assert not list(tmp_path.iterdir())
            assert not caplog.records and not recwarn.list and capsys.readouterr().out == ""
            assert "SECRET" not in os.environ
            assert not request.node.stash.get(STASHED, None)
            (tmp_path / "file").write_text("x")
            logging.warning("logged")
            warnings.warn("warned")
            print("printed")
            monkeypatch.setenv("SECRET", "1")
            assert step("a") > 2
        import pytest
        STASHED = pytest.StashKey()
        """,
    )
    run = batch.run("--retries", "2")
    assert run.outcomes == {"flaky": 1}, run.text


def test_the_final_report_shows_the_final_attempt_alone(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import logging, sys
        from steps import step
        def test_a(record_property):
            times = step("a")
            record_property("attempt", times)
            print(f"out {times}")
            print(f"err {times}", file=sys.stderr)
            logging.warning("log %s", times)
            assert False
        """,
    )
    flags = ("--retries", "2", "--junitxml", "junit.xml", "-o", "junit_family=xunit1")
    run = batch.run(*flags)
    junit = (batch.root / "junit.xml").read_text()
    assert 'name="attempt" value="3"' in junit
    assert junit.count('name="attempt"') == 1
    for word in ("out", "err", "log"):
        assert f"{word} 3" in run.text
        assert f"{word} 1" not in run.text
        assert f"{word} 2" not in run.text


def test_a_marker_added_by_an_attempt_does_not_reach_the_next(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        def test_a(request):
            assert request.node.get_closest_marker("xfail") is None
            if step("a") == 1:
                request.node.add_marker("skip")
                request.node.extra_keyword_matches.add("extra")
                raise ValueError
            assert "skip" not in request.node.keywords
            assert "extra" not in request.node.extra_keyword_matches
        """,
    )
    assert batch.run("--retries", "1").outcomes == {"flaky": 1}


def test_an_xfail_added_by_an_attempt_holds_for_that_attempt(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        def test_a(request):
            step("a")
            request.node.add_marker(pytest.mark.xfail)
            assert False
        """,
    )
    assert batch.run("--retries", "1").outcomes == {"xfailed": 1}
    assert batch.steps == ["a"]


def test_what_a_test_hangs_on_its_node_goes_with_the_attempt(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        KEY = pytest.StashKey()
        def test_a(request):
            before = request.node.stash.get(KEY, 0)
            request.node.stash[KEY] = before + 1
            step(f"before {before}")
            assert step("a") > 1
        """,
    )
    batch.run("--retries", "1")
    assert batch.steps == ["before 0", "a", "before 0", "a"]
