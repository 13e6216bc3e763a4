"""The RESUME line of the summary: the command as it is printed works where it is typed."""

import pytest

from .harness import Batch


def command_of(batch: Batch, *args: str) -> str:
    run = batch.run_apart("-p", "resilience", *args)
    command, dash, _ = run.line("RESUME").rpartition(" - ")
    assert dash
    return command


ONCE = "import pathlib\ndef test_a():\n    mark = pathlib.Path(__file__).with_name('mark')\n    assert mark.exists() or mark.touch()\n"


@pytest.mark.parametrize(
    ("folder", "args"),
    [
        ("", ()),
        ("sub", ()),
        ("", ("-c", "other.ini")),
        ("sub", ("-c", "../other.ini")),
        ("", ("--resilience-dir", "elsewhere")),
        ("sub", ("--resilience-dir", "else where")),
        ("", ("--rootdir", "sub", "sub")),
    ],
)
def test_the_printed_command_works_where_it_is_typed(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, folder: str, args: tuple[str, ...]
) -> None:
    files = {
        "pytest.ini": "[pytest]\n",
        "other.ini": "[pytest]\npython_files = test_*.py\n",
        "sub/test_a.py": ONCE,
        "test_b.py": "def test_b(): pass",
    }
    batch = Batch(pytester, files)
    monkeypatch.chdir(batch.root / folder)
    monkeypatch.setattr(pytester, "_path", batch.root / folder)
    run = batch.type(f"{command_of(batch, *args)} -p no:asyncio")
    assert (run.status, run.outcomes.get("passed")) == (0, 1), run.text
    assert run.outcomes.get("carried_over", 0) <= 1


def test_a_suite_below_is_resumed_without_what_stands_beside_it(pytester: pytest.Pytester) -> None:
    """Without a path pytest loads ``test*/conftest.py`` of the folder where it is called."""
    files = {
        "sub/pytest.ini": "[pytest]\n",
        "sub/test_a.py": ONCE,
        "tests/conftest.py": "import no_such_module",
    }
    batch = Batch(pytester, files)
    run = batch.type(f"{command_of(batch, 'sub')} -p no:asyncio")
    assert (run.status, run.outcomes) == (0, {"passed": 1}), run.text
