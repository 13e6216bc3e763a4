"""A glob speaks of files and of folders with all that is in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.globs import matcher

NAMES = st.text(st.characters(exclude_characters="/*?", exclude_categories=()), min_size=1)
PATHS = st.lists(NAMES.filter(lambda name: name != "."), min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize(
    ("glob", "path"),
    [
        ("tests/test_db.py", "tests/test_db.py"),
        ("./tests/test_db.py", "tests/test_db.py"),
        ("tests", "tests/test_db.py"),
        ("tests/", "tests/db/test_db.py"),
        ("tests/*", "tests/db/test_db.py"),
        ("tests/**", "tests/db/test_db.py"),
        ("tests/test_*.py", "tests/test_db.py"),
        ("tests/test_??.py", "tests/test_db.py"),
        ("*/test_db.py", "tests/test_db.py"),
        ("*_db.py", "tests/test_db.py"),
        ("**/test_db.py", "test_db.py"),
        ("**/test_db.py", "tests/db/test_db.py"),
        ("tests/**/test_db.py", "tests/test_db.py"),
        ("tests/**/test_db.py", "tests/a/b/test_db.py"),
        ("**/a/**/b", "a/x/b/test.py"),
        ("**/db", "tests/db/deep/test_it.py"),
        ("../other", "../other/test_it.py"),
        ("tests/[db]", "tests/[db]/test_it.py"),
    ],
)
def test_a_glob_fits(glob: str, path: str) -> None:
    assert matcher([glob])(path)


@pytest.mark.parametrize(
    ("glob", "path"),
    [
        ("tests/test_db.py", "tests/test_dbxpy"),
        ("tests/test_db.py", "tests/test_db.pyc"),
        ("tests", "tests_too/test_db.py"),
        ("tests", "more/tests/test_db.py"),
        ("test_db.py", "tests/test_db.py"),
        ("*/test_db.py", "test_db.py"),
        ("**/test_db.py", "tests/my_test_db.py"),
        ("tests/test_?.py", "tests/test_db.py"),
        ("tests/[db]", "tests/d"),
        ("Tests", "tests/test_db.py"),
    ],
)
def test_a_glob_does_not_fit(glob: str, path: str) -> None:
    assert not matcher([glob])(path)


@given(PATHS)
def test_a_path_fits_itself_and_what_it_is_in(path: str) -> None:
    parts = path.split("/")
    for at in range(1, len(parts) + 1):
        assert matcher(["/".join(parts[:at])])(path)


@given(PATHS, PATHS)
def test_without_wildcards_nothing_else_fits(glob: str, path: str) -> None:
    assert matcher([glob])(path) is f"{path}/".startswith(f"{glob}/")


@given(st.lists(PATHS, min_size=1, max_size=3), PATHS)
def test_one_of_several_is_enough(globs: list[str], path: str) -> None:
    assert matcher(globs)(path) is any(matcher([glob])(path) for glob in globs)


@given(PATHS, st.data())
def test_a_star_stands_for_any_text(path: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(path)))
    end = data.draw(st.integers(start, len(path)))
    assert matcher([f"{path[:start]}*{path[end:]}"])(path)
