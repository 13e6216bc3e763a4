"""``python -m benchmarks``: measure, print one table, and keep it as JSON and in the docs if asked to.

Takes hours of a quiet machine in all; ``--quick`` and ``--only`` take less.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import systems, tables
from .counting import Counting
from .instructions import is_there
from .measuring import Failed
from .results import Compared, Results, Row
from .running import Runner
from .sections import SECTIONS
from .systems import ROOT

PAGE = ROOT / "docs" / "explanation" / "performance.md"
QUICK = 0.1
NAMES = (*SECTIONS, "instructions", "ledger")


def main(arguments: list[str]) -> int:
    """The exit status."""
    options = _parsed(arguments)
    # Whoever ends this process has its `finally` run, and so its children ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    kept = Path(options.json) if options.json else None
    results = Results.from_json(kept.read_text("utf-8")) if kept and kept.exists() else Results()
    status = 0
    if not options.show:
        # What is measured is kept, however this ends.
        measured = Results(machine=_machine(), share=QUICK if options.quick else 1.0)
        try:
            status = _measure(options, measured)
        except KeyboardInterrupt:
            status = 130
            _say("interrupted")
        finally:
            results.add(measured)
            if kept:
                kept.write_text(results.to_json(), "utf-8")
    print(tables.text(results))
    if options.docs:
        tables.write_docs(PAGE, results)
    return status


def _parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--only", default="", metavar="NAME,...", help=f"these sections: {', '.join(NAMES)}")
    add("--quick", action="store_true", help="a tenth of the sizes, to try it out")
    add("--repeat", type=int, default=5, metavar="N", help="rounds in which each cell is measured (5)")
    add(
        "--envs",
        type=Path,
        default=ROOT / ".bench",
        metavar="DIR",
        help="where the environments are (.bench)",
    )
    add("--json", default="", metavar="FILE", help="keep what is measured here, beside what is there already")
    add("--docs", action="store_true", help=f"put the tables into {PAGE.relative_to(ROOT)}")
    add("--show", action="store_true", help="measure nothing, show what FILE has")
    options = parser.parse_args(arguments)
    options.only = options.only.split(",") if options.only else list(NAMES)
    if unknown := set(options.only) - set(NAMES):
        parser.error(f"no section is called {', '.join(sorted(unknown))}")
    if options.show and not options.json:
        parser.error("--show needs --json")
    if options.repeat < 1:
        parser.error("--repeat: 1 or more")
    return options


def _measure(options: argparse.Namespace, results: Results) -> int:
    """Measure what is asked for. 1 when a run did not end as it must; its group is left out then."""
    groups = [group for name in SECTIONS if name in options.only for group in SECTIONS[name](results.share)]
    counting = Counting(is_quick=options.quick) if "instructions" in options.only and is_there() else None
    if "instructions" in options.only and counting is None:
        _say("valgrind is not there: instructions are not counted")
    seconds = sum(group.seconds(options.repeat) for group in groups) + (counting.seconds if counting else 0)
    _say(
        f"about {seconds / 60:.0f} minutes on a machine that does nothing else, and some for the environments"
    )
    used = {cell.system: None for group in groups for cell in group.cells}
    used |= dict.fromkeys(counting.systems if counting else ())
    used |= {systems.ledger: None} if "ledger" in options.only else {}
    envs, status = options.envs.absolute(), 0
    results.versions.update(systems.prepare(envs, used, _say))
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        runner = Runner(envs, Path(folder), _say)
        for number, group in enumerate(groups, 1):
            _say(f"[{number}/{len(groups)}] {group.title}")
            try:
                taken = runner.measure(group, options.repeat)
            except Failed as error:
                _say(f"left out: {error}")
                status = 1
                continue
            results.groups[group.name] = Compared(group.title, group.cells[0].workload.tests, taken)
        if counting:
            try:
                results.instructions.update(counting.measure(runner, _say))
            except Failed as error:
                _say(f"no more instructions are counted: {error}")
                status = 1
    if "ledger" in options.only:
        results.ledger = _ledger(envs, round(100_000 * results.share))
    return status


def _ledger(envs: Path, tests: int) -> list[Row]:
    """The ledger by itself, in the environment that has the plugin."""
    _say(f"the ledger of {tests:,} tests by itself")
    script = Path(__file__).parent / "ledger.py"
    command = [str(systems.python(envs, systems.OURS)), "-I", str(script), str(tests), "--json"]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [Row(**row) for row in json.loads(told)]


def _machine() -> dict[str, str]:
    return {
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "cpu": _model(),
        "cpus": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
