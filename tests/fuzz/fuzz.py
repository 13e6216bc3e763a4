"""Feed the readers of the ledger with what atheris makes of real files: ``python fuzz.py SECONDS [TARGET...]``.

Each target runs in a process of its own, because libFuzzer ends the one it runs in. Exit status 1 when one crashed.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

# Inputs longer than this find nothing that shorter ones do not; memory in MB, one input in seconds.
LIMITS = ("-max_len=20000", "-rss_limit_mb=512", "-timeout=10")


def fuzz(name: str, seconds: str) -> None:
    """Never returns."""
    import atheris

    with atheris.instrument_imports(include=["pytest_resilience", "json"]):
        import targets

    with tempfile.TemporaryDirectory(prefix="corpus-") as folder:
        for number, content in enumerate(targets.corpus(name)):
            Path(folder, str(number)).write_bytes(content)
        limits = (*LIMITS, f"-max_total_time={seconds}", "-print_final_stats=1")
        atheris.Setup([sys.argv[0], *limits, folder], targets.TARGETS[name])
        atheris.Fuzz()


def main(seconds: str, *names: str) -> int:
    """Fuzz these targets, or all, and print how many inputs each was given."""
    import targets

    # In memory, where there is such a place.
    memory = {"TMPDIR": "/dev/shm"} if os.access("/dev/shm", os.W_OK) else {}
    status = 0
    for name in names or targets.TARGETS:
        command = [sys.executable, __file__, "--target", name, seconds]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, **memory}
        )
        told = [line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line]
        print(
            f"{name:16} {told[0] if told else '?':>10} inputs  {'ok' if done.returncode == 0 else 'CRASHED'}"
        )
        if done.returncode:
            status = 1
            print(done.stdout[-2000:], done.stderr[-6000:], sep="\n")
    return status


if __name__ == "__main__":
    if sys.argv[1:2] == ["--target"]:
        fuzz(*sys.argv[2:4])
    raise SystemExit(main(*(sys.argv[1:] or ["60"])))
