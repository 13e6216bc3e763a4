"""A generated suite in which a phase fails, once or always: files by kind of test, phase and scope."""

from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from textwrap import indent

PHASES = ("setup", "call", "teardown")
SCOPES = ("function", "class", "module", "session")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How a test is written. `group` is the head of its class, empty if it has none; `needs` is a module."""

    group: str = ""
    test: str
    head: str = ""
    needs: str = "pytest"


_METHOD = "def test_{name}(self): cell.body('{name}')"
_COROUTINE = "async def test_{name}(self):\n    await asyncio.sleep(0)\n    cell.body('{name}')"
_SUBTESTS = "with {}: cell.body('{{name}}')\n    with {}: pass"
KINDS = {
    "function": Kind(test="def test_{name}(): cell.body('{name}')"),
    "method": Kind(group="class {group}:", test=_METHOD),
    "unittest": Kind(group="class {group}(unittest.TestCase):", test=_METHOD),
    "subtest": Kind(
        group="class {group}(unittest.TestCase):",
        test="def test_{name}(self):\n    " + _SUBTESTS.format(*["self.subTest()"] * 2),
    ),
    "subtests": Kind(
        group="class {group}:",
        test="def test_{name}(self, subtests):\n    " + _SUBTESTS.format(*["subtests.test()"] * 2),
        needs="_pytest.subtests",
    ),
    "asyncio": Kind(
        group="class {group}:",
        test="@pytest.mark.asyncio\n" + _COROUTINE,
        needs="pytest_asyncio",
    ),
    "anyio": Kind(
        group="class {group}:",
        test="@pytest.mark.anyio\n" + _COROUTINE,
        head="@pytest.fixture(scope='session')\ndef anyio_backend(): return 'asyncio'",
        needs="anyio",
    ),
    "doctest": Kind(test='def {name}():\n    """\n    >>> cell.body("{name}")\n    """'),
}
AVAILABLE = [name for name, kind in KINDS.items() if find_spec(kind.needs) is not None]


@dataclass(frozen=True, slots=True)
class Spot:
    """A test of a cell. `uses` tells whether it asks for the fixture that may fail."""

    name: str
    uses: bool
    group: str = "Test"

    @property
    def is_target(self) -> bool:
        """Whether it is the test that fails when the phase is the call."""
        return self.name == "b_target"


# By name, because unittest and doctest put tests in the order of their names.
_BEFORE = Spot("a_before", uses=False)
_TARGET = Spot("b_target", uses=True)
ARRANGEMENTS = {
    "between": (_BEFORE, _TARGET, Spot("c_after", uses=True)),
    "followed": (_TARGET, Spot("c_after", uses=False)),
    "apart": (_BEFORE, _TARGET, Spot("c_after", uses=False, group="TestOther")),
    "last": (_BEFORE, _TARGET),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A file of the suite: a fixture of `scope` is around its target, and `phase` fails, once or `always`.

    `late`: tests do not name that fixture, it is asked for when those of the test itself are made.
    """

    kind: str
    phase: str
    scope: str
    always: bool
    arrangement: str
    late: bool

    @property
    def name(self) -> str:
        times = "always" if self.always else "once"
        late = "_late" if self.late else ""
        return f"{self.kind}_{self.phase}_{self.scope}_{times}_{self.arrangement}{late}"

    @property
    def file(self) -> str:
        # A file that pytest takes for tests and for doctests would have two collectors.
        return f"{'doc' if self.kind == 'doctest' else 'test'}_{self.name}.py"

    @property
    def spots(self) -> tuple[Spot, ...]:
        return ARRANGEMENTS[self.arrangement]

    def spot(self, name: str) -> Spot:
        """The test of this name."""
        return next(spot for spot in self.spots if spot.name == name)

    @property
    def has_classes(self) -> bool:
        return bool(KINDS[self.kind].group)

    @property
    def is_made_for_each_test(self) -> bool:
        """Whether the scope is the test: for one without a class pytest takes the test for its class."""
        return self.scope == "function" or (self.scope == "class" and not self.has_classes)

    def key(self, spot: Spot) -> str:
        """The key of a test in the ledger."""
        if self.kind == "doctest":
            return f"{self.file}::doc_{self.name}.{spot.name}"
        return "::".join([self.file, *([spot.group] if self.has_classes else []), f"test_{spot.name}"])

    @property
    def source(self) -> str:
        """The text of its file."""
        users = [spot.name for spot in self.spots if spot.uses and self.late]
        lines = [
            "import asyncio, unittest, pytest",
            "from cells import Cell, fixtures",
            f"cell = Cell({self.name!r}, {self.kind!r}, {self.phase!r}, {self.scope!r})",
            f"cell.always, cell.users = {self.always}, {users}",
            "s, m, c, f, x, y, g = fixtures(cell)",
            KINDS[self.kind].head,
        ]
        group = ""
        for spot in self.spots:
            test = KINDS[self.kind].test.format(name=spot.name)
            if spot.uses and not self.late:
                test = f"@pytest.mark.usefixtures('y')\n{test}"
            if self.has_classes and spot.group != group:
                lines.append(KINDS[self.kind].group.format(group=spot.group))
            group = spot.group
            lines.append(indent(test, "    ") if self.has_classes else test)
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class Group:
    """Cells that are looked at together: once and always, in several arrangements."""

    kind: str
    phase: str
    scope: str
    late: bool

    @property
    def cells(self) -> list[Cell]:
        """Methods in every arrangement, the other kinds in the two that differ most."""
        arrangements = ["last"] if self.late else ["between"]
        if self.kind == "doctest":
            arrangements = ["between", "last"]
        elif self.kind == "method":
            arrangements = [*ARRANGEMENTS] if self.late else ["between", "last"]
        return [
            Cell(
                kind=self.kind,
                phase=self.phase,
                scope=self.scope,
                late=self.late,
                always=always,
                arrangement=arrangement,
            )
            for always, arrangement in product((False, True), arrangements)
        ]

    @property
    def ends_with_the_session(self) -> bool:
        """Whether what fails is the end of the session, of which there is but one."""
        return (self.phase, self.scope) == ("teardown", "session")

    def __str__(self) -> str:
        return f"{self.kind}-{self.phase}-{self.scope}{'-late' if self.late else ''}"


# A doctest names no fixtures.
GROUPS = [
    Group(kind, phase, scope, late)
    for kind, phase, scope, late in product(AVAILABLE, PHASES, SCOPES, (False, True))
    if late or kind != "doctest"
]
# The end of a session fails but once, and strikes whatever test is the last: these have their own session.
BEFORE_THE_END = [group for group in GROUPS if not group.ends_with_the_session]
AT_THE_END = [group for group in GROUPS if group.ends_with_the_session]
# In these what fails is, for every kind, the last of its file.
LAST = [group for group in GROUPS if group.late]


# What the files of a suite share. A fixture notes + when it is made, ! when its setup failed, - when it is
# torn down after either. Every test has one of each scope (s m c f) and, when these are there, g; those that
# use it have x, the one that may fail, and y on top of it. For the tests in `users` it is g that asks for y.
_LIBRARY = """
import contextlib, os, pathlib, pytest

NOTES = pathlib.Path(__file__).with_name(f"notes-{os.getpid()}.txt")


class Broken(Exception):
    pass


def note(*words):
    with NOTES.open("a") as notes:
        print(*words, file=notes)


class Cell:
    def __init__(self, name, kind, phase, scope):
        self.name, self.kind, self.phase, self.scope = name, kind, phase, scope
        self.has_failed = False

    def note(self, *words):
        note(self.name, *words)

    @contextlib.contextmanager
    def noted(self, fixture, request):
        test = name_of(request.node) if isinstance(request.node, pytest.Item) else ""
        self.note(f"+{fixture}", test)
        yield
        self.note(f"-{fixture}", test)

    def may_fail(self, phase):
        if phase == self.phase and (self.always or not self.has_failed):
            self.has_failed = True
            raise Broken(phase)

    def body(self, test):
        self.note("body", test)
        if test == "b_target":
            self.may_fail("call")


def name_of(item):
    return item.name.rpartition(".")[2].removeprefix("test_")


def fixtures(cell):
    @pytest.fixture(scope="session", autouse=True)
    def s(request):
        with cell.noted("s", request):
            yield

    @pytest.fixture(scope="module", autouse=True)
    def m(s, request):
        with cell.noted("m", request):
            yield

    @pytest.fixture(scope="class", autouse=True)
    def c(m, request):
        with cell.noted("c", request):
            yield

    @pytest.fixture(autouse=True)
    def f(c, request):
        with cell.noted("f", request):
            yield

    @pytest.fixture(scope=cell.scope)
    def y(x):
        cell.note("+y")
        yield
        cell.note("-y")

    @pytest.fixture(autouse=True)
    def g(f, request):
        if name_of(request.node) in cell.users:
            request.getfixturevalue("y")
        with cell.noted("g", request):
            yield

    return s, m, c, f, the_one_that_may_fail(cell), y, g


def the_one_that_may_fail(cell):
    async def x():
        try:
            cell.may_fail("setup")
        except Broken:
            cell.note("!x")
            cell.note("-x")
            raise
        cell.note("+x")
        yield
        cell.note("-x")
        cell.may_fail("teardown")

    if cell.kind == "anyio":
        return pytest.fixture(scope=cell.scope)(x)
    if cell.kind == "asyncio":
        import pytest_asyncio
        return pytest_asyncio.fixture(scope=cell.scope, loop_scope=cell.scope)(x)

    @pytest.fixture(scope=cell.scope)
    def x(request):
        def end():
            cell.note("-x")
            cell.may_fail("teardown")

        request.addfinalizer(end)
        try:
            cell.may_fail("setup")
        except Broken:
            cell.note("!x")
            raise
        cell.note("+x")

    return x
"""

# Each attempt notes that it begins.
_CONFTEST = """
import pytest
from cells import name_of, note

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    note(item.path.stem.partition("_")[2], "begin", name_of(item))
"""

# A session for each file would take minutes. To whoever runs a test, the session ends where no test follows.
_MANY_ENDS = """
def pytest_runtestloop(session):
    for item, following in zip(session.items, [*session.items[1:], None]):
        is_last = following is None or following.path != item.path
        item.ihook.pytest_runtest_protocol(item=item, nextitem=None if is_last else following)
    return True
"""


def files(groups: list[Group], *, many_ends: bool) -> dict[str, str]:
    """The suite that consists of these groups. With `many_ends` each file ends as a session does."""
    cells = {cell.file: cell.source for group in groups for cell in group.cells}
    return {"cells.py": _LIBRARY, "conftest.py": _CONFTEST + (_MANY_ENDS if many_ends else ""), **cells}


def arguments() -> list[str]:
    """What pytest is called with to run a suite; not with its files: to find each it would visit all."""
    plugins = [one for name in ("asyncio", "anyio") if name in AVAILABLE for one in ("-p", name)]
    return [*plugins, "--doctest-modules", "--retries", "2", "-q", "--tb", "native"]
