"""What is compared: bare pytest, this plugin in several states, and other plugins, each in its own environment."""

import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
BARE, OURS = "bare", "ours"
_PINNED = ("pytest", "pytest-xdist")


@dataclass(frozen=True)
class System:
    """A plugin with its options. `{out}` in an option is a folder for what it writes.

    `kind` is what it does: other systems of the same kind do the same work.
    """

    name: str
    environment: str
    options: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    kind: str = ""

    def command(self, envs: Path, out: Path) -> list[str]:
        """The command line, ready for more options and paths."""
        options = [option.replace("{out}", str(out)) for option in self.options]
        return [str(python(envs, self.environment)), "-m", "pytest", "-q", *options]


def _ours(name: str, *options: str, kind: str = "") -> System:
    return System(name, OURS, options, kind=kind)


def _peer(package: str, kind: str, *options: str) -> System:
    return System(package, package, options, (package,), kind)


bare = System("bare", BARE)
installed = _ours("installed")
ledger = _ours("ledger", "-p", "resilience", kind="report")
retries = _ours("retries", "-p", "resilience", "--retries", "2", kind="retry")
timeout = _ours("timeout", "-p", "resilience", "--hang-timeout", "60", kind="timeout")
everything = _ours(
    "everything",
    *("-p", "resilience", "--retries", "2", "--crash-retries", "2", "--retry-budget", "50%"),
    *("--hang-timeout", "60", "--stop-after", "1000", "--stop-same-error", "1000"),
)
MINE = (ledger, retries, timeout, everything)
PEERS = (
    _peer("pytest-rerunfailures", "retry", "--reruns", "2"),
    _peer("pytest-retry", "retry", "--retries", "2"),
    _peer("flaky", "retry", "--force-flaky", "--max-runs", "3"),
    _peer("pytest-timeout", "timeout", "--timeout", "60"),
    _peer("pytest-json-report", "report", "--json-report", "--json-report-file", "{out}/report.json"),
    _peer("pytest-json-ctrf", "report", "--ctrf", "{out}/ctrf.json"),
    _peer("pytest-html", "report", "--html", "{out}/report.html", "--self-contained-html"),
    _peer("pytest-reportlog", "report", "--report-log", "{out}/report.jsonl"),
    System("junitxml", BARE, ("--junitxml", "{out}/junit.xml"), kind="report"),
)


def python(envs: Path, environment: str) -> Path:
    """The interpreter of an environment."""
    return envs / environment / "bin" / "python"


def prepare(envs: Path, systems: Iterable[System], say: Callable[[str], None]) -> dict[str, dict[str, str]]:
    """Make what is missing of the environments, install the plugin as it is now, and tell what is in each.

    All have the pytest and xdist that the bare one was given.
    """
    wanted = {bare.environment: bare} | {system.environment: system for system in systems}
    versions: dict[str, dict[str, str]] = {}
    pins: list[str] = []
    for name, system in wanted.items():
        say(f"environment {name}")
        if not python(envs, name).exists():
            _call(sys.executable, "-m", "venv", str(envs / name))
        there = installed_in(envs, name)
        missing = [pin for pin in pins or _PINNED if not _has(there, pin)]
        missing += [package for package in system.packages if package not in there]
        if missing:
            _pip(envs, name, *pins, *missing)
        if name == OURS:
            # As it is now, though its version is still the same.
            again = ("--force-reinstall", "--no-deps") if "pytest-resilience" in there else pins
            _pip(envs, name, *again, str(ROOT))
        versions[name] = installed_in(envs, name)
        pins = pins or [f"{package}=={versions[name][package]}" for package in _PINNED]
    return versions


def installed_in(envs: Path, environment: str) -> dict[str, str]:
    """Packages and their versions."""
    code = "from importlib.metadata import distributions as d; [print(x.metadata['Name'], x.version) for x in d()]"
    told = _call(str(python(envs, environment)), "-Ic", code)
    return {name.lower(): version for name, version in map(str.split, told.splitlines())}


def _has(there: Mapping[str, str], pin: str) -> bool:
    package, _, version = pin.partition("==")
    return there.get(package) == version if version else package in there


def _pip(envs: Path, environment: str, *what: str) -> None:
    _call(str(python(envs, environment)), "-m", "pip", "install", "-q", *what)


def _call(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout
