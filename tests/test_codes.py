"""Codes are for ever: what was once published keeps its number and its name, and both stay unique.

`codes.txt` lists what is in use and may only grow; `codes-reserved.txt` is the whole table, with the numbers that are
kept for problems which are not told yet.
"""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.codes import Code, told

HERE = Path(__file__).parent
PUBLISHED = (HERE / "codes.txt").read_text("ascii").splitlines()
RESERVED = {
    number: (name, category, set(severities.split("/")), set(actions.split(", ")))
    for number, name, category, severities, actions in (
        re.split(r"\s{2,}", line) for line in (HERE / "codes-reserved.txt").read_text("ascii").splitlines()
    )
}


def test_what_was_published_is_still_there() -> None:
    assert set(PUBLISHED) <= {str(code) for code in Code}


def test_a_new_code_is_added_to_the_list() -> None:
    new = [str(code) for code in Code if str(code) not in PUBLISHED]
    assert not new, f"add to {HERE.name}/codes.txt: {new}"
    assert sorted(PUBLISHED) == PUBLISHED


def test_numbers_and_names_are_unique() -> None:
    assert len({code.code for code in Code}) == len({code.value.name for code in Code}) == len(Code)
    assert len({name for name, *_ in RESERVED.values()}) == len(RESERVED)


@pytest.mark.parametrize("code", Code)
def test_a_code_is_what_the_table_reserves_its_number_for(code: Code) -> None:
    name, category, severities, actions = RESERVED[code.code]
    problem = code.value
    assert (problem.name, problem.category) == (name, category)
    assert problem.severity in severities
    assert set(problem.actions) <= actions


@pytest.mark.parametrize("code", Code)
def test_a_code_has_the_form_of_all_codes(code: Code) -> None:
    problem = code.value
    assert re.fullmatch(r"RES[1-9]\d\d", problem.code)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", problem.name)
    assert code.name == problem.name.upper().replace("-", "_")
    assert problem.title
    assert not problem.title.endswith(".")
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", action) for action in problem.actions)
    assert problem.actions or problem.severity != "error"


@pytest.mark.parametrize("code", Code)
def test_a_code_is_found_by_its_number(code: Code) -> None:
    assert Code.of(code.code) is code
    assert told(code.code, "x") == f"{code}: x"


@given(st.text())
def test_a_number_that_is_not_known_stands_alone(number: str) -> None:
    if number not in {code.code for code in Code}:
        assert Code.of(number) is None
        assert told(number, "x") == f"{number}: x"
