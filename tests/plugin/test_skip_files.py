"""A file whose tests are all carried over is not imported, unless anything speaks against it."""

from collections.abc import Callable, Generator
from types import SimpleNamespace

import pytest

from .harness import Batch, Result

# Each file notes that it is imported.
PLAIN = "from steps import step\nstep(__name__)\ndef test_a(): pass\ndef test_b(): pass\n"
OPEN = "from steps import step\nstep(__name__)\ndef test_bad(): assert step('bad') > 1\n"
FILES = {"test_done.py": PLAIN, "sub/test_deep.py": PLAIN, "test_open.py": OPEN}


def imported(batch: Batch) -> list[str]:
    """The files that were imported since the last `forget`."""
    return sorted({step for step in batch.steps if step.startswith("test_")})


def made(pytester: pytest.Pytester, files: dict[str, str] | None = None, *args: str) -> Batch:
    """A suite after its first run, with no steps noted."""
    batch = Batch(pytester, FILES if files is None else files)
    pytester.syspathinsert(batch.root)
    batch.run(*args)
    batch.forget()
    return batch


def resumed(batch: Batch, *args: str, plugins: tuple[object, ...] = ()) -> Result:
    """A resume of the newest run, with no steps noted before."""
    batch.forget()
    return batch.run("--resume-failed", *args, plugins=plugins)


# -- what is not imported, and what is said of it


def test_a_file_is_imported_only_if_something_of_it_is_left(pytester: pytest.Pytester) -> None:
    batch = made(pytester)
    run = resumed(batch)
    assert imported(batch) == ["test_open"]
    assert batch.started == ["test_bad"]
    assert (run.status, run.outcomes) == (1, {"failed": 1, "carried_over": 4})
    assert "collected 1 item\nresilience: 4 carried over, 1 to run, 2 files not imported\n" in run.text
    assert run.last_line == "1 failed, 4 carried over"


def test_a_resume_of_a_complete_run_imports_nothing_and_is_green(pytester: pytest.Pytester) -> None:
    batch = made(
        pytester, {f"test_{number}.py": PLAIN for number in range(20)} | {"test_none.py": "import steps"}
    )
    for _ in range(3):
        run = resumed(batch)
        assert not batch.steps
        assert (run.status, run.outcomes) == (0, {"carried_over": 40})
        assert "resilience: 40 carried over, 0 to run, 21 files not imported\n" in run.text
        assert run.line("COMPLETE")
        assert batch.past.run.selected_total == 40


@pytest.mark.invariant(12)
def test_a_chain_of_resumes_knows_all_the_tests_at_its_end(pytester: pytest.Pytester) -> None:
    batch = made(
        pytester, FILES | {"test_open.py": OPEN.replace("> 1", "> 0") + "def test_worse(): assert 0"}
    )
    keys = {one.key for one in batch.past.knowledge}
    assert len(keys) == 6
    for _ in range(3):
        assert resumed(batch).outcomes == {"failed": 1, "carried_over": 5}
        assert {one.key for one in batch.past.knowledge} == keys
        assert imported(batch) == ["test_open"]


def test_what_a_file_needs_that_is_not_imported_is_not_needed(pytester: pytest.Pytester) -> None:
    needy = "import pytest, helper\ndef test_a(fixture_of_the_suite): pass"
    conftest = "import pytest\n@pytest.fixture\ndef fixture_of_the_suite(): import helper"
    batch = made(pytester, {"sub/conftest.py": conftest, "sub/test_a.py": needy, "helper.py": ""})
    (batch.root / "helper.py").unlink()
    assert resumed(batch).outcomes == {"carried_over": 1}


def test_the_setting_switches_it_off(pytester: pytest.Pytester) -> None:
    batch = made(pytester, FILES | {"pyproject.toml": "[tool.resilience.resume]\nskip-files = false\n"})
    run = resumed(batch)
    assert imported(batch) == ["test_deep", "test_done", "test_open"]
    assert run.outcomes == {"failed": 1, "carried_over": 4}
    assert "not imported" not in run.text


@pytest.mark.parametrize(
    "flags", [["--ff"], ["--nf"], ["-v"], ["--maxfail=1"], ["--tb=no"], ["-p", "no:randomly"]]
)
def test_what_leaves_out_no_test_does_not_matter(pytester: pytest.Pytester, flags: list[str]) -> None:
    batch = made(pytester)
    assert resumed(batch, *flags).outcomes == {"failed": 1, "carried_over": 4}
    assert imported(batch) == ["test_open"]


def test_paths_leave_files_out_and_not_tests(pytester: pytest.Pytester) -> None:
    batch = made(pytester)
    run = resumed(batch, "sub", "test_done.py")
    assert not imported(batch)
    assert (run.status, run.outcomes) == (1, {"carried_over": 4})
    assert run.line("OPEN").startswith("1 test")
    assert resumed(batch).outcomes == {"failed": 1, "carried_over": 4}
    assert imported(batch) == ["test_open"]


def test_gone_tests_are_told_of_imported_files_and_of_no_others(pytester: pytest.Pytester) -> None:
    batch = made(pytester, FILES | {"test_open.py": OPEN + "def test_gone(): assert 0"})
    batch.write({"test_open.py": OPEN})
    run = resumed(batch)
    assert run.line("GONE") == "1 test - RES504 resume-tests-changed: test_open.py::test_gone"
    assert imported(batch) == ["test_open"]


# -- what is not made of a file with something left

MIXED = """
import pytest
from steps import step

step(__name__)

def test_good(): pass

def test_bad(): assert step("bad") > 1

@pytest.mark.parametrize("n", range(3))
def test_all_good(n): pass

@pytest.mark.parametrize("n", ["x", "y::z[]"])
def test_some_good(n): assert n == "x" or step("y") > 1

class TestDone:
    def test_one(self): pass
    def test_two(self): pass

class TestMixed:
    def test_good(self): pass
    def test_bad(self): assert step("worse") > 1
"""


class Made:
    """Which items were made."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        self.names.append(item.nodeid.partition("::")[2])


NEEDED = ["test_bad", "test_some_good[x]", "test_some_good[y::z[]]", "TestMixed::test_bad"]


@pytest.mark.invariant(12)
def test_of_a_file_with_something_left_only_that_is_made(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, {"test_mixed.py": MIXED})
    before = Made()
    assert batch.run(plugins=(before,)).outcomes == {"passed": 8, "failed": 3}
    items = Made()
    run = batch.run("--resume-failed", plugins=(items,))
    assert items.names == NEEDED
    assert (run.status, run.outcomes) == (0, {"passed": 3, "carried_over": 8})
    assert "collected 4 items\nresilience: 8 carried over, 3 to run\n" in run.text
    assert {one.key.partition("::")[2] for one in batch.past.knowledge} == set(before.names)
    batch.forget()
    assert batch.run("--resume-failed").outcomes == {"carried_over": 11}
    assert not batch.steps


@pytest.mark.parametrize(
    "files",
    [
        {"pyproject.toml": "[tool.resilience.resume]\nskip-files = false\n"},
        {"conftest.py": "def pytest_pycollect_makeitem(collector, name, obj): pass"},
    ],
    ids=["it is switched off", "a plugin may make other names of a name"],
)
def test_all_items_are_made_where_it_is_not_known_which_these_are(
    pytester: pytest.Pytester, files: dict[str, str]
) -> None:
    batch = Batch(pytester, {"test_mixed.py": MIXED} | files)
    batch.run()
    items = Made()
    assert batch.run("--resume-failed", plugins=(items,)).outcomes == {"passed": 3, "carried_over": 8}
    assert len(items.names) == 11


def test_all_items_of_a_changed_file_are_made(pytester: pytest.Pytester) -> None:
    batch = Batch(pytester, {"test_mixed.py": MIXED})
    batch.run()
    batch.write({"test_mixed.py": MIXED + "def test_new(): pass"})
    items = Made()
    assert batch.run("--resume-failed", plugins=(items,)).outcomes == {"passed": 12}
    assert len(items.names) == 12


def test_all_items_are_made_to_carry_what_is_outdated(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester, {"test_mixed.py": MIXED, "pyproject.toml": "[tool.resilience.resume]\nstale = 'carry'\n"}
    )
    batch.run()
    batch.write({"test_mixed.py": MIXED + "def test_worse(): assert 0"})
    assert batch.run("--resume-failed").outcomes == {"passed": 3, "failed": 1, "carried_over": 8}
    items = Made()
    assert batch.run("--resume-failed", plugins=(items,)).outcomes == {"failed": 1, "carried_over": 11}
    assert len(items.names) == 12


def test_a_new_test_in_a_file_of_which_not_all_was_made_makes_it_be_imported(
    pytester: pytest.Pytester,
) -> None:
    """Parameters from elsewhere: what is new of a function that is made runs, and its file is known whole no more."""
    file = (
        "import pathlib, pytest\nfrom steps import step\nstep(__name__)\n"
        "def test_good(): pass\n"
        "@pytest.mark.parametrize('n', pathlib.Path('numbers').read_text().split())\n"
        "def test_n(n): assert n != 'bad' or step('bad') > 1\n"
    )
    batch = Batch(pytester, {"test_it.py": file, "numbers": "1 bad"})
    batch.run()
    batch.write({"numbers": "1 bad 3"})
    assert batch.run("--resume-failed").outcomes == {"passed": 2, "carried_over": 2}
    assert resumed(batch).outcomes == {"carried_over": 4}
    assert imported(batch) == ["test_it"]


def test_a_file_of_the_same_name_elsewhere_is_made_in_full(pytester: pytest.Pytester) -> None:
    batch = made(
        pytester,
        {
            "inside/test_open.py": OPEN + "def test_a(): pass",
            "outside/test_open.py": "def test_a(): assert 0",
        },
    )
    root = ("--rootdir", batch.root / "inside", "--import-mode=importlib")
    batch.run(*root, "inside/test_open.py", "--resilience-dir", batch.root / "ledger")
    outside = pytester.path / "outside"
    run = batch.run(
        "--resume-failed", *root, "inside/test_open.py", outside, "--resilience-dir", batch.root / "ledger"
    )
    assert run.outcomes == {"passed": 1, "failed": 1, "carried_over": 1}


# -- what narrows today


@pytest.mark.parametrize(
    ("flags", "carried"),
    [
        (["-k", "test_a or test_bad"], 2),
        (["-m", "not slow"], 4),
        (["--deselect", "test_done.py::test_a"], 3),
        (["--lf"], None),
        (["--sw"], None),
        (["test_done.py::test_a", "sub", "test_open.py"], 3),
    ],
)
def test_a_session_that_leaves_out_tests_imports_what_it_collects(
    pytester: pytest.Pytester, flags: list[str], carried: int | None
) -> None:
    batch = made(pytester)
    run = resumed(batch, *flags)
    if carried is None:
        assert "not imported" not in run.text
    else:
        assert imported(batch) == ["test_deep", "test_done", "test_open"]
        assert run.outcomes == {"failed": 1, "carried_over": carried}


def test_a_test_that_is_named_is_found(pytester: pytest.Pytester) -> None:
    batch = made(pytester)
    run = resumed(batch, "test_done.py::test_a")
    assert "not found" not in run.text
    assert run.outcomes == {"carried_over": 1}


def test_collecting_alone_shows_all_tests(pytester: pytest.Pytester) -> None:
    batch = made(pytester)
    resumed(batch, "--collect-only")
    assert imported(batch) == ["test_deep", "test_done", "test_open"]


# -- what narrowed then


@pytest.mark.parametrize(
    "flags",
    [["-k", "test_a"], ["-m", "not slow"], ["--deselect", "test_done.py::test_b"], ["test_done.py::test_a"]],
    ids=str,
)
def test_of_a_file_that_was_collected_in_part_the_rest_is_looked_for(
    pytester: pytest.Pytester, flags: list[str]
) -> None:
    files = {
        "test_done.py": "import pytest\n" + PLAIN.replace("def test_b", "@pytest.mark.slow\ndef test_b"),
        "pytest.ini": "[pytest]\nmarkers = slow",
    }
    batch = made(pytester, files, *flags)
    assert list(batch.tests) == ["test_a"]
    # -k and -m are taken over unless something else is typed.
    everything = {"-k": ["-k", "test"], "-m": ["-m", "slow or not slow"]}.get(flags[0], ["test_done.py"])
    assert resumed(batch, *everything).outcomes == {"passed": 1, "carried_over": 1}


def test_an_option_that_was_typed_then_and_is_not_today_leaves_nothing_out(pytester: pytest.Pytester) -> None:
    batch = made(pytester, {"test_done.py": PLAIN}, "--deselect", "test_done.py::test_b")
    assert resumed(batch).outcomes == {"passed": 1, "carried_over": 1}
    assert resumed(batch).outcomes == {"carried_over": 2}
    assert not imported(batch)


@pytest.mark.parametrize("is_told", [True, False])
def test_what_a_plugin_leaves_out_is_looked_for(pytester: pytest.Pytester, is_told: bool) -> None:
    class Chooser:
        def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
            if is_told:
                config.hook.pytest_deselected(items=items[1:])
            del items[1:]

    batch = Batch(pytester, {"test_done.py": PLAIN})
    assert batch.run(plugins=(Chooser(),)).outcomes == {"passed": 1}
    assert resumed(batch).outcomes == {"passed": 1, "carried_over": 1}


def test_what_a_plugin_leaves_out_while_a_file_is_collected_is_looked_for(pytester: pytest.Pytester) -> None:
    class Chooser:
        @pytest.hookimpl(wrapper=True)
        def pytest_make_collect_report(
            self, collector: pytest.Collector
        ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
            report = yield
            if isinstance(collector, pytest.File):
                collector.ihook.pytest_deselected(items=report.result[1:])
                del report.result[1:]
            return report

    batch = Batch(pytester, {"test_done.py": PLAIN})
    assert batch.run(plugins=(Chooser(),)).outcomes == {"passed": 1}
    assert resumed(batch).outcomes == {"passed": 1, "carried_over": 1}


def test_what_a_plugin_puts_in_speaks_for_no_file(pytester: pytest.Pytester) -> None:
    class Doubler:
        def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
            more = pytest.Function.from_parent(items[0].parent, name="test_more", callobj=lambda: None)
            items.append(more)

    batch = Batch(pytester, {"test_done.py": PLAIN})
    assert batch.run(plugins=(Doubler(),)).outcomes == {"passed": 3}
    resumed(batch)
    assert imported(batch) == ["test_done"]


def test_a_run_with_lf_knows_no_file_whole(pytester: pytest.Pytester) -> None:
    """It takes tests out of what a file gives, and tells nobody."""
    batch = Batch(
        pytester, "from steps import step\ndef test_bad(): assert step('bad') > 1\ndef test_other(): pass"
    )
    assert batch.run().outcomes == {"passed": 1, "failed": 1}
    assert batch.run("--lf").outcomes == {"passed": 1}
    assert batch.run("--resume-failed").outcomes == {"passed": 1, "carried_over": 1}


# -- what is not good, or not as it was


OTHER = PLAIN.replace("test_b", "test_c")
CHANGES: dict[str, Callable[[Batch], object]] = {
    "the file": lambda batch: batch.write({"test_done.py": OTHER}),
    "a conftest": lambda batch: batch.write({"conftest.py": "x = 1"}),
    "the ini file": lambda batch: batch.write({"pytest.ini": "[pytest]\npython_functions = test_* check_*"}),
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("stale", ["run", "carry", "warn"])
def test_a_file_is_imported_when_anything_changed_that_says_which_tests_it_has(
    pytester: pytest.Pytester, what: str, stale: str
) -> None:
    batch = made(
        pytester,
        {
            "test_done.py": PLAIN,
            "pytest.ini": "[pytest]\n",
            "pyproject.toml": f"[tool.resilience.resume]\nstale = '{stale}'",
        },
    )
    CHANGES[what](batch)
    assert resumed(batch).status == 0
    assert imported(batch) == ["test_done"]
    resumed(batch)
    # What is carried though its file changed is looked at each time.
    assert imported(batch) == (["test_done"] if what != "the ini file" and stale != "run" else [])


def test_a_new_test_in_a_changed_file_runs_though_the_others_are_carried(pytester: pytest.Pytester) -> None:
    batch = made(
        pytester, {"test_done.py": PLAIN, "pyproject.toml": "[tool.resilience.resume]\nstale = 'carry'"}
    )
    batch.write({"test_done.py": PLAIN + "def test_new(): assert 0"})
    for _ in range(2):
        assert resumed(batch).outcomes == {"failed": 1, "carried_over": 2}


def test_a_file_that_changed_while_only_some_of_it_ran_is_not_known_whole(pytester: pytest.Pytester) -> None:
    """All its tests that are known passed with what it holds today; that there is another one nobody has seen."""
    batch = made(pytester, {"test_done.py": PLAIN})
    batch.write({"test_done.py": PLAIN + "def test_new(): assert 0"})
    assert batch.run("--resume-failed", "test_done.py::test_a", "test_done.py::test_b").outcomes == {
        "passed": 2
    }
    run = resumed(batch, "test_done.py")
    assert (run.status, run.outcomes) == (1, {"failed": 1, "carried_over": 2})


@pytest.mark.parametrize(
    "flag", ["--doctest-modules", "--import-mode=importlib", "-o python_functions=test", "--random-cases"]
)
def test_other_options_can_mean_other_tests(pytester: pytest.Pytester, flag: str) -> None:
    conftest = "def pytest_addoption(parser): parser.addoption('--random-cases', action='store_true')"
    batch = made(
        pytester,
        {"test_done.py": f'{PLAIN}def f():\n    """\n    >>> 1\n    1\n    """\n', "conftest.py": conftest},
    )
    assert not imported(batch)
    run = resumed(batch, *flag.split())
    assert imported(batch) == ["test_done"]
    assert run.outcomes == {"carried_over": 2} | ({"passed": 1} if "doctest" in flag else {})
    run = resumed(batch, *flag.split())
    assert not imported(batch)
    assert run.status == 0


def test_another_plugin_or_another_state_of_it_can_mean_other_tests(pytester: pytest.Pytester) -> None:
    batch = made(pytester, {"test_done.py": PLAIN, "more_tests.py": ""})
    for content in ("", "x = 1"):
        batch.write({"more_tests.py": content})
        resumed(batch, "-p", "more_tests")
        assert imported(batch) == ["test_done"]
        resumed(batch, "-p", "more_tests")
        assert not imported(batch)


@pytest.mark.parametrize("what", ["pytest", "Python", "a plugin"])
def test_another_version_can_mean_other_tests(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    class Upgraded:
        def pytest_configure(self, config: pytest.Config) -> None:
            other = (self, SimpleNamespace(project_name="pytest-other", version="2"))
            found = [*config.pluginmanager.list_plugin_distinfo(), other]
            monkeypatch.setattr(config.pluginmanager, "list_plugin_distinfo", lambda: found)

    batch = made(pytester, {"test_done.py": PLAIN})
    if what == "pytest":
        monkeypatch.setattr("pytest.__version__", "99.0")
    elif what == "Python":
        monkeypatch.setattr("platform.python_version", lambda: "3.99.0")
    resumed(batch, plugins=(Upgraded(),) if what == "a plugin" else ())
    assert imported(batch) == ["test_done"]


def test_what_cannot_be_compared_can_mean_other_tests(pytester: pytest.Pytester) -> None:
    conftest = """
        class Odd:
            def __repr__(self): raise RuntimeError("odd")

        def pytest_configure(config): config.option.odd = Odd()
    """
    batch = made(pytester, {"conftest.py": conftest, "test_done.py": PLAIN})
    assert resumed(batch).outcomes == {"carried_over": 2}
    assert imported(batch) == ["test_done"]


def test_a_held_test_keeps_its_file(pytester: pytest.Pytester) -> None:
    batch = made(pytester, {"test_killer.py": PLAIN})
    batch.kill_during("test_b")
    batch.run("--resume-failed")
    batch.kill_during("test_b")
    run = resumed(batch)
    assert imported(batch) == ["test_killer"]
    assert run.outcomes == {"crashed": 1, "carried_over": 1}


@pytest.mark.invariant(11)
@pytest.mark.parametrize("damaged", ["tests.jsonl", "carry.jsonl", "segment"])
def test_of_a_damaged_run_every_file_is_imported(pytester: pytest.Pytester, damaged: str) -> None:
    """What is missing may be a test of the file."""
    batch = made(pytester)
    assert resumed(batch).outcomes == {"failed": 1, "carried_over": 4}
    path = batch.segment() if damaged == "segment" else batch.newest.path / damaged
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([b"#" + lines[0], *lines[1:]]))
    resumed(batch)
    assert imported(batch) == ["test_deep", "test_done", "test_open"]


# -- files that are not like others


def test_a_file_that_failed_to_be_collected_in_part_is_not_whole(pytester: pytest.Pytester) -> None:
    conftest = """
        import pathlib, pytest

        class Broken(pytest.Class):
            def collect(self):
                if not pathlib.Path("mended").exists():
                    raise self.CollectError("broken")
                return super().collect()

        def pytest_pycollect_makeitem(collector, name, obj):
            if name == "TestBroken":
                return Broken.from_parent(collector, name=name)
    """
    file = PLAIN + "class TestBroken:\n    def test_c(self): assert 0"
    batch = made(pytester, {"conftest.py": conftest, "test_done.py": file}, "--continue-on-collection-errors")
    (batch.root / "mended").touch()
    run = resumed(batch, "--continue-on-collection-errors")
    assert (run.status, run.outcomes) == (1, {"failed": 1, "carried_over": 2})


def test_a_file_that_was_skipped_as_a_whole_is_looked_at_again(pytester: pytest.Pytester) -> None:
    skipping = "import pathlib, pytest\nif not pathlib.Path('there').exists(): pytest.skip('no', allow_module_level=True)\n"
    batch = made(pytester, {"test_skipped.py": f"{skipping}{PLAIN}", "test_done.py": PLAIN})
    (batch.root / "there").touch()
    assert resumed(batch).outcomes == {"passed": 2, "carried_over": 2}


def test_tests_in_the_init_of_a_package_doctests_and_unittests_are_like_others(
    pytester: pytest.Pytester,
) -> None:
    unit = "import unittest\nfrom steps import step\nstep(__name__)\nclass Case(unittest.TestCase):\n    def test_u(self): pass\n"
    batch = made(
        pytester,
        {
            "pytest.ini": "[pytest]\npython_files = test_*.py __init__.py\n",
            "package/__init__.py": PLAIN,
            "package/test_in.py": PLAIN,
            "test_unit.py": unit,
            "test_text.txt": ">>> 1\n1\n",
            "shop_code.py": '"""\n>>> 1\n1\n"""\nfrom steps import step\nstep("test_code")\n',
        },
        "--doctest-modules",
    )
    assert batch.past.run.counts().total() == 7
    run = resumed(batch, "--doctest-modules")
    assert not imported(batch)
    assert (run.status, run.outcomes) == (0, {"carried_over": 7})
    batch.write({"test_text.txt": ">>> 1\n2\n"})
    assert resumed(batch, "--doctest-modules").outcomes == {"failed": 1, "carried_over": 6}


YAML = """
    import pytest
    from steps import step

    def pytest_collect_file(parent, file_path):
        if file_path.suffix == ".yaml":
            return Yaml.from_parent(parent, path=file_path)

    class Yaml(pytest.File):
        def collect(self):
            step("test_yaml")
            for name in self.path.read_text().split():
                yield Case.from_parent(self, name=name)

    class Case(pytest.Item):
        def runtest(self):
            assert "bad" not in self.name
"""


def test_collectors_of_others_are_left_alone_like_files_of_python(pytester: pytest.Pytester) -> None:
    batch = made(pytester, {"conftest.py": YAML, "cases.yaml": "one two", "more.yaml": "bad good"})
    assert resumed(batch).outcomes == {"failed": 1, "carried_over": 3}
    assert batch.steps.count("test_yaml") == 1
    batch.write({"cases.yaml": "one two bad"})
    assert resumed(batch).outcomes == {"passed": 2, "failed": 2, "carried_over": 1}


def test_items_that_say_they_are_of_another_file_make_none_whole(pytester: pytest.Pytester) -> None:
    conftest = YAML.replace(
        "from_parent(self, name=name)", "from_parent(self, name=name, nodeid=f'else.yaml::{name}')"
    )
    batch = made(pytester, {"conftest.py": conftest, "cases.yaml": "one two", "else.yaml": "three"})
    assert batch.past.run.counts().total() == 3
    run = resumed(batch)
    assert batch.steps.count("test_yaml") == 2
    assert run.outcomes == {"carried_over": 3}


def test_a_file_outside_of_the_rootdir_is_not_taken_for_one_of_the_same_name(
    pytester: pytest.Pytester,
) -> None:
    outside = pytester.path / "outside"
    batch = made(pytester, {"inside/test_done.py": PLAIN, "outside/test_done.py": "def test_a(): assert 0"})
    root = (
        "--rootdir",
        batch.root / "inside",
        "--import-mode=importlib",
        "--resilience-dir",
        batch.root / "ledger",
    )
    batch.run(*root, "inside/test_done.py")
    batch.forget()
    run = batch.run("--resume-failed", *root, "inside/test_done.py", outside)
    assert not imported(batch)
    assert run.outcomes == {"failed": 1, "carried_over": 2}


def test_a_file_that_is_collected_twice_is_imported(pytester: pytest.Pytester) -> None:
    twice = ("--keep-duplicates", "test_done.py", "test_done.py")
    batch = made(pytester, {"test_done.py": PLAIN}, *twice)
    assert list(batch.tests) == ["test_a", "test_b", "test_a #2", "test_b #2"]
    assert resumed(batch, *twice).outcomes == {"carried_over": 4}
    assert imported(batch) == ["test_done"]
    assert resumed(batch, "--keep-duplicates", "test_done.py").outcomes == {"carried_over": 2}
