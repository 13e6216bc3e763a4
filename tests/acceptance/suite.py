"""A suite that is made to be killed: apart from the ledger, its tests themselves put on record what they did."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_resilience.ledger.runs import RunInfo, Store, new_run_id

from ..process.sessions import UNTIED

# A kind of line, and what it is about.
Moment = tuple[str, str]

# One write a line, to a file that is only ever appended to: whatever dies, a line that was written stays. A kill can tear
# the write that is under way, so each line begins with a newline: the torn one then costs no other.
_WITNESS = """
import json, os, time

HERE = os.path.dirname(os.path.abspath(__file__))
SESSION = int(os.environ.get("WITNESS_SESSION", "0"))

def note(what, about=""):
    line = b"\\n" + json.dumps([what, SESSION, os.getpid(), about]).encode() + b"\\n"
    fd = os.open(os.path.join(HERE, "truth"), os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    try:
        os.write(fd, line)
    finally:
        os.close(fd)
    wait_while_held(f"{what} {about}")

def wait_while_held(moment):
    "Whoever kills this session wants it here and nowhere else; a minute is more than that ever needs."
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with open(os.path.join(HERE, f"hold-{SESSION}"), encoding="utf-8") as file:
                if moment not in file.read().split("\\n"):
                    return
        except FileNotFoundError:
            return
        time.sleep(0.005)

def is_repaired():
    return os.path.exists(os.path.join(HERE, "repaired"))

def nth_time(name):
    "How often this was asked in this session, by any process."
    number = 1
    while True:
        path = os.path.join(HERE, "counters", f"{name}-{SESSION}-{number}")
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL))
            return number
        except FileExistsError:
            number += 1
"""

_CONFTEST = """
import functools, os, time, zlib
import pytest
from pytest_resilience.ledger.disk import Disk
from steps import end_at
from witness import note

# Who this is: empty for the process that the user started.
WHO = os.environ.get("PYTEST_XDIST_WORKER", "")

def noting(call, begin, what):
    "The call of the disk, of which a line tells when it is about a file whose name begins like this."
    @functools.wraps(call)
    def noted(self, name, folder):
        if name.startswith(begin):
            note(what)
        return call(self, name, folder)
    return noted

Disk.open_new = noting(Disk.open_new, ".new-carry", "carry")
Disk.open_folder_in = noting(Disk.open_folder_in, ".trash-", "prune")

def plain(nodeid):
    "Without the group that xdist may put behind it."
    return nodeid.removesuffix("@together")

# "gw0 17 after": who is to end at which call of the ledger, and how; no name is that of the first process.
step = os.environ.get("WITNESS_STEP", "").split(" ")
if len(step) == 3 and step[0] == WHO:
    end_at(int(step[1]), step[2], lambda name: note("step", name))

# The tests that run in this process.
ran = set()

class Reports:
    "What the process that the user started was told of."

    def __init__(self):
        self.bad = set()

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.bad.add(report.nodeid)
        if report.when == "teardown":
            note("bad" if report.nodeid in self.bad else "good", plain(report.nodeid))

def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Reports())

def pytest_sessionstart():
    note("opened", WHO)

def pytest_sessionfinish():
    note("closing", WHO)

def pytest_keyboard_interrupt():
    note("interrupted", WHO and "worker")

def pytest_pycollect_makemodule(module_path):
    note("import", module_path.name)

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    ran.add(item.nodeid)
    note("start", plain(item.nodeid))

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item):
    note("teardown", plain(item.nodeid))
    try:
        return (yield)
    finally:
        note("finish", plain(item.nodeid))

def pytest_runtest_logfinish(nodeid):
    if nodeid in ran:
        note("between", plain(nodeid))

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    note("call", plain(item.nodeid))
    # From 0 to 15 ms, always the same for the same test, so that a kill finds something in flight.
    if "WITNESS_SLOW" in os.environ:
        time.sleep(zlib.crc32(item.name.encode("utf-8", "replace")) % 16 / 1000)
"""

_FEW = {
    "test_few.py": """
import pytest

@pytest.mark.parametrize("number", range(4))
def test_few(number):
    assert number >= 0
""",
    "test_few_kinds.py": """
import pytest
from witness import is_repaired, nth_time

@pytest.fixture
def broken():
    assert is_repaired(), "no setup"

def test_fails():
    assert is_repaired()
def test_setup_fails(broken):
    pass
@pytest.mark.flaky(retries=2)
def test_flaky():
    assert nth_time("call") > 2
def test_skips():
    pytest.skip("not now")
@pytest.mark.xfail
def test_expected():
    assert 0
""",
    "test_few_grouped.py": """
import pytest

@pytest.mark.xdist_group("together")
@pytest.mark.parametrize("number", range(3))
def test_grouped(number):
    pass
""",
}

_PLAIN = """
import pytest

@pytest.mark.parametrize("number", range({size}))
def test_plain(number):
    assert number >= 0

class TestGroup:
    @pytest.mark.parametrize("number", range(3))
    def test_method(self, number):
        assert number < 3
"""

_KINDS = """
import unittest
import pytest
from witness import is_repaired, nth_time

@pytest.fixture
def broken():
    assert is_repaired(), "no setup"

@pytest.fixture
def leaky():
    yield
    assert is_repaired(), "no teardown"

@pytest.fixture
def late():
    assert nth_time("setup") > 1

def test_fails():
    assert is_repaired()
@pytest.mark.parametrize("sign", ["a::b", "c[d]", "e - f"])
def test_fails_with(sign):
    raise_unless = is_repaired()
    assert raise_unless, sign
def test_setup_fails(broken):
    pass
def test_teardown_fails(leaky):
    pass
@pytest.mark.flaky(retries=2)
def test_flaky():
    assert nth_time("call") > 2
@pytest.mark.flaky(retries=1)
def test_flaky_in_setup(late):
    pass
def test_skips():
    pytest.skip("not now")
@pytest.mark.skip
def test_skipped():
    pass
@pytest.mark.xfail
def test_expected():
    assert 0
@pytest.mark.xfail
def test_unexpected():
    pass

class TestCase(unittest.TestCase):
    def test_passes(self):
        pass
    @unittest.skip("no")
    def test_is_skipped(self):
        pass
    @unittest.expectedFailure
    def test_is_expected(self):
        self.fail()
"""

_ODD = """
import pytest

TEXTS = ["a::b", "c[d]", "e\\nf", "g@h", "", "\\0", "\u00e9", "\\U0001f600", "x" * 400, "i - j", "-k", "$HOME", "'", '"', "#2"]

@pytest.mark.parametrize("text", TEXTS)
def test_odd(text):
    assert isinstance(text, str)

@pytest.mark.xdist_group("together")
@pytest.mark.parametrize("number", range(3))
def test_grouped(number):
    pass
"""


@dataclass(frozen=True, slots=True)
class Line:
    """What a process of a session put on record. `session` numbers the sessions, `about` is a node id or a file."""

    what: str
    session: int
    pid: int
    about: str


def all_kinds(files: int = 3, size: int = 8) -> dict[str, str]:
    """Tests of every kind and with every odd name, in files of which so many are plain and of this size."""
    plain = {f"test_plain_{number}.py": _PLAIN.format(size=size) for number in range(files)}
    return {**plain, "test_kinds.py": _KINDS, "deeper/test_odd.py": _ODD}


def few(files: int = 1) -> dict[str, str]:
    """12 tests of the kinds that matter most in three files, and 4 more in each further file."""
    more = {f"test_few_{number}.py": _FEW["test_few.py"] for number in range(1, files)}
    return {**_FEW, **more}


class Suite:
    """A folder with a suite in several files, and with all that its sessions leave.

    `addopts` goes into its configuration, so that a command is as short as a user would type it. Some of its tests
    fail until `repair` is called.
    """

    def __init__(self, root: Path, addopts: str = "", texts: Mapping[str, str] | None = None) -> None:
        self.root = root
        (root / "counters").mkdir(parents=True)
        markers = "markers =\n    xdist_group: which tests run on one worker\n"
        self._write(
            "pytest.ini", f"[pytest]\naddopts = -p resilience -p no:cacheprovider {addopts}\n{markers}"
        )
        self._write("witness.py", _WITNESS)
        self._write("steps.py", Path(__file__).with_name("steps.py").read_text("utf-8"))
        self._write("conftest.py", _CONFTEST)
        for path, text in (all_kinds() if texts is None else texts).items():
            self._write(path, text)

    def _write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")

    @property
    def ledger(self) -> Path:
        return self.root / ".pytest_resilience"

    def hold(self, session: int, *moments: Moment) -> None:
        """Let processes of a session that put such a kind of line about this on record wait there, until `let_go`."""
        (self.root / f"hold-{session}").write_text("\n".join(map(" ".join, moments)), "utf-8")

    def let_go(self, session: int) -> None:
        """Let it go on."""
        (self.root / f"hold-{session}").unlink(missing_ok=True)

    def age(self, runs: int) -> None:
        """Put so many runs of long ago into the ledger, of which only one is kept from now on."""
        self._write("pyproject.toml", "[tool.resilience.ledger]\nkeep-runs = 1\n")
        store = Store(self.ledger)
        for number in range(runs):
            began = time.time() - 3600.0 * (runs - number)
            info = RunInfo(id=new_run_id(began, bytes(8)), key="of long ago", rootdir=str(self.root))
            store.create(info).release()

    def repair(self) -> None:
        """Mend what its failing tests depend on; no test file changes."""
        (self.root / "repaired").touch()

    def untie(self) -> None:
        """Let workers outlive their controller, as they do where the system cannot tie them to it."""
        self._write("conftest.py", _CONFTEST + UNTIED)

    def truth(self) -> "Truth":
        """A reader of its record, from the beginning."""
        return Truth(self.root / "truth")


class Truth:
    """Reads the record of a suite while it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def new(self) -> Iterator[Line]:
        """The lines since this was asked last."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        data = data[: data.rfind(b"\n") + 1]
        self._offset += len(data)
        for line in filter(None, data.split(b"\n")):
            with suppress(ValueError):  # torn by a kill: nobody was told of it
                yield Line(*json.loads(line))
