"""Every module has a place in the rings, imports go inwards only, and pytest is known at the rim alone."""

import ast
import functools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import pytest_resilience

PACKAGE = "pytest_resilience"
ROOT = Path(pytest_resilience.__file__).parent

# From the innermost ring outwards; a family may import itself and what is further in, never its neighbours.
# A new module gets its place here.
RINGS: tuple[dict[str, str], ...] = (
    {"": "__init__", "imports": ""},
    {
        "core": "__init__ budget codes deaths errors facts fingerprints globs keys layers liveness outcomes "
        "poison redaction resume retry run shares stacks thresholds tolerance vocabularies whole"
    },
    {
        "ledger": "__init__ contents disk final forks frequent holders lines locks machine members memory places portions "
        "reading redaction retention runinfo runs seal segments sizes stacks watched",
        "reports": "__init__ plan stored summary",
    },
    {"settings": "__init__ options pyproject resolved tables values", "history": "", "hookspecs": ""},
    {
        "hooks": "__init__ activity allowance arrivals attempt attempts belonging board children choice collecting conditions "
        "crashes deferred ends explain guard guarded handover inquiry internals interruption interrupts journal last_words "
        "lastfailed lifeline limits listeners markers messages owner poisoned policies processes recording redaction "
        "redistribution registered repeated rerunfailures rescheduling resuming rivals selection serial session "
        "shards signals spared stacks statuses subtests supervision terminal timeouts verdicts visible waiting "
        "watchdog worker workers xdist_ends xdist_internals xdist_repairs xdist_worker",
        "cli": "",
    },
    {"plugin": ""},
)
RING_OF = {family: ring for ring, families in enumerate(RINGS) for family in families}
PLACES = frozenset(
    ".".join(part for part in (PACKAGE, family, module) if part and part != "__init__")
    for families in RINGS
    for family, modules in families.items()
    for module in modules.split() or [""]
)

MAY_IMPORT_PYTEST = {"plugin", "hookspecs", "hooks"}
PYTEST_ITSELF = {"pytest", "pluggy"}
INTERNALS = f"{PACKAGE}.hooks.internals"
PRIVATE_OR_OPTIONAL = {"_pytest", "xdist"}
LOCKS = f"{PACKAGE}.ledger.locks"
# What core may use: nothing here knows the time, chance, the disk, or another process.
FOR_CORE = {
    "array",
    "collections",
    "dataclasses",
    "difflib",
    "enum",
    "fractions",
    "functools",
    "hashlib",
    "itertools",
    "math",
    "re",
    "typing",
}


@dataclass(frozen=True)
class Import:
    """One import statement, with the module that it stands in and whether it is carried out when that is imported."""

    where: str
    line: int
    what: str
    is_at_once: bool

    @property
    def top(self) -> str:
        return self.what.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.where}:{self.line} imports {self.what}"


def family_of(module: str) -> str:
    """The folder or, outside of folders, the module that stands for the family."""
    return module.partition(".")[2].partition(".")[0]


# The text of each file, by its path below the package folder.
Sources = dict[str, str]


def sources_in(root: Path) -> Sources:
    """The Python files below a package folder."""
    return {path.relative_to(root).as_posix(): path.read_text("utf-8") for path in root.rglob("*.py")}


def module_of(file: str) -> str:
    """The full name of the module that a file holds."""
    parts = [PACKAGE, *file.removesuffix(".py").split("/")]
    return ".".join(part for part in parts if part != "__init__")


# The checks themselves are tested with many copies of the package, of which one file is new.
parsed = functools.cache(ast.parse)


def imports_of(file: str, text: str, known: set[str]) -> Iterator[Import]:
    """All imports of a file, those for type checkers and those in functions included."""
    tree = parsed(text)
    module = module_of(file)
    package = module if file.endswith("__init__.py") else module.rpartition(".")[0]
    at_once = set(_run_at_once(tree))
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                targets = [alias.name for alias in names]
            case ast.ImportFrom(module=base, names=names, level=level):
                if level:
                    above = package.split(".")[: len(package.split(".")) - level + 1]
                    base = ".".join([*above, *([base] if base else [])])
                targets = [
                    f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else str(base)
                    for alias in names
                ]
            case (
                ast.Call(func=ast.Name(id="__import__")) | ast.Call(func=ast.Attribute(attr="import_module"))
            ):
                targets = ["what is named at run time"]
            case ast.Call(func=ast.Name(id="import_module")):
                targets = ["what is named at run time"]
            case _:
                continue
        for target in targets:
            yield Import(module, node.lineno, target, node in at_once)


def _run_at_once(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield other
                yield from _run_at_once(other)
            continue
        yield child
        yield from _run_at_once(child)


def violations(sources: Sources) -> list[str]:
    """What is wrong with a package, one sentence each."""
    modules = {module_of(file) for file in sources}
    found = [f"{module} has no place in the rings" for module in sorted(modules - PLACES)]
    found += [f"{module} has a place, and does not exist" for module in sorted(PLACES - modules)]
    for file, text in sorted(sources.items()):
        if not (ast.get_docstring(parsed(text)) or "").strip():
            found.append(f"{module_of(file)} has no docstring")
        for one in imports_of(file, text, modules):
            found += [f"{one}: {why}" for why in _wrong_with(one)]
    return found


def _wrong_with(one: Import) -> Iterator[str]:
    family = family_of(one.where)
    if one.what == "what is named at run time":
        yield "nobody can see whether it may"
        return
    if one.top == PACKAGE:
        target = family_of(one.what)
        ring, own = RING_OF.get(target), RING_OF.get(family)
        if target == family or ring is None or own is None:
            return
        if ring == own:
            yield "a neighbour in the same ring"
        if ring > own:
            yield "further out"
        return
    if one.top in PYTEST_ITSELF and family not in MAY_IMPORT_PYTEST:
        yield "pytest is known at the rim only"
    if one.top in PRIVATE_OR_OPTIONAL and one.where != INTERNALS:
        yield "only the internals may"
    if one.top == "filelock" and one.where != LOCKS:
        yield "only ledger.locks may"
    if one.top == "filelock" and one.is_at_once:
        yield "it takes long, so not before it is needed"
    if one.top not in {*sys.stdlib_module_names, *PYTEST_ITSELF, *PRIVATE_OR_OPTIONAL, "filelock"}:
        yield "we do not depend on that"
    if family == "core" and one.top not in FOR_CORE:
        yield "core is plain Python without clock, chance or disk"


# What changes something on the disk: methods of a path, and modules that do it by any of their functions.
OF_PATH = "chmod hardlink_to mkdir open rename rmdir symlink_to touch unlink write_bytes write_text"
OF_OS = f"{OF_PATH} fchmod fdatasync fsync ftruncate link makedirs remove replace symlink truncate write"
DISKS = {"disk", "DISK", "self._disk"}


def past_the_disk(sources: Sources) -> Iterator[str]:
    """What changes the disk in the ledger without the `Disk`, where tests fail it and kill at every call."""
    for file, text in sources.items():
        if not file.startswith("ledger/") or file == "ledger/disk.py":
            continue
        for node in ast.walk(parsed(text)):
            match node:
                case ast.Call(func=ast.Attribute(value=owner, attr=name)):
                    by = ast.unparse(owner)
                    if name in (OF_OS if by == "os" else OF_PATH).split() and by not in DISKS:
                        yield f"{file}: {by}.{name}"
                case ast.Call(func=ast.Name(id="open" as name)) | ast.Name(id="shutil" | "fcntl" as name):
                    yield f"{file}: {name}"


SOURCES = sources_in(ROOT)


def test_the_package_is_in_order() -> None:
    assert violations(SOURCES) == []


def test_the_ledger_changes_the_disk_by_calls_that_tests_can_replace() -> None:
    assert list(past_the_disk(SOURCES)) == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("path.mkdir(0o700)", "path.mkdir"),
        ("os.replace(old, new)", "os.replace"),
        ("with open(path) as file: pass", "open"),
        ("shutil.rmtree(path)", "shutil"),
        ("fcntl.flock(fd, 2)", "fcntl"),
    ],
)
def test_a_planted_call_past_the_disk_is_found(text: str, what: str) -> None:
    assert list(past_the_disk(planted("ledger/runs.py", text))) == [f"ledger/runs.py: {what}"]


def test_the_checks_see_imports_wherever_they_stand() -> None:
    modules = {module_of(file) for file in SOURCES}
    seen = [one for file, text in SOURCES.items() for one in imports_of(file, text, modules)]
    assert {INTERNALS, LOCKS} <= {one.where for one in seen if one.top in PRIVATE_OR_OPTIONAL | {"filelock"}}
    assert {one.is_at_once for one in seen} == {True, False}


def test_all_files_of_a_package_are_read(tmp_path: Path) -> None:
    (tmp_path / "core" / "deep").mkdir(parents=True)
    for file in ("__init__.py", "core/__init__.py", "core/deep/x.py"):
        (tmp_path / file).write_text("import x\n")
    assert {module_of(file) for file in sources_in(tmp_path)} == {
        PACKAGE,
        f"{PACKAGE}.core",
        f"{PACKAGE}.core.deep.x",
    }


# -- the checks themselves: what is planted in a copy is found ---------------------------------------------------------

PLANTED = [
    ("core/run.py", "import time", "core is plain Python"),
    ("core/run.py", "from os import path", "core is plain Python"),
    ("core/keys.py", "import pathlib", "core is plain Python"),
    ("core/retry.py", "from random import random", "core is plain Python"),
    ("core/codes.py", "import pytest", "pytest is known at the rim only"),
    ("core/facts.py", "from pytest_resilience.ledger.lines import encode", "further out"),
    ("core/facts.py", "from pytest_resilience import ledger", "further out"),
    ("core/facts.py", "import pytest_resilience.settings", "further out"),
    ("core/facts.py", "from ..settings import Settings", "further out"),
    ("core/facts.py", "from .. import settings", "further out"),
    ("core/__init__.py", "from ..hooks import owner", "further out"),
    ("core/run.py", "def f():\n    from pytest_resilience.history import load", "further out"),
    ("core/run.py", "if TYPE_CHECKING:\n    from pytest_resilience.plugin import _add", "further out"),
    ("ledger/lines.py", "from pytest_resilience.reports.summary import Line", "a neighbour in the same ring"),
    ("reports/summary.py", "from pytest_resilience.ledger import runs", "a neighbour in the same ring"),
    ("settings/tables.py", "from pytest_resilience.history import load", "a neighbour in the same ring"),
    ("history.py", "from pytest_resilience import settings", "a neighbour in the same ring"),
    ("history.py", "from pytest_resilience.hooks.owner import Owner", "further out"),
    ("hooks/owner.py", "from pytest_resilience.plugin import _add", "further out"),
    ("__init__.py", "from pytest_resilience.core.run import Run", "further out"),
    ("settings/tables.py", "import pytest", "pytest is known at the rim only"),
    ("history.py", "if TYPE_CHECKING:\n    import pytest", "pytest is known at the rim only"),
    (
        "ledger/runs.py",
        "try:\n    import pluggy\nexcept ImportError:\n    pass",
        "pytest is known at the rim only",
    ),
    ("hooks/owner.py", "from _pytest.main import Session", "only the internals may"),
    ("plugin.py", "import _pytest.config as config", "only the internals may"),
    ("hooks/workers.py", "from xdist.dsession import DSession", "only the internals may"),
    ("hooks/session.py", "if TYPE_CHECKING:\n    import xdist", "only the internals may"),
    ("ledger/runs.py", "def f():\n    import filelock", "only ledger.locks may"),
    ("ledger/locks.py", "from filelock import FileLock", "it takes long"),
    ("ledger/locks.py", "class A:\n    import filelock", "it takes long"),
    ("ledger/locks.py", "try:\n    import filelock\nfinally:\n    pass", "it takes long"),
    ("ledger/lines.py", "import attrs", "we do not depend on that"),
    ("ledger/lines.py", "__import__('pytest')", "nobody can see"),
    ("ledger/lines.py", "import importlib\nimportlib.import_module('pytest')", "nobody can see"),
    ("ledger/lines.py", "from importlib import import_module\nimport_module('pytest')", "nobody can see"),
]

HARMLESS = [
    ("core/run.py", "from collections import abc\nimport re, math"),
    ("core/run.py", "from pytest_resilience.core import keys\nfrom . import codes\nfrom .facts import Fact"),
    ("ledger/locks.py", "def f():\n    import filelock"),
    ("ledger/locks.py", "import typing\nif typing.TYPE_CHECKING:\n    import filelock"),
    ("hooks/internals.py", "def f():\n    import xdist"),
    ("hooks/owner.py", "from pytest_resilience import __version__, settings, history"),
    ("history.py", "from pytest_resilience.reports.summary import Line"),
    ("core/run.py", "text = 'import time'  # import os"),
]


def planted(file: str, text: str) -> Sources:
    """The package with a few lines more in one file."""
    return {**SOURCES, file: f"{SOURCES[file]}\n{text}\n"}


@pytest.mark.parametrize(("file", "text", "why"), PLANTED)
def test_a_planted_import_is_found(file: str, text: str, why: str) -> None:
    found = violations(planted(file, text))
    assert any(why in one for one in found), found
    assert all(one.startswith(f"{module_of(file)}:") for one in found), found


@pytest.mark.parametrize(("file", "text"), HARMLESS)
def test_a_harmless_import_is_not_found(file: str, text: str) -> None:
    assert violations(planted(file, text)) == []


@pytest.mark.parametrize("file", ["core/news.py", "news.py", "ledger/deep/news.py", "checks/__init__.py"])
def test_a_new_module_is_wrong_until_it_has_a_place(file: str) -> None:
    assert violations({**SOURCES, file: '"""News."""'}) == [f"{module_of(file)} has no place in the rings"]


def test_a_module_that_is_no_longer_there_loses_its_place() -> None:
    left = {file: text for file, text in SOURCES.items() if file != "reports/summary.py"}
    assert f"{PACKAGE}.reports.summary has a place, and does not exist" in violations(left)


@pytest.mark.parametrize("text", ["", "# A comment.\nx = 1\n", '""\n', '"""   """\n'])
def test_a_module_without_a_docstring_is_found(text: str) -> None:
    assert violations({**SOURCES, "core/keys.py": text}) == [f"{PACKAGE}.core.keys has no docstring"]
