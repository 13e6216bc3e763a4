"""What a test was found with: its file, the conftests above it, and what the user says it depends on."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_resilience.ledger.contents import Contents

GLOBS = ("src/**",)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with a test, two conftests and sources."""
    root = tmp_path / "project"
    for name in ("conftest.py", "tests/conftest.py", "tests/test_a.py", "src/a.py", "src/deep/b.txt"):
        write(root / name, name)
    return root


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def swap(one: Path, other: Path) -> None:
    texts = one.read_text("utf-8"), other.read_text("utf-8")
    write(one, texts[1])
    write(other, texts[0])


def digest(root: Path, *globs: str) -> str:
    """What a session finds that begins now."""
    return Contents(root, globs, root / ".ledger").digest("tests/test_a.py")


CHANGES: dict[str, Callable[[Path], object]] = {
    "changed": lambda root: write(root / "src/a.py", "x"),
    "deep": lambda root: write(root / "src/deep/b.txt", "x"),
    "added": lambda root: write(root / "src/new", ""),
    "removed": lambda root: (root / "src/a.py").unlink(),
    "renamed": lambda root: (root / "src/a.py").rename(root / "src/c.py"),
    "swapped": lambda root: swap(root / "src/a.py", root / "src/deep/b.txt"),
    "all gone": lambda root: shutil.rmtree(root / "src"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_what_is_watched_is_a_change_of_the_test(root: Path, change: str) -> None:
    with_watch, without = digest(root, *GLOBS), digest(root)
    CHANGES[change](root)
    assert digest(root, *GLOBS) not in ("", with_watch)
    assert digest(root) == without


@pytest.mark.parametrize("name", ["tests/test_a.py", "conftest.py", "tests/conftest.py"])
def test_the_file_and_its_conftests_count_whether_anything_is_watched_or_not(root: Path, name: str) -> None:
    before = digest(root), digest(root, *GLOBS)
    write(root / name, "x")
    assert digest(root) != before[0]
    assert digest(root, *GLOBS) != before[1]


def test_other_globs_are_a_change_though_they_fit_the_same_files(root: Path) -> None:
    some = [(), ("src/**",), ("src",), ("src/**", "lib"), ("nothing",), ("nothing", "at all")]
    assert len({digest(root, *globs) for globs in some}) == len(some)


@pytest.mark.parametrize(
    "globs", [("**",), ("*",), ("s?c/*.py",), ("./src/",), ("src/a.py",), ("lib", "**/a.py")]
)
def test_a_glob_finds_a_file_wherever_its_wildcards_are(root: Path, globs: tuple[str, ...]) -> None:
    before = digest(root, *globs)
    write(root / "src/a.py", "x")
    assert digest(root, *globs) not in ("", before)


@pytest.mark.parametrize(
    "name",
    [".git/index", ".github/x.yml", "src/.gitlab/x", "src/__pycache__/a.pyc", ".ledger/runs/x", "srcs/a.py"],
)
def test_what_a_session_writes_and_what_git_keeps_is_left_out(root: Path, name: str) -> None:
    globs = ("src/**",) if name.startswith("srcs") else ("**",)
    before = digest(root, *globs)
    write(root / name, "x")
    assert digest(root, *globs) == before != ""


def test_what_is_below_the_rootdir_is_found_through_a_link(root: Path) -> None:
    write(root / "lib/inner/c.py", "c")
    (root / "src/link").symlink_to("../lib")
    before = digest(root, *GLOBS)
    write(root / "lib/inner/c.py", "x")
    assert digest(root, *GLOBS) not in ("", before)


def test_a_link_out_of_the_rootdir_is_not_followed_and_only_counts_with_where_it_leads(root: Path) -> None:
    outside = root.parent / "outside"
    write(outside / "a.py", "a")
    (root / "src/link").symlink_to(outside)
    before = digest(root, *GLOBS)
    write(outside / "a.py", "x")
    assert digest(root, *GLOBS) == before
    (root / "src/link").unlink()
    (root / "src/link").symlink_to(root.parent)
    assert digest(root, *GLOBS) not in ("", before)


def test_a_watched_folder_that_is_a_link_out_of_the_rootdir_is_not_followed(root: Path) -> None:
    (root / "src").rename(root.parent / "outside")
    (root / "src").symlink_to(root.parent / "outside")
    before = digest(root, "src/deep/**")
    write(root.parent / "outside/deep/b.txt", "x")
    assert digest(root, "src/deep/**") == before != ""


def test_links_that_lead_in_circles_come_to_an_end(root: Path) -> None:
    (root / "src/deep/up").symlink_to("..")
    (root / "src/itself").symlink_to("itself")
    (root / "src/dangling").symlink_to("nowhere")
    before = digest(root, *GLOBS)
    write(root / "src/deep/b.txt", "x")
    assert digest(root, *GLOBS) not in ("", before)


def test_a_pipe_is_not_waited_for(root: Path) -> None:
    before = digest(root, *GLOBS)
    os.mkfifo(root / "src/pipe")
    assert digest(root, *GLOBS) == before


def test_where_something_that_is_watched_cannot_be_read_nothing_is_known(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_bytes = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "b.txt":
            raise PermissionError(13, "no", str(path))
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert digest(root, *GLOBS) == ""
    assert digest(root, "src/*.py") != ""


def test_what_is_watched_is_read_once_and_only_if_there_is_a_test(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    read_bytes = Path.read_bytes

    def noted(path: Path) -> bytes:
        read.append(path.relative_to(root).as_posix())
        return read_bytes(path)

    for number in range(3):
        write(root / f"tests/test_{number}.py", "")
    monkeypatch.setattr(Path, "read_bytes", noted)
    contents = Contents(root, GLOBS)
    assert not read
    assert len({contents.digest(f"tests/test_{number}.py") for number in range(3)}) == 1
    assert [path for path in read if path.startswith("src/")] == ["src/a.py", "src/deep/b.txt"]


@pytest.mark.parametrize("file", ["", "nosuch.py", "tests", "/etc/passwd"])
def test_of_what_is_no_file_below_the_rootdir_nothing_is_known(root: Path, file: str) -> None:
    assert Contents(root).digest(file) == Contents(root, GLOBS).digest(file) == ""
