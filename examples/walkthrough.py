"""Runs the example batch, repairs the warehouse, types the RESUME command, and checks what was printed."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run(command: str, **environment: str) -> tuple[int, dict[str, str]]:
    """Type the command as a person would; the exit status, and the summary's lines by their first words."""
    print(f"\n$ {' '.join(f'{name}={value}' for name, value in environment.items())} {command}", flush=True)
    scripts = Path(sys.executable).parent
    path = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PY_COLORS": "0", **environment}
    done = subprocess.run(
        command, shell=True, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, check=False
    )
    print(done.stdout, flush=True)
    return done.returncode, dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def outcomes(lines: dict[str, str]) -> dict[str, int]:
    """How many tests had each outcome; they must add up to the total."""
    counts = {name: int(count) for name, count in (pair.split("=") for pair in lines["OUTCOMES"].split())}
    total = counts.pop("total")
    assert sum(counts.values()) == total, f"{counts} do not add up to {total}"
    return {"total": total, **counts}


def main() -> None:
    """The bad day and the repaired one."""
    status, lines = run("pytest -p resilience examples", WAREHOUSE="down")
    assert status == 1, f"the batch ended with {status}, not with 1"
    missing = {"FLAKY", "CRASHED", "NOTRUN", "OUTCOMES", "RESUME"} - lines.keys()
    assert not missing, f"the summary lacks {missing}"
    before = outcomes(lines)
    assert (before["flaky"], before["crashed"]) == (1, 1), before

    resume, _, _ = lines["RESUME"].partition(" - ")
    status, lines = run(resume, WAREHOUSE="up")
    assert status == 0, f"the resumed run ended with {status}, not with 0"
    after = outcomes(lines)
    assert after.keys() == {"total", "passed", "carried_over"}, after
    assert after["total"] == before["total"], f"{before['total']} tests became {after['total']}"
    print("The example batch behaves as its README says.")


if __name__ == "__main__":
    main()
