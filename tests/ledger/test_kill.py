"""A process that is killed while it writes: every fact it had acknowledged is there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_resilience.core.facts import AttemptEnded
from pytest_resilience.ledger.reading import CUT_OFF, read

WRITER = """
import os, sys
from itertools import count
from pathlib import Path
from pytest_resilience.core.facts import AttemptEnded
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.ledger.segments import Segment

segment = Segment.create(Path(sys.argv[1]), "gw0", run="r", trouble=lambda code, why: os._exit(1))
for number in count():
    fact = AttemptEnded(key=f"test_{number}", attempt=1, outcome=Outcome.FAILED, message="x" * int(sys.argv[2]))
    if not segment.write(fact):
        os._exit(2)
    os.write(1, b"%d\\n" % number)
"""


@pytest.mark.invariant(1, 5)
@pytest.mark.parametrize(("facts", "size"), [(1, 0), (50, 500), (700, 10), (3000, 500)])
def test_a_kill_costs_nothing_that_was_acknowledged(tmp_path: Path, facts: int, size: int) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path), str(size)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
    )
    assert writer.stdout is not None
    with writer.stdout as acknowledged:
        for _ in range(facts):
            acknowledged.readline()
        writer.kill()
        rest = acknowledged.read().splitlines()
    assert writer.wait() == -9
    last = int(rest[-1]) if rest else facts - 1
    reading = read(tmp_path)
    found = [record.fact.key for record in reading.records if isinstance(record.fact, AttemptEnded)]
    assert found[: last + 1] == [f"test_{number}" for number in range(last + 1)]
    assert len(found) <= last + 2
    assert all(damage.why == CUT_OFF for damage in reading.problems)
