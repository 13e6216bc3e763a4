"""The suites that are run: what stands in their files is made here, and always the same."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

# What decides, while a suite runs, whether its tests that can fail do so; no file has to change for it.
SWITCH = "BENCH_GOOD"
_TRIVIAL = "def test_{number}():\n    assert True\n"
_FAILING = "def test_{number}():\n    order = {{'lines': {number}}}\n    assert order['lines'] < 0 or good\n"
_CAN_FAIL = f"import os\n\ngood = os.environ.get({SWITCH!r})\n\n\n"
_PARAMETRISED = """import pytest


@pytest.mark.parametrize("number", range({tests}))
def test_it(number):
    assert number >= 0
"""
_FIXTURES = """import pytest


@pytest.fixture(scope="package")
def of_package():
    yield 1


@pytest.fixture(scope="module")
def of_module(of_session, of_package):
    yield 2


@pytest.fixture(scope="class")
def of_class(of_module):
    yield 3


@pytest.fixture
def of_function(of_class, tmp_path_factory):
    yield 4


"""
_CLASS = "class TestsOf{number}:\n"
_METHOD = (
    "    def test_{number}(self, of_function, of_class):\n        assert (of_function, of_class) == (4, 3)\n"
)
_UNCOLLECTED = "import gc\n\ngc.disable()\n"
_CONFTEST = """import pytest


@pytest.fixture(scope="session", autouse=True)
def of_session():
    yield 0
"""


@dataclass(frozen=True)
class Workload:
    """A suite: its files, how many tests are in them, and how many of these fail unless `SWITCH` is set."""

    name: str
    tests: int
    failing: int = 0
    files: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    failing_ids: tuple[str, ...] = field(default=(), repr=False, compare=False)

    def write(self, folder: Path) -> None:
        """Put it into a folder, which is a rootdir."""
        folder.mkdir(parents=True)
        for name, text in {"pytest.ini": "[pytest]\n", **self.files}.items():
            (folder / name).write_text(text, "utf-8")


def trivial(tests: int, files: int) -> Workload:
    """Tests that do nothing, in so many files."""
    return with_failures(f"{tests:,} trivial tests in {files} files", tests, files, ())


def failing(tests: int, files: int, one_in: int = 100) -> Workload:
    """As `trivial`, and one test in so many fails."""
    name = f"{tests:,} tests in {files} files, 1 in {one_in} failing"
    return with_failures(name, tests, files, range(one_in - 1, tests, one_in))


def with_failures(
    name: str, tests: int, files: int, bad: tuple[int, ...] | range, prefix: str = "test_file"
) -> Workload:
    """Tests in so many files of one size; those with these numbers fail."""
    size = -(-tests // files)
    texts: dict[str, str] = {}
    ids = []
    for start in range(0, tests, size):
        file = f"{prefix}_{start // size:04d}.py"
        numbers = range(start, min(start + size, tests))
        some = [number for number in numbers if number in bad]
        ids += [f"{file}::test_{number}" for number in some]
        tests_of = [(_FAILING if number in some else _TRIVIAL).format(number=number) for number in numbers]
        texts[file] = (_CAN_FAIL if some else "") + "\n\n".join(tests_of)
    return Workload(name, tests, len(ids), texts, tuple(ids))


def uncollected(suite: Workload) -> Workload:
    """The suite with Python's garbage collector off, for counting instructions.

    Nothing that a plugin leaves of a test need be its cause, and still one full collection more or less among a few
    hundred tests weighs a percent.
    """
    name = f"{suite.name}, garbage not collected"
    return replace(suite, name=name, files={**suite.files, "conftest.py": _UNCOLLECTED})


def parametrised(tests: int) -> Workload:
    """One test with so many parameters."""
    text = _PARAMETRISED.format(tests=tests)
    return Workload(f"{tests:,} parametrised tests in one file", tests, files={"test_it.py": text})


def fixtures(tests: int, size: int = 20) -> Workload:
    """Tests that use fixtures of all scopes: 4 classes of 5 in each file."""
    texts = {"conftest.py": _CONFTEST}
    for start in range(0, tests, size):
        numbers = range(start, min(start + size, tests))
        lines = [
            (_CLASS.format(number=number) if number % 5 == 0 else "") + _METHOD.format(number=number)
            for number in numbers
        ]
        texts[f"test_file_{start // size:04d}.py"] = _FIXTURES + "\n".join(lines)
    return Workload(f"{tests:,} tests with fixtures of all scopes", tests, files=texts)


def one_long_file(functions: int, bad: int) -> Workload:
    """A file of so many functions: a few are tests, which all fail, and the others are not, so that the file is long."""
    name = f"{bad} failing tests in a file of {functions:,} functions"
    text = _CAN_FAIL + "\n\n".join(
        _FAILING.format(number=number)
        if number < bad
        else _TRIVIAL.format(number=number).replace("test_", "helper_")
        for number in range(functions)
    )
    ids = tuple(f"test_it.py::test_{number}" for number in range(bad))
    return Workload(name, bad, bad, {"test_it.py": text}, ids)
