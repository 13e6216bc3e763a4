"""The number of processes that the system killed for want of memory is read where it counts, and never guessed."""

from pathlib import Path

import pytest

from pytest_resilience.ledger.memory import oom_kills

EVENTS = "low 0\nhigh 0\nmax 12\noom 3\noom_kill {}\noom_group_kill 0\n"
CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"


def system(root: Path, cgroup: str, **files: str) -> Path:
    """A tree with what the kernel shows; files are given by their path below the mount, `__` for a slash."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    for name, text in files.items():
        file = root / "sys/fs/cgroup" / name.replace("__", "/").replace("_DOT_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize(
    ("cgroup", "file", "text"),
    [
        ("0::/user/one\n", "user__one__memory_DOT_events", EVENTS),
        ("0::/host/path\n", "memory_DOT_events", EVENTS),
        ("4:cpu:/a\n0::/one\n", "unified__one__memory_DOT_events", EVENTS),
        ("9:name=systemd:/\n4:memory:/one\n0::/\n", "memory__one__memory_DOT_oom_control", CONTROL),
        ("4:cpu,memory:/host/path\n", "memory__memory_DOT_oom_control", CONTROL),
    ],
)
def test_each_kind_of_cgroup_is_read(tmp_path: Path, cgroup: str, file: str, text: str) -> None:
    assert oom_kills(system(tmp_path, cgroup, **{file: text.format(7)})) == 7


@pytest.mark.parametrize(
    "text", ["", "oom_kill\n", "oom_kill -1\n", "oom_kill x\n", "oom 5\n", "oom_kill_disable 1\n", "\xff"]
)
def test_what_tells_no_number_tells_nothing(tmp_path: Path, text: str) -> None:
    assert oom_kills(system(tmp_path, "0::/\n", memory_DOT_events=text)) is None


@pytest.mark.parametrize("cgroup", ["", "\n", "nonsense\n", "0::\n", "3:cpu:/\n"])
def test_without_a_cgroup_nobody_counts(tmp_path: Path, cgroup: str) -> None:
    assert oom_kills(system(tmp_path, cgroup)) is None


def test_without_proc_nobody_counts(tmp_path: Path) -> None:
    assert oom_kills(tmp_path) is None


def test_the_real_one_tells_a_number_or_nothing() -> None:
    number = oom_kills()
    assert number is None or number >= 0
    assert Path("/proc/self/cgroup").exists() or number is None
