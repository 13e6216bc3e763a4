"""Every invariant of the ledger is shown by a test, and the table of them says which there are."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "explanation" / "ledger.md"
ALL = range(1, 33)
# A budget that machines share does not exist yet.
NOT_YET = {30}


def numbers_in(text: str) -> Iterator[object]:
    """The arguments of all `pytest.mark.invariant` in a source."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.invariant":
            for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                yield argument.value if isinstance(argument, ast.Constant) else ast.unparse(argument)


def shown() -> dict[object, list[str]]:
    """In which files each number is shown."""
    found: dict[object, list[str]] = {}
    for path in sorted(TESTS.rglob("*.py")):
        for number in numbers_in(path.read_text("utf-8")):
            found.setdefault(number, []).append(path.relative_to(TESTS).as_posix())
    return found


def test_the_table_has_each_number_once_and_in_order() -> None:
    rows = re.findall(r"^\| (\d+) \| \S.*\. \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert [int(number) for number in rows] == list(ALL)


def test_tests_name_only_numbers_that_there_are() -> None:
    assert {number: files for number, files in shown().items() if number not in ALL} == {}


def test_every_invariant_is_shown_by_a_test() -> None:
    assert sorted(set(ALL) - NOT_YET - shown().keys()) == []


def test_what_does_not_exist_yet_is_shown_by_no_test() -> None:
    assert not NOT_YET & shown().keys()


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("@pytest.mark.invariant(3, 4)\ndef test(): ...", [3, 4]),
        ("pytestmark = [pytest.mark.invariant(7)]", [7]),
        ("@pytest.mark.invariant(some(), number=5)\ndef test(): ...", ["some()", 5]),
        ("@pytest.mark.slow(3)\ndef test(): 'pytest.mark.invariant(1)'", []),
    ],
)
def test_the_numbers_are_found_where_they_are_used(text: str, numbers: list[object]) -> None:
    assert list(numbers_in(text)) == numbers
