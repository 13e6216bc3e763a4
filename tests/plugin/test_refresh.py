"""``refresh``: which fixtures are made anew for another attempt, besides those of the test itself."""

import re

import pytest

from .harness import Batch

# A fixture of each scope, each resting on the one above. One phase of the first attempt at each test fails.
SUITE = """
import pytest
from steps import step

def fail(request, phase):
    name = request.node.name
    return phase == "{phase}" and name != "test_last" and step(f"fail {{name}}") == 1

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
def f(c, request):
    step("+f")
    if fail(request, "setup"):
        step("-f")
        raise OSError("setup")
    yield
    step("-f")
    if fail(request, "teardown"):
        raise OSError("teardown")

class Test:
{tests}
    def test_last(self): step("last")
"""
TEST = """
    @pytest.mark.flaky({marker})
    def test_{name}(self, request):
        step("{name}")
        assert not fail(request, "call")
"""
MODULES = """
import pytest
from steps import step
def test_other(): step("other")
"""


def batch_with(pytester: pytest.Pytester, marker: str, *, phase: str = "call", names: str = "a") -> Batch:
    """Tests that fail once each, in the same phase; then a test of another module."""
    tests = "".join(TEST.format(marker=marker, name=name) for name in names)
    return Batch(pytester, {"test_it.py": SUITE.format(phase=phase, tests=tests), "test_other.py": MODULES})


def story(batch: Batch) -> str:
    """What happened, in order, in one line."""
    return " ".join(step for step in batch.steps if not step.startswith("fail"))


# -- up to a scope -------------------------------------------------------------------------------------------------

ALONE = {
    "": "-f +f",
    "refresh='class'": "-f -c +c +f",
    "refresh='module'": "-f -c -m +m +c +f",
    "refresh='session'": "-f -c -m -s +s +m +c +f",
    "refresh=['class', 'session']": "-f -c -m -s +s +m +c +f",
}


@pytest.mark.parametrize("marker", ALONE, ids=str)
@pytest.mark.parametrize("phase", ["setup", "call", "teardown"])
def test_what_is_within_the_scope_is_made_anew_once_in_order_whatever_failed(
    pytester: pytest.Pytester, phase: str, marker: str
) -> None:
    batch = batch_with(pytester, marker or "retries=1", phase=phase, names="ab")
    assert batch.run().outcomes == {"flaky": 2, "passed": 2}
    anew = ALONE[marker]
    first = "" if phase == "setup" else "{} "
    test = f"{first}{anew} {{}}"
    a, b = test.replace("{}", "a"), test.replace("{}", "b")
    assert story(batch) == f"+s +m +c +f {a} -f +f {b} -f +f last -f -c -m other -s"


@pytest.mark.parametrize("scope", ["class", "module", "session"])
def test_the_last_test_of_a_session_has_its_scope_made_anew_like_any_other(
    pytester: pytest.Pytester, scope: str
) -> None:
    batch = batch_with(pytester, f"retries=1, refresh='{scope}'")
    assert batch.run("test_it.py", "-k", "test_a").outcomes == {"flaky": 1}
    anew = ALONE[f"refresh='{scope}'"]
    assert story(batch) == f"+s +m +c +f a {anew} a -f -c -m -s"


def test_a_test_that_passes_at_once_or_fails_at_last_tears_nothing_more_down(
    pytester: pytest.Pytester,
) -> None:
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
        pytestmark = pytest.mark.flaky(retries=1, refresh="module")
        def test_good(): step("good")
        def test_bad(): assert step("bad") > 9
        def test_after(): step("after")
        """,
    )
    assert batch.run().outcomes == {"passed": 2, "failed": 1}
    assert story(batch) == "+m good bad -m +m bad after -m"


def test_classic_setups_of_the_scope_run_again(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest, unittest
        from steps import step
        def setup_module(): step("+module")
        def teardown_module(): step("-module")
        class TestPlain:
            @classmethod
            def setup_class(cls): step("+class")
            @classmethod
            def teardown_class(cls): step("-class")
            @pytest.mark.flaky(refresh="class")
            def test_a(self): assert step("a") > 1
            @pytest.mark.flaky(refresh="module")
            def test_b(self): assert step("b") > 1
        class TestUnittest(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                cls.addClassCleanup(step, "cleanup")
                step("+unit")
            @classmethod
            def tearDownClass(cls): step("-unit")
            @pytest.mark.flaky(refresh="class")
            def test_c(self): assert step("c") > 1
            def test_d(self): step("d")
        """,
    )
    assert batch.run().outcomes == {"flaky": 3, "passed": 1}
    plain = "+module +class a -class +class a b -class -module +module +class b -class"
    assert story(batch) == f"{plain} +unit c -unit cleanup +unit c d -unit cleanup -module"


def test_a_package_fixture_goes_with_the_session_and_not_with_a_module(pytester: pytest.Pytester) -> None:
    conftest = """
        import pytest
        from steps import step
        @pytest.fixture(scope="package", autouse=True)
        def p():
            step("+p")
            yield
            step("-p")
    """
    test = """
        import pytest
        from steps import step
        @pytest.mark.flaky(refresh="module")
        def test_a(): assert step("a") > 1
        @pytest.mark.flaky(refresh="session")
        def test_b(): assert step("b") > 1
    """
    batch = Batch(pytester, {"sub/__init__.py": "", "sub/conftest.py": conftest, "sub/test_it.py": test})
    pytester.syspathinsert(batch.root)
    assert batch.run().outcomes == {"flaky": 2}
    assert story(batch) == "+p a a b -p +p b -p"


# -- by name -------------------------------------------------------------------------------------------------------

DATABASE = """
import pytest
from steps import step

@pytest.fixture(scope="session")
def other():
    step("+other")
    yield
    step("-other")

@pytest.fixture(scope="session")
def db():
    number = step("+db")
    yield number
    step("-db")

@pytest.fixture(scope="module")
def table(db, other):
    step("+table")
    yield
    step("-table")

@pytest.fixture
def row(table):
    step("+row")
    yield
    step("-row")
"""


def test_a_named_fixture_goes_with_all_that_rests_on_it_and_nothing_else(pytester: pytest.Pytester) -> None:
    test = """
@pytest.mark.flaky(refresh=["db"])
def test_a(row, db):
    step("a")
    assert db > 1
def test_b(row, db):
    step("b")
    assert db == 2
"""
    batch = Batch(pytester, DATABASE + test)
    assert batch.run().outcomes == {"flaky": 1, "passed": 1}
    assert story(batch) == (
        "+db +other +table +row a -row -table -db +db +table +row a -row +row b -row -table -db -other"
    )


def test_what_rests_on_a_named_fixture_goes_although_the_test_does_not_use_it(
    pytester: pytest.Pytester,
) -> None:
    test = """
def test_a(table): step("a")
@pytest.mark.flaky(refresh="db")
def test_b(db):
    step("b")
    assert db > 1
def test_c(table): step("c")
"""
    batch = Batch(pytester, DATABASE + test)
    assert batch.run().outcomes == {"flaky": 1, "passed": 2}
    assert story(batch) == "+db +other +table a b -table -db +db b +table c -table -db -other"


@pytest.mark.parametrize("names", ["['one', 'two']", "['two', 'one']"])
def test_several_named_fixtures_go_in_the_opposite_order_of_their_setup(
    pytester: pytest.Pytester, names: str
) -> None:
    batch = Batch(
        pytester,
        f"""
        import pytest
        from steps import step
        @pytest.fixture(scope="module")
        def one():
            step("+one")
            yield
            step("-one")
        @pytest.fixture(scope="module")
        def two():
            step("+two")
            yield
            step("-two")
        @pytest.mark.flaky(refresh={names})
        def test_a(one, two): assert step("a") > 1
        """,
    )
    batch.run()
    assert story(batch) == "+one +two a -two -one +one +two a -two -one"


def test_a_scope_and_a_name_go_together(pytester: pytest.Pytester) -> None:
    test = """
@pytest.mark.flaky(refresh=["module", "other"])
def test_a(row): assert step("a") > 1
"""
    batch = Batch(pytester, DATABASE + test)
    batch.run()
    assert story(batch) == (
        "+db +other +table +row a -row -table -other +other +table +row a -row -table -other -db"
    )


@pytest.mark.parametrize("phase", ["setup", "call", "teardown"])
def test_a_named_fixture_is_made_anew_whatever_failed(pytester: pytest.Pytester, phase: str) -> None:
    test = f"""
@pytest.fixture
def fails(request):
    number = step("first")
    if "{phase}" == "setup": assert number > 1
    yield
    if "{phase}" == "teardown": assert number > 1
@pytest.mark.flaky(refresh="db")
def test_a(db, fails):
    if "{phase}" == "call": assert db > 1
def test_b(db): step("b")
"""
    batch = Batch(pytester, DATABASE + test)
    assert batch.run().outcomes == {"flaky": 1, "passed": 1}
    assert story(batch) == "+db first -db +db first b -db"


@pytest.mark.parametrize("where", ["test", "fixture"])
def test_a_fixture_that_was_asked_for_by_getfixturevalue_can_be_named(
    pytester: pytest.Pytester, where: str
) -> None:
    test = f"""
@pytest.fixture
def gets(request):
    return request.getfixturevalue("db") if "{where}" == "fixture" else None
@pytest.mark.flaky(refresh=["db"])
def test_a(gets, request):
    step("a")
    assert (gets or request.getfixturevalue("db")) > 1
def test_b(db): assert db == 2
"""
    batch = Batch(pytester, DATABASE + test)
    assert batch.run().outcomes == {"flaky": 1, "passed": 1}
    assert story(batch) == ("+db a -db +db a -db" if where == "fixture" else "a +db -db a +db -db")


def test_a_named_fixture_with_parameters_keeps_its_parameter(pytester: pytest.Pytester) -> None:
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
        @pytest.mark.flaky(refresh="p")
        def test_a(p): assert step(f"a{p}") > 1
        def test_b(p): step(f"b{p}")
        """,
    )
    assert batch.run().outcomes == {"passed": 2, "flaky": 2}
    assert story(batch) == "+x ax -x +x ax bx -x +y ay -y +y ay by -y"


def test_a_fixture_that_overrides_another_goes_with_it(pytester: pytest.Pytester) -> None:
    conftest = """
        import pytest
        from steps import step
        @pytest.fixture(scope="session")
        def db():
            step("+base")
            yield
            step("-base")
    """
    test = """
        import pytest
        from steps import step
        @pytest.fixture(scope="module")
        def db(db):
            step("+db")
            yield
            step("-db")
        @pytest.mark.flaky(refresh="db")
        def test_a(db): assert step("a") > 1
    """
    batch = Batch(pytester, {"conftest.py": conftest, "test_it.py": test})
    pytester.syspathinsert(batch.root)
    assert batch.run().outcomes == {"flaky": 1}
    assert story(batch) == "+base +db a -db -base +base +db a -db -base"


def test_a_fixture_of_the_name_that_the_test_cannot_see_is_left_alone(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.fixture(scope="session")
        def db():
            step("+db")
            yield
            step("-db")
        class TestOne:
            @pytest.fixture(scope="class")
            def db(self):
                step("+own")
                yield
                step("-own")
            def test_a(self, db): step("a")
            class TestInner:
                def test_b(self, db): step("b")
        class TestTwo:
            @pytest.mark.flaky(refresh="db")
            def test_c(self, db): assert step("c") > 1
        """,
    )
    assert batch.run().outcomes == {"flaky": 1, "passed": 2}
    assert story(batch) == "+own a b -own +db c -db +db c -db"


def test_the_table_may_name_fixtures_that_only_some_tests_have(pytester: pytest.Pytester) -> None:
    test = """
def test_a(db): assert step("a") > 1
def test_b(other): assert step("b") > 1
"""
    table = '[tool.resilience.retry]\nretries = 1\nrefresh = ["db"]'
    batch = Batch(pytester, {"test_it.py": DATABASE + test, "pyproject.toml": table})
    assert batch.run().outcomes == {"flaky": 2}
    assert story(batch) == "+db a -db +db a +other b b -other -db"


def test_a_rule_refreshes_for_its_errors_alone(pytester: pytest.Pytester) -> None:
    test = """
def test_a(db):
    if step("a") == 1: raise ConnectionError
def test_b(db):
    if step("b") == 1: raise ValueError
"""
    table = """
        [tool.resilience.retry]
        retries = 1
        [[tool.resilience.retry.rule]]
        match = "ConnectionError"
        refresh = ["db"]
    """
    batch = Batch(pytester, {"test_it.py": DATABASE + test, "pyproject.toml": table})
    assert batch.run().outcomes == {"flaky": 2}
    assert story(batch) == "+db a -db +db a b b -db"


@pytest.mark.parametrize(
    ("refresh", "hint"),
    [
        ("'modul'", "did you mean 'module'?"),
        ("'function'", "expected class, module, session, or a fixture that the test can see"),
        ("['session', 'othr']", "did you mean 'other'?"),
        ("'own'", "expected class, module, session, or a fixture that the test can see"),
    ],
)
def test_a_name_that_nothing_has_is_refused_before_any_test(
    pytester: pytest.Pytester, refresh: str, hint: str
) -> None:
    test = f"""
class TestOther:
    @pytest.fixture
    def own(self): pass
def test_first(): step("first")
@pytest.mark.flaky(refresh={refresh})
def test_a(db, other): step("a")
"""
    batch = Batch(pytester, DATABASE + test)
    run = batch.run()
    assert (run.status, batch.steps) == (4, [])
    wrong = refresh.strip("[]").rpartition(", ")[2]
    assert f"RES701 config-invalid: flaky(refresh={wrong}): " in run.text
    assert hint in run.text
    assert "(at test_it.py::test_a)" in run.text


# -- set-ups and tear-downs balance --------------------------------------------------------------------------------


def unbalanced(steps: list[str], rests_on: dict[str, str]) -> list[str]:
    """Where a fixture is set up twice, torn down twice, or torn down while one that rests on it is up."""
    up: list[str] = []
    wrong: list[str] = []
    for at, step in enumerate(steps):
        sign, name = step[0], step[1:]
        if sign == "+":
            wrong += [f"{at} {step}"] if name in up or rests_on.get(name, "") not in ["", *up] else []
            up.append(name)
        elif sign == "-":
            above = [one for one, below in rests_on.items() if below == name and one in up]
            wrong += [f"{at} {step}"] if name not in up or above else []
            up = [one for one in up if one != name]
    return wrong + [f"{name} is left" for name in up]


REFRESHES = ["()", "'class'", "'module'", "'session'", "'s'", "['m']", "['c', 'f']", "['s', 'class']"]


@pytest.mark.parametrize("phase", ["setup", "call", "teardown"])
@pytest.mark.parametrize("refresh", REFRESHES)
def test_every_setup_has_its_teardown_and_nothing_loses_what_it_rests_on(
    pytester: pytest.Pytester, phase: str, refresh: str
) -> None:
    batch = batch_with(pytester, f"retries=2, refresh={refresh}", phase=phase, names="abc")
    run = batch.run()
    assert run.outcomes == {"flaky": 3, "passed": 2}
    rests_on = {"m": "s", "c": "m", "f": "c"}
    assert unbalanced(story(batch).split(), rests_on) == []
    assert batch.steps.count("+f") == 7


def test_the_check_of_the_balance_sees_what_is_wrong() -> None:
    rests_on = {"m": "s"}
    assert unbalanced(["+s", "+m", "a", "-m", "-s"], rests_on) == []
    for story in ("+s +s -s", "+s", "-s", "+m -m", "+s +m -s -m", "+s -s -s"):
        assert unbalanced(story.split(), rests_on), story


# -- fixtures whose own setup failed -------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["function", "class", "module", "session"])
@pytest.mark.parametrize(
    "raised", ["OSError", "SystemExit(3)", "BaseException", "pytest.fail.Exception('no')"]
)
@pytest.mark.parametrize("way", ["argument", "getfixturevalue"])
def test_a_setup_that_failed_runs_again_however_it_failed_and_was_asked_for(
    pytester: pytest.Pytester, scope: str, raised: str, way: str
) -> None:
    batch = Batch(
        pytester,
        f"""
        import pytest
        from steps import step
        @pytest.fixture(scope="{scope}")
        def broken(request):
            number = step("+broken")
            request.addfinalizer(lambda: step("-broken"))
            if number < 3:
                raise {raised}
            return number
        class Test:
            def test_a(self, {"broken" if way == "argument" else "request"}):
                step("a")
                assert {"broken" if way == "argument" else "request.getfixturevalue('broken')"} == 3
        """,
    )
    run = batch.run("--retries", "2")
    assert run.outcomes == {"flaky": 1}, run.text
    assert [one for one in batch.steps if one != "a"] == ["+broken", "-broken"] * 3
    assert batch.steps.count("a") == (1 if way == "argument" else 3)


def test_a_setup_that_another_test_failed_with_is_left_to_that_test(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.fixture(scope="session")
        def broken():
            step("broken")
            raise OSError("no server")
        def test_a(broken): step("a")
        @pytest.mark.flaky(retries=1)
        def test_b(): assert step("b") > 1
        def test_c(broken): step("c")
        """,
    )
    assert batch.run().outcomes == {"error": 2, "flaky": 1}
    assert story(batch) == "broken b b"


# -- tear-downs that fail between two attempts ---------------------------------------------------------------------

LEAKY = """
import pytest
from steps import step
@pytest.fixture(scope="module")
def leaky():
    step("+leaky")
    yield
    print("closing", "the socket")
    if step("-leaky") == 1:
        {ending}
@pytest.mark.flaky(retries=1, refresh="{refresh}")
def test_a(leaky):
    number = step("a")
    print(f"attempt {{number}}")
    assert number > {passes_after}, "too early"
def test_b(): step("b")
"""


@pytest.mark.parametrize("refresh", ["module", "leaky"])
@pytest.mark.parametrize(
    ("ending", "told"),
    [
        ("raise OSError('the disk is gone')", "OSError: the disk is gone"),
        ("pytest.fail('not closed')", "Failed: not closed"),
        ("pytest.skip('not closed')", "Skipped: not closed"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_an_error_between_two_attempts_is_told_with_the_attempt_that_failed(
    pytester: pytest.Pytester, refresh: str, ending: str, told: str
) -> None:
    batch = Batch(pytester, LEAKY.format(ending=ending, refresh=refresh, passes_after=1))
    run = batch.run("-v")
    assert (run.status, run.outcomes) == (0, {"flaky": 1, "passed": 1}), run.text
    assert story(batch) == "+leaky a -leaky +leaky a b -leaky"
    (line,) = [line for line in run.lines if "RERUN" in line]
    assert line.endswith(f"AssertionError: too early; then {told}")
    (attempt,) = [line for line in run.lines if line.startswith("  attempt 1")]
    assert attempt.endswith(f"AssertionError: too early; then {told}")


def test_what_is_printed_between_two_attempts_belongs_to_the_first_of_them(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, LEAKY.format(ending="pass", refresh="leaky", passes_after=9))
    run = batch.run("-rA")
    assert run.outcomes == {"failed": 1, "passed": 1}
    assert "attempt 2" in run.text
    assert "attempt 1" not in run.text
    assert run.text.count("closing the socket") == 1


def test_what_is_printed_between_two_attempts_shows_when_nothing_is_captured(
    pytester: pytest.Pytester,
) -> None:
    batch = Batch(pytester, LEAKY.format(ending="pass", refresh="leaky", passes_after=1))
    for flags in (("-s",), ("-p", "no:capture")):
        assert batch.run(*flags).text.count("closing the socket") == 2
        batch.forget()


def test_an_exit_between_two_attempts_ends_the_session_in_order(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, LEAKY.format(ending="pytest.exit('enough', 9)", refresh="leaky", passes_after=1))
    run = batch.run()
    assert run.status == 9
    assert run.outcomes == {"interrupted": 1, "not_run": 1}
    assert story(batch) == "+leaky a -leaky"


def test_the_finalizer_of_a_shared_setup_that_failed_may_fail_too(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.fixture(scope="session")
        def broken(request):
            def finalizer():
                if step("-broken") == 1:
                    raise OSError("cannot clean up")
            request.addfinalizer(finalizer)
            if step("+broken") == 1:
                raise ConnectionError("no server")
        def test_a(broken): step("a")
        """,
    )
    run = batch.run("--retries", "1", "-v")
    assert (run.status, run.outcomes) == (0, {"flaky": 1})
    assert story(batch) == "+broken -broken +broken a -broken"
    assert "ConnectionError: no server; then OSError: cannot clean up" in run.text


def test_setup_show_shows_once_what_is_made_anew(pytester: pytest.Pytester) -> None:
    test = """
@pytest.mark.flaky(refresh=["db", "row"])
def test_a(row, db): assert db > 1
"""
    run = Batch(pytester, DATABASE + test).run("--setup-show")
    shown = re.findall("(SETUP|TEARDOWN) +[SMF] (db|row)", run.text)
    assert shown == [("SETUP", "db"), ("SETUP", "row"), ("TEARDOWN", "row"), ("TEARDOWN", "db")] * 2


# -- coroutines ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refresh", ["shared", "module", "session"])
def test_an_async_fixture_of_pytest_asyncio_is_made_anew(pytester: pytest.Pytester, refresh: str) -> None:
    pytest.importorskip("pytest_asyncio")
    batch = Batch(
        pytester,
        {
            "pytest.ini": "[pytest]\nasyncio_default_fixture_loop_scope = function\n",
            "test_it.py": f"""
                import asyncio, pytest, pytest_asyncio
                from steps import step
                @pytest_asyncio.fixture(loop_scope="module", scope="module")
                async def shared():
                    number = step("+shared")
                    yield number, asyncio.get_running_loop()
                    await asyncio.sleep(0)
                    step("-shared")
                @pytest.mark.flaky(refresh="{refresh}")
                @pytest.mark.asyncio(loop_scope="module")
                async def test_a(shared):
                    await asyncio.sleep(0)
                    assert asyncio.get_running_loop() is shared[1]
                    assert shared[0] > 1
                @pytest.mark.asyncio(loop_scope="module")
                async def test_b(shared):
                    assert asyncio.get_running_loop() is shared[1]
                    assert shared[0] == 2
            """,
        },
    )
    run = batch.run_bare("-p", "resilience")
    assert run.outcomes == {"flaky": 1, "passed": 1}, run.text
    assert story(batch) == "+shared -shared +shared -shared"


@pytest.mark.parametrize("refresh", ["shared", "module"])
def test_an_async_fixture_of_anyio_is_made_anew(pytester: pytest.Pytester, refresh: str) -> None:
    pytest.importorskip("anyio")
    batch = Batch(
        pytester,
        f"""
        import anyio, pytest
        from steps import step
        @pytest.fixture(scope="module")
        def anyio_backend(): return "asyncio"
        @pytest.fixture(scope="module")
        async def shared():
            number = step("+shared")
            yield number
            await anyio.sleep(0)
            step("-shared")
        @pytest.mark.flaky(refresh="{refresh}")
        @pytest.mark.anyio
        async def test_a(shared):
            await anyio.sleep(0)
            assert shared > 1
        @pytest.mark.anyio
        async def test_b(shared): assert shared == 2
        """,
    )
    assert batch.run().outcomes == {"flaky": 1, "passed": 1}
    assert story(batch) == "+shared -shared +shared -shared"
