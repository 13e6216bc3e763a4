"""The step kill: a run ends at its N-th call that changes the ledger, for every N, and is resumed.

Sessions are forks of one process that has imported pytest already. By hand, from the top of the project:
``python -m tests.acceptance.stepkill [-n 2] [--share 1/10] [--seed 1]``.
"""

import argparse
import gc
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import BinaryIO

import pytest

from .. import bytecode
from .driver import BEGIN, RESUME, Chain, Expected, Figures, resume_to_the_end, typed_next, uninterrupted
from .steps import WRITE
from .suite import Suite, few

# One resume in so many is killed too, and one in so many chains resumed once more when nothing is left.
THOROUGH = 5
ADDOPTS = "--tb=no"


class Forked:
    """A session in a fork of this process."""

    def __init__(self, command: str, folder: Path, environment: dict[str, str], output: BinaryIO) -> None:
        self._status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            status = 70
            try:
                status = _session(command, folder, environment, output.fileno())
            finally:
                os._exit(status)

    def poll(self) -> int | None:
        """Its exit status, or None as long as it runs."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._status = os.waitstatus_to_exitcode(status) if pid else None
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status."""
        until = time.monotonic() + (timeout or 1e9)
        while (status := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("pytest", timeout or 0)
            time.sleep(0.002)
        return status


def _session(command: str, folder: Path, environment: dict[str, str], output: int) -> int:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = shlex.split(command)
    status = int(pytest.main(sys.argv[1:]))
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def warm_up(folder: Path) -> None:
    """Import here what a session imports, so that its forks need not."""
    folder.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p resilience -p no:cacheprovider\n")
    (folder / "test_warm.py").write_text("def test(): assert 0")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    with redirect_stdout(StringIO()):
        pytest.main(["--capture=sys", f"--rootdir={folder}", f"-c{folder}/pytest.ini", str(folder)])
    # Each session looks through its garbage twice, and need not look at what all of them inherit.
    gc.freeze()


def steps_of(chain: Chain, who: str = "") -> list[str]:
    """Run a suite and count: every step at which a process of it can be killed.

    Just before a call is just after the one before it, unless something was put on record in between.
    """
    chain.run(BEGIN, step=f"{who} 0 never")
    steps, number, is_new = [], 0, True
    pids = {line.pid for line in chain.sessions[-1].lines if line.what == "step"}
    for line in chain.sessions[-1].lines:
        if line.what != "step":
            is_new |= line.pid in pids
            continue
        number += 1
        hows = ["before"] * is_new + ["within"] * (line.about == WRITE) + ["after"]
        steps += [f"{who} {number} {how}" for how in hows]
        is_new = False
    return steps


def run_step(
    suite: Suite, step: str, expected: Expected, workers: int = 0, again: str = "", *, once_more: bool = True
) -> Chain:
    """Run a suite to this step, resume it, to the step `again` first if there is one, and check everything."""
    chain = Chain(suite, workers, Forked)
    try:
        said = chain.run(BEGIN, step=step)
        suite.repair()
        if again:
            said = chain.run(RESUME, step=again)
        resume_to_the_end(chain, typed_next(said), expected, once_more=once_more)
    finally:
        chain.clear()
    return chain


def run_steps(
    folder: Path, chance: random.Random, workers: int, files: int, share: tuple[int, int]
) -> Iterator[tuple[str, Chain]]:
    """A share of all steps, each with a chain of its own; in one of five the resume is killed as well."""
    warm_up(folder / "warm")
    addopts = f"{ADDOPTS} -p xdist -n {workers}" if workers else ADDOPTS
    expected = uninterrupted(Suite(folder / "alone", addopts, few(files)), Forked)
    steps = []
    for who in ("", *(f"gw{number}" for number in range(workers))):
        counted = Chain(Suite(folder / f"counted-{who}", addopts, few(files)), workers, Forked)
        steps += steps_of(counted, who)
    first, shares = share
    for number, step in enumerate(steps[first - 1 :: shares], 1):
        is_thorough = number % THOROUGH == 0
        again = chance.choice([step for step in steps if step[0] == " "]) if is_thorough else ""
        suite = Suite(folder / f"step-{number}", addopts, few(files))
        chain = run_step(suite, step, expected, workers, again, once_more=is_thorough)
        yield f"{step}{f' then {again}' * bool(again)}", chain
        if not chain.wrong:
            shutil.rmtree(suite.root)


def main() -> int:
    """Kill at every step, or at a share of them, and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("-n", type=int, default=0, metavar="WORKERS")
    parser.add_argument("--files", type=int, default=1, help="files of four tests, beside the others")
    parser.add_argument("--share", default="1/1", help="2/3: of every three steps the second")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="else one by chance")
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}, share {chosen.share}", flush=True)
    if chosen.n:
        # Workers are no forks.
        os.environ.update(bytecode.environment())
    folder = Path(tempfile.mkdtemp(prefix="step-kill-"))
    total, wrong = Figures(), 0
    first, _, shares = chosen.share.partition("/")
    chance, share = random.Random(f"{chosen.seed} {chosen.share}"), (int(first), int(shares))
    for step, chain in run_steps(folder, chance, chosen.n, chosen.files, share):
        total.add(chain.figures)
        wrong += len(chain.wrong)
        for sentence in chain.wrong:
            print(f"WRONG at {step}: {sentence}", flush=True)
    print(f"{total}; wrong {wrong}")
    if wrong:
        print(f"what is left of these: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
