"""Runs the test suite of pytest-rerunfailures with us in its place, and tells what passes.

By hand, from the top of the project: ``python -m tests.peers.rerunfailures [-n 2] [--pytest 8.4.2] [-k WORDS]``. The
suite, pytest and xdist come from the package index. The exit status is 0 when every test passes that is not named
below.
"""

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Literal
from xml.etree import ElementTree

Result = Literal["passed", "failed", "skipped"]

NAME, VERSION = "pytest_rerunfailures", "16.7"
PROJECT = Path(__file__).parents[2]
# The whole suite takes about a minute.
SECONDS = 1800.0

# Tests by name, those with parameters by the name alone or with them: why we cannot pass them.
IMPLEMENTATION = {
    "test_xdist_crash_rerun_releases_cap_when_scheduler_rejects": "calls its hook with an object of its own",
    "test_sock_recv_raises_connection_error_on_eof": "its socket",
    "test_statusdb_rejects_unauthenticated_commands": "its socket",
    "test_statusdb_accepts_64_byte_authentication_token": "its socket",
    "test_statusdb_rejects_oversized_authentication": "its socket",
    "test_xdist_configure_node_passes_statusdb_connection_details": "its socket",
    "test_condition_exception_state_is_released_after_attempt": "reads private attributes that it hangs on items",
    "test_failed_subtests_lookup_key_uses_api_capability": "calls a private function of it",
}
# Tests by name, as above, that want what we refuse: why.
REFUSED = {
    "test_condition_uses_one_decision_for_call_and_teardown_failures": "a condition is asked about the first failure, "
    "and what is known then is told before the teardown",
    "test_error_when_run_with_pdb_and_flaky_marker": "a marker does not keep anybody from debugging: with --pdb nothing "
    "is retried",
    "test_rerun_passes_after_temporary_test_crash": "a test whose worker crashed has a limit of its own",
    "test_reruns_if_flaky_mark_is_called_without_options": "wants `passed` counted: a test that passes at its second "
    "attempt is flaky, unless the words of that plugin are used",
    "test_xfail_after_failing_subtest_restores_module_fixture": "a subtest failed, so the test is retried whatever it "
    "says afterwards",
}

# The suite imports these. A name that is None belongs to what no other plugin has; who uses it fails.
STUB = """
try:
    from xdist.newhooks import pytest_handlecrashitem
    HAS_PYTEST_HANDLECRASHITEM = True
except ImportError:
    HAS_PYTEST_HANDLECRASHITEM = False
try:
    from _pytest.subtests import SubtestReport
except ImportError:
    SubtestReport = None
ServerStatusDB = SocketDB = StatusDB = XDistHooks = _failed_subtests_lookup_key = None
"""
# What holds for each session that the suite starts. A marker alone does not switch us on, and pytester removes
# PYTEST_ADDOPTS: so each is given the option that does. The plugin is not installed, so the stub is out of sight. The
# suite's own fixture of this name builds upon this one.
CONFTEST = """
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "stub"))
import pytest_rerunfailures
del sys.path[0]

@pytest.fixture
def testdir(testdir, monkeypatch):
    monkeypatch.delitem(sys.modules, "pytest_rerunfailures")
    runpytest = testdir.runpytest
    testdir.runpytest = lambda *args, **kwargs: runpytest("-p", "resilience", *args, **kwargs)
    return testdir
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the results amount to: the names of tests. `stale` ones are listed as impossible, and pass."""

    passed: Sequence[str]
    failed: Sequence[str]
    skipped: Sequence[str]
    not_reachable: Sequence[str]
    refused: Sequence[str]
    stale: Sequence[str]

    @classmethod
    def of(cls, results: Mapping[str, Result]) -> "Verdict":
        """The verdict on a run of the suite."""
        implementation = [name for name in results if is_in(IMPLEMENTATION, name)]
        refused = [name for name in results if is_in(REFUSED, name)]
        others = [name for name in results if name not in {*implementation, *refused}]

        def those(result: Result, among: Iterable[str]) -> list[str]:
            return [name for name in among if results[name] == result]

        return cls(
            passed=those("passed", results),
            failed=those("failed", others),
            skipped=those("skipped", results),
            not_reachable=those("failed", implementation),
            refused=those("failed", refused),
            stale=those("passed", [*implementation, *refused]),
        )

    @property
    def is_good(self) -> bool:
        """Whether all that we mean to pass passed; nothing is no test that passed."""
        return bool(self.passed) and not self.failed

    def __str__(self) -> str:
        lines = [
            f"passed {len(self.passed)}, failed {len(self.failed)}, not reachable {len(self.not_reachable)}, "
            f"refused {len(self.refused)}, skipped {len(self.skipped)}"
        ]
        lines += [f"FAILED {name}" for name in self.failed]
        lines += [f"REFUSED {name}: {is_in(REFUSED, name)}" for name in self.refused]
        lines += [f"STALE {name}: it is listed here, and passes" for name in self.stale]
        return "\n".join(lines)


def is_in(reasons: Mapping[str, str], name: str) -> str:
    """Why a test is in a list, empty when it is not."""
    return reasons.get(name) or reasons.get(name.partition("[")[0], "")


def fetched(folder: Path) -> Path:
    """The suite's own file, from the package index."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    source = f"{NAME}=={VERSION}"
    subprocess.run(
        [*pip, "download", "--no-binary", ":all:", "--no-deps", "--dest", str(folder), source], check=True
    )
    with tarfile.open(folder / f"{NAME}-{VERSION}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / f"{NAME}-{VERSION}" / "tests" / f"test_{NAME}.py"


def environment(folder: Path, pytest: str) -> Path:
    """The Python of a virtual environment that has pytest, xdist and this project as it is now."""
    where = folder / f"venv-{pytest or 'newest'}"
    subprocess.run([sys.executable, "-m", "venv", str(where)], check=True)
    python = where / ("Scripts" if os.name == "nt" else "bin") / "python"
    wanted = [f"pytest=={pytest}" if pytest else "pytest", "pytest-xdist", str(PROJECT)]
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--upgrade", *wanted], check=True)
    return python


def results_of(python: Path, suite: Path, folder: Path, options: Sequence[str]) -> dict[str, Result]:
    """Run the suite; the result of each test by its name. Raises CalledProcessError when it did not come to an end."""
    home, results = folder / "suite", folder / "results.xml"
    (home / "stub").mkdir(parents=True, exist_ok=True)
    (home / "stub" / f"{NAME}.py").write_text(STUB)
    (home / suite.name).write_bytes(suite.read_bytes())
    (home / "conftest.py").write_text(CONFTEST)
    # Only here: a file in a folder above would be found by the sessions that the suite starts.
    (home / "pytest.ini").write_text("[pytest]\n")
    results.unlink(missing_ok=True)
    rmtree(folder / "tmp", ignore_errors=True)
    command = [str(python), "-m", "pytest", suite.name, "-q", "--tb=short"]
    # Early: the fixture of our conftest builds upon its, whatever the order in which pytest finds them.
    command += ["-p", "pytester", "-p", "no:cacheprovider"]
    command += [f"--basetemp={folder / 'tmp'}", f"--junitxml={results}", *options]
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON"))
    }
    with (folder / "output.txt").open("wb") as output:
        done = subprocess.run(
            command,
            cwd=home,
            env=inherited,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=SECONDS,
        )
    if done.returncode not in (0, 1):
        raise subprocess.CalledProcessError(done.returncode, command)
    return read(results)


def read(file: Path) -> dict[str, Result]:
    """The result of each test in a JUnit file; a test that failed twice, in call and teardown, is there twice."""
    results: dict[str, Result] = {}
    for case in ElementTree.parse(file).iter("testcase"):
        name = case.attrib["name"]
        if case.find("failure") is not None or case.find("error") is not None:
            results[name] = "failed"
        else:
            results.setdefault(name, "skipped" if case.find("skipped") is not None else "passed")
    return dict(sorted(results.items()))


def sessions_of_ours(folder: Path) -> int:
    """In how many of the sessions that the suite started we were switched on: each has left a run in its ledger."""
    return sum(1 for _ in (folder / "tmp").rglob(".pytest_resilience/runs/*/run.json"))


def main() -> int:
    """Fetch, run, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("-n", type=int, default=0, metavar="WORKERS", help="distribute the suite")
    parser.add_argument("-k", default="", metavar="WORDS", help="only tests that pytest's -k selects")
    parser.add_argument("--pytest", default="", metavar="VERSION", help="not the newest")
    parser.add_argument(
        "--folder", type=Path, help="where to work, outside of any project; kept, and used again"
    )
    chosen = parser.parse_args()
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="rerunfailures-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    options = [*(["-n", str(chosen.n)] if chosen.n else []), *(["-k", chosen.k] if chosen.k else [])]
    try:
        python = environment(folder, chosen.pytest)
        verdict = Verdict.of(results_of(python, fetched(folder), folder, options))
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        print(f"{error}\nwhat is left of it: {folder}")
        return 1
    sessions = sessions_of_ours(folder)
    print(f"{verdict}\nsessions with us in them: {sessions}")
    if not verdict.is_good or not sessions:
        print(f"what the suite said: {folder / 'output.txt'}")
        return 1
    if chosen.folder is None:
        rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
