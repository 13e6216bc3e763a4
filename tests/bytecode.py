"""Byte code for the sessions that tests start: what all of them import is compiled once, and what they test never."""

import atexit
import functools
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

# For the sessions of this process, and nobody else.
_FOLDER = tempfile.TemporaryDirectory(prefix="bytecode-")
atexit.register(_FOLDER.cleanup)


@functools.cache
def environment() -> dict[str, str]:
    """Variables for sessions that find byte code of Python, pytest, its plugins and ours, and write none.

    So a test file that changes twice in a second, to the same size, is not taken for its old self.
    """
    found = {"PYTHONPYCACHEPREFIX": _FOLDER.name}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    with tempfile.TemporaryDirectory(prefix="compiled-") as folder:
        Path(folder, "pytest.ini").write_text("[pytest]\n")
        # A failure, so that it is shown and there is something to resume.
        Path(folder, "test_it.py").write_text("def test_fails(): assert 0")
        for options in (["-n", "1"] if importlib.util.find_spec("xdist") else [], ["--resume-failed"]):
            subprocess.run(
                [sys.executable, "-m", "pytest", "-p", "resilience", "--retries", "1", *options],
                cwd=folder,
                env={**inherited, **found, "PYTHONDONTWRITEBYTECODE": ""},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )
    return {**found, "PYTHONDONTWRITEBYTECODE": "1"}
