"""What faulthandler wrote for a process is found again: its end where it is much, nothing where it is strange."""

import os
from pathlib import Path

from pytest_resilience.ledger.stacks import (
    MOST_BYTES,
    open_stacks,
    read_stacks,
    size_of_stacks,
    stacks_name,
)


def test_each_process_has_a_file_that_grows(tmp_path: Path) -> None:
    fd = open_stacks(tmp_path, "gw0", 7)
    os.write(fd, b"one")
    again = open_stacks(tmp_path, "gw0", 7)
    os.write(again, b"two")
    other = open_stacks(tmp_path, "gw1", 7)
    os.write(other, b"three")
    assert read_stacks(tmp_path, "gw0", 7) == "onetwo"
    assert read_stacks(tmp_path, "gw0", 7, after=3) == "two"
    assert size_of_stacks(tmp_path, "gw0", 7) == 6
    assert (tmp_path / stacks_name("gw0", 7)).stat().st_mode & 0o777 == 0o600
    assert read_stacks(tmp_path, "gw2", 7) == ""
    for one in (fd, again, other):
        os.close(one)


def test_of_much_the_end_is_read(tmp_path: Path) -> None:
    (tmp_path / stacks_name("gw0", 7)).write_bytes(b"a" * MOST_BYTES + b"the end\xff")
    text = read_stacks(tmp_path, "gw0", 7)
    assert text.endswith("the end\\xff")
    assert len(text) < MOST_BYTES + 10


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / stacks_name("gw0", 7)).symlink_to(tmp_path / "secret")
    assert read_stacks(tmp_path, "gw0", 7) == ""


def test_the_name_of_a_worker_leads_nowhere_else() -> None:
    assert stacks_name("../../x", 7) == "stacks-______x.7.txt"
