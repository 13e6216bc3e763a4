"""The folders of runs: a run is there with all it needs or not at all, and only its owner's store is trusted."""

import errno
import json
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.facts import SelectionDone, TestFinished, TestInherited, TestsSelected
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.ledger import machine
from pytest_resilience.ledger.disk import Disk
from pytest_resilience.ledger.final import Final, read_final
from pytest_resilience.ledger.reading import Damage, facts_of, read
from pytest_resilience.ledger.runinfo import CARRY, began_at, differences
from pytest_resilience.ledger.runs import (
    RUN_ID,
    AmbiguousRun,
    BadRun,
    NoSuchRun,
    RunFolder,
    RunInfo,
    Store,
    UnsafeStore,
    UnsupportedFormat,
    new_run_id,
    run_key,
)
from pytest_resilience.ledger.segments import Segment

from .. import ledgers

MOMENT = 1769000000.0


def info(*, now: float = MOMENT, random: bytes = b"", **others: Any) -> RunInfo:
    return ledgers.info(now, id=new_run_id(now, random or os.urandom(8)), **others)


def store_in(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


# Of this one more is different from other tests than its seconds, so it has a line of its own.
UNLIKE = [TestInherited(key="b", outcome=Outcome.FAILED, run="r")]


def passed(key: str) -> TestInherited:
    return TestInherited(key=key, outcome=Outcome.PASSED, run=new_run_id(MOMENT, bytes(8)))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---- ids and keys


def test_the_id_of_a_run_is_its_time_and_chance() -> None:
    assert new_run_id(1768962855.1234, bytes(range(8))) == "20260121T023415123Z-0001020304050607"


@given(st.floats(0, 4e9), st.binary(min_size=8, max_size=16))
def test_every_id_can_be_told_from_other_names_and_knows_its_time(now: float, random: bytes) -> None:
    run_id = new_run_id(now, random)
    assert RUN_ID.fullmatch(run_id)
    assert began_at(run_id) == pytest.approx(now, abs=0.0011)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "20260121T023415123Z-000102030405060",
        "x" * 36,
        "\uff12\uff10260121T023415123Z-0001020304050607",
    ],
)
def test_what_is_no_id_has_no_time(name: str) -> None:
    with pytest.raises(ValueError, match="not the id"):
        began_at(name)


def test_runs_that_must_not_take_each_other_have_different_keys() -> None:
    keys = {
        run_key("/r", {}, (3, 12, 1), "linux"),
        run_key("/s", {}, (3, 12, 1), "linux"),
        run_key("/r", {"TOX_ENV_NAME": "py"}, (3, 12, 1), "linux"),
        run_key("/r", {"NOX_CURRENT_SESSION": "py"}, (3, 12, 1), "linux"),
        run_key("/r", {"CI_NODE_INDEX": "2"}, (3, 12, 1), "linux"),
        run_key("/r", {}, (3, 13, 0), "linux"),
        run_key("/r", {}, (3, 12, 1), "darwin"),
        run_key("/r", {}, (3, 12, 1), "linux", "--splits=2 --group=1"),
        run_key("/r", {"CI_NODE_INDEX": "2"}, (3, 12, 1), "linux", "--splits=2 --group=1"),
    }
    assert len(keys) == 9


def test_a_patch_release_of_python_and_other_variables_do_not_matter() -> None:
    plain = run_key("/r", {}, (3, 12, 1), "linux")
    assert run_key("/r", {"HOME": "/h"}, "3.12.9", "linux") == plain
    assert json.loads(plain) == ["/r", "", "", "3.12", "linux"]


def test_keys_tell_in_words_what_they_differ_in() -> None:
    then = run_key("/r", {"TOX_ENV_NAME": "py"}, (3, 12), "linux")
    today = run_key("/s", {}, (3, 13), "linux", "--splits=2 --group=1")
    assert differences(then, today) == [
        "rootdir was /r and is /s",
        "environment was TOX_ENV_NAME=py and is none",
        "shard was none and is --splits=2 --group=1",
        "Python was 3.12 and is 3.13",
    ]
    assert differences(then, then) == []


@given(st.text() | st.recursive(st.none() | st.text(), lambda some: st.lists(some)).map(json.dumps))
def test_what_is_no_key_of_ours_differs_in_nothing_that_can_be_told(then: str) -> None:
    told = differences(then, run_key("/r", {}, (3, 12), "linux"))
    assert told == [] or len(json.loads(then)) == 5


# ---- run.json


def test_a_run_is_the_same_after_being_json() -> None:
    before = info(
        args=("-k", "a b"),
        paths=("tests/\ud83d",),
        keyword="a b",
        parent=new_run_id(0, bytes(8)),
        versions={"pytest": "9.2"},
        inherited=3,
    )
    assert RunInfo.from_json(before.to_json()) == before


def test_what_a_newer_release_added_to_a_run_is_ignored() -> None:
    before = info()
    assert RunInfo.from_json(json.dumps({**json.loads(before.to_json()), "later": [1]})) == before


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(list(json.loads(info().to_json()))), JSON))
def test_a_run_with_other_members_is_a_run_or_is_refused(changes: dict[str, object]) -> None:
    text = json.dumps({**json.loads(info().to_json()), **changes})
    with suppress(BadRun):
        assert isinstance(RunInfo.from_json(text), RunInfo)


@given(st.text() | st.binary())
def test_no_text_is_taken_for_a_run(text: str | bytes) -> None:
    with pytest.raises(BadRun):
        RunInfo.from_json(text)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "9" * 10_000, '{"id":"../../x","key":"","rootdir":""}', "null"]
)
def test_hostile_runs_are_refused(text: str) -> None:
    with pytest.raises(BadRun):
        RunInfo.from_json(text)


# ---- making


def test_a_run_is_made_with_its_description_and_its_owner(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    folder = store.create(info())
    assert store.runs() == [folder.info]
    assert names_in(folder.path) == ["owner.lock", "run.json"]
    assert folder.writers_alive() == ["owner"]
    folder.release()
    folder.release()
    assert folder.writers_alive() == []


def test_a_run_inherits_what_it_is_given(tmp_path: Path) -> None:
    folder = store_in(tmp_path).create(info(), [passed("a"), *UNLIKE])
    folder.release()
    assert list(facts_of(folder.path)) == [("carry", one) for one in (passed("a"), *UNLIKE)]
    assert folder.info.inherited == 2


def test_inherited_tests_that_are_gone_are_missed(tmp_path: Path) -> None:
    folder = store_in(tmp_path).create(info(), [passed("a"), *UNLIKE])
    folder.release()
    lines = (folder.path / CARRY).read_bytes().splitlines(keepends=True)
    (folder.path / CARRY).write_bytes(lines[0])
    reading = read(folder.path)
    assert len(list(reading.records)) == 1
    assert reading.problems == [Damage(CARRY, 0, "1 inherited tests are missing")]
    (folder.path / CARRY).unlink()
    assert list(reading.records) == []
    assert reading.problems == [Damage(CARRY, 0, "2 inherited tests are missing")]


@pytest.mark.invariant(23)
def test_only_the_owner_can_get_at_a_store_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o000)
    try:
        store = store_in(tmp_path)
        folder = store.create(info(), [passed("a")])
        folder.write_selection([TestsSelected(keys=("a",))], SelectionDone(total=1))
        folder.finish(exit_status=0, counts={})
    finally:
        os.umask(before)
    folder.release()
    for path in [store.root, *store.root.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_store_is_invisible_to_git_and_to_backups_and_tells_its_format(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.create(info()).release()
    assert (store.root / ".gitignore").read_text() == "*\n"
    assert (store.root / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55")
    assert json.loads((store.root / "FORMAT").read_text()) == {
        "format": "pytest-resilience",
        "major": 1,
        "minor": 0,
    }


class FailsAt(Disk):
    """Fails in the call with this number, of those that change something."""

    def __init__(self, number: int) -> None:
        self.left = number

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.EIO, "input/output error")

    def open_new(self, name: str, folder: int) -> int:
        self._count()
        return super().open_new(name, folder)

    def append(self, fd: int, data: bytes) -> int:
        self._count()
        return super().append(fd, data)

    def datasync(self, fd: int) -> None:
        self._count()
        super().datasync(fd)

    def rename(self, old: str, new: str, folder: int) -> None:
        self._count()
        super().rename(old, new, folder)


def test_a_run_that_cannot_be_made_leaves_nothing_behind(tmp_path: Path) -> None:
    for number in range(100):
        root = tmp_path / str(number)
        try:
            folder = Store(root, disk=FailsAt(number)).create(info(), [passed("a")])
        except OSError:
            assert not root.joinpath("runs").exists() or names_in(root / "runs") == []
            assert Store(root).runs() == []
            continue
        assert len(list(facts_of(folder.path))) == 1
        folder.release()
        break
    assert number > 15


def test_what_no_run_can_be_made_of_is_an_error_of_the_system_for_the_caller(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    with pytest.raises(OSError, match="not the id"):
        store.create(info()._replace(id="../../evil"))
    with pytest.raises(OSError, match="number of things"):
        store.create(info(), [passed("a")._replace(attempts=-1)])
    assert store.runs() == []
    assert not (tmp_path / "evil").exists()


# ---- a store that is not to be trusted


@pytest.mark.invariant(22)
def test_a_store_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir(0o700)
    (tmp_path / "store").symlink_to(tmp_path / "victim")
    with pytest.raises(UnsafeStore, match="link"):
        store_in(tmp_path).create(info())
    with pytest.raises(UnsafeStore, match="link"):
        store_in(tmp_path).runs()
    assert names_in(tmp_path / "victim") == []


@pytest.mark.invariant(22)
def test_runs_that_are_a_link_are_refused(tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir(0o700)
    (tmp_path / "store").mkdir(0o700)
    (tmp_path / "store" / "runs").symlink_to(tmp_path / "victim")
    with pytest.raises(UnsafeStore):
        store_in(tmp_path).create(info())
    assert names_in(tmp_path / "victim") == []


@pytest.mark.invariant(23)
@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_a_store_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    store = store_in(tmp_path)
    store.create(info()).release()
    store.root.chmod(mode)
    with pytest.raises(UnsafeStore, match="others"):
        store.create(info())
    with pytest.raises(UnsafeStore, match="others"):
        store.runs()


@pytest.mark.invariant(23)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_store_of_somebody_else_is_refused(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.create(info()).release()
    os.chown(store.root, 12345, 12345)
    with pytest.raises(UnsafeStore, match="somebody else"):
        store.runs()


@pytest.mark.invariant(22)
@pytest.mark.parametrize("plant", [Path.touch, os.mkfifo])
def test_a_store_that_is_no_folder_is_refused(tmp_path: Path, plant: Callable[[Path], None]) -> None:
    plant(tmp_path / "store")
    with pytest.raises(OSError, match="folder"):
        store_in(tmp_path).create(info())


@pytest.mark.invariant(27)
@pytest.mark.parametrize("content", ['{"major": 2, "minor": 0}', "", "[]", '{"major": true}', "[" * 4000])
def test_a_store_of_an_unknown_format_is_left_untouched(tmp_path: Path, content: str) -> None:
    store = store_in(tmp_path)
    store.create(info()).release()
    (store.root / "FORMAT").write_text(content)
    before = sorted(store.root.rglob("*"))
    with pytest.raises(UnsupportedFormat):
        store.create(info())
    with pytest.raises(UnsupportedFormat):
        store.find("2")
    assert sorted(store.root.rglob("*")) == before


@pytest.mark.invariant(27)
def test_a_newer_minor_format_is_read(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.create(info()).release()
    (store.root / "FORMAT").write_text('{"major": 1, "minor": 7, "later": true}')
    assert len(store.runs()) == 1


# ---- finding


def test_runs_come_oldest_first(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    made = []
    for seconds in (3, 1, 2):
        folder = store.create(info(now=MOMENT + seconds))
        folder.release()
        made.append(folder.info)
    assert store.runs() == sorted(made, key=lambda run: run.started)


def test_a_store_that_is_not_there_has_no_runs(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    assert store.runs() == []
    assert not store.root.exists()
    with pytest.raises(NoSuchRun):
        store.find("2")


def test_runs_that_cannot_be_read_are_told_and_cost_no_other(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    folders = [store.create(info(now=MOMENT + seconds)) for seconds in range(6)]
    for folder in folders:
        folder.release()
    (folders[0].path / "run.json").unlink()
    (folders[1].path / "run.json").write_bytes(b"\xff")
    (folders[2].path / "run.json").write_text(folders[5].info.to_json())
    (folders[3].path / "run.json").unlink()
    os.mkfifo(folders[3].path / "run.json")
    (folders[4].path / "run.json").write_bytes(b" " * 2_000_000)
    assert store.runs() == [folders[5].info]
    assert [run_id for run_id, _ in store.problems] == [folder.id for folder in folders[:5]]
    assert all(why for _, why in store.problems)


def test_a_run_is_found_by_any_beginning_that_is_its_own(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    first = store.create(info(random=bytes.fromhex("1c9e000000000000")))
    second = store.create(info(now=MOMENT + 90_000, random=bytes.fromhex("1c9f000000000000")))
    for folder in (first, second):
        folder.release()
    assert store.find("1c9e") == first.info
    assert store.find(first.id) == first.info
    assert store.find(second.id[:8]) == second.info
    assert store.folder(first.id).info == first.info
    with pytest.raises(AmbiguousRun) as ambiguous:
        store.find("1c9")
    assert ambiguous.value.candidates == (first.id, second.id)
    with pytest.raises(NoSuchRun) as missing:
        store.find("abc")
    assert missing.value.candidates == (first.id, second.id)


@pytest.mark.invariant(22)
@pytest.mark.parametrize("asked", ["..", "../..", "/etc", "", ".new-", "\0", "*"])
def test_what_is_asked_for_is_never_a_path(tmp_path: Path, asked: str) -> None:
    store = store_in(tmp_path)
    for second in range(2):
        store.create(info(now=MOMENT + second)).release()
    with pytest.raises((NoSuchRun, AmbiguousRun)):
        store.find(asked)
    with pytest.raises(NoSuchRun):
        store.folder(asked)


# ---- the folder of a run


def test_the_selection_is_there_all_at_once(tmp_path: Path) -> None:
    folder = store_in(tmp_path).create(info())
    keys = tuple(f"test_{number}" for number in range(1300))
    folder.write_selection(
        [TestsSelected(keys=keys), TestsSelected(keys=("x",), fate="held")], SelectionDone(total=1301)
    )
    folder.release()
    facts = [fact for _, fact in facts_of(folder.path)]
    assert [fact.keys for fact in facts if isinstance(fact, TestsSelected)] == [
        keys[:500],
        keys[500:1000],
        keys[1000:],
        ("x",),
    ]
    assert facts[-1] == SelectionDone(total=1301)
    assert names_in(folder.path) == ["owner.lock", "run.json", "tests.jsonl"]


def test_a_selection_that_cannot_be_written_is_not_there(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    made = store.create(info())
    for number in range(4):
        folder = RunFolder(made.path, made.info, disk=FailsAt(number))
        with pytest.raises(OSError, match="input/output"):
            folder.write_selection([TestsSelected(keys=("a",))], SelectionDone(total=1))
        assert names_in(made.path) == ["owner.lock", "run.json"]
    made.release()


def test_the_writers_that_are_alive_are_known(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    folder = store.create(info())
    assert folder.hold("gw0.1.00000000") is not None
    assert folder.hold("gw1.2.00000000") is not None
    view = store.folder(folder.id)
    assert view.writers_alive() == ["owner", "gw0.1.00000000", "gw1.2.00000000"]
    assert view.hold("gw0.1.00000000") is None
    view.release()
    assert len(view.writers_alive()) == 3
    folder.release()
    assert view.writers_alive() == []
    assert not RunFolder.is_alive(folder.path)


@pytest.mark.parametrize("writer", ["../../x", "", "gw0", "gw0.1.0000000g"])
def test_a_writer_with_a_name_that_is_none_holds_nothing(tmp_path: Path, writer: str) -> None:
    folder = store_in(tmp_path).create(info())
    assert folder.hold(writer) is None
    folder.release()
    assert names_in(folder.path) == ["owner.lock", "run.json"]


def test_a_worker_joins_the_run_it_was_told_of_and_no_other(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    made = store.create(info(nonce="n", host=machine.host(), boot=machine.boot()))
    made.release()
    joined = RunFolder.join(made.path, "n")
    assert joined is not None
    assert joined.info == made.info
    assert RunFolder.join(made.path, "other") is None
    assert RunFolder.join(tmp_path / "elsewhere", "n") is None
    foreign = store.create(info(nonce="n", host="elsewhere", boot=machine.boot()))
    foreign.release()
    assert RunFolder.join(foreign.path, "n") is None


@pytest.mark.invariant(31)
def test_the_account_of_a_run_holds_as_long_as_its_files_do(tmp_path: Path) -> None:
    folder = store_in(tmp_path).create(info())
    segment = Segment.create(folder.path, "ctl", run=folder.id, trouble=lambda code, why: pytest.fail(why))
    segment.write(TestFinished(key="a", outcome=Outcome.PASSED))
    segment.close()
    assert folder.final() is None
    assert folder.finish(exit_status=0, counts={"passed": 1})
    folder.release()
    assert folder.final() == Final(exit_status=0, counts={"passed": 1})
    file = folder.path / f"seg-{segment.writer}.jsonl"
    content = file.read_bytes()
    for damaged in (content[:-1], content.replace(b"passed", b"failed"), content + b"\n"):
        file.write_bytes(damaged)
        assert folder.final() is None
    file.write_bytes(content)
    assert folder.final() is not None
    file.write_bytes(content.replace(b"passed", b"failed"))
    assert read_final(folder.path, sizes_only=True) is not None
    file.write_bytes(content[1:])
    assert read_final(folder.path, sizes_only=True) is None
    file.write_bytes(content)
    (folder.path / "seg-gw9.1.00000000.jsonl").touch()
    assert folder.final() is None


@pytest.mark.invariant(31)
@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"exit":"0","counts":{},"files":{}}', "[" * 50_000]
)
def test_an_account_that_is_none_is_ignored(tmp_path: Path, text: str) -> None:
    folder = store_in(tmp_path).create(info())
    folder.release()
    (folder.path / "final.json").write_text(text)
    assert folder.final() is None


def test_an_account_that_cannot_be_written_is_no_trouble(tmp_path: Path) -> None:
    gone = RunFolder(tmp_path / "gone", info())
    assert not gone.finish(exit_status=0, counts={})
    assert gone.writers_alive() == []
    assert gone.hold("gw0.1.00000000") is None
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize(
    ("status", "counts", "nothing_left"),
    [
        (0, {"passed": 3, "flaky": 1}, True),
        (1, {"passed": 3}, False),
        (0, {"passed": 3, "not_run": 1}, False),
    ],
)
def test_a_run_leaves_something_when_a_test_is_outstanding_or_it_was_not_green(
    status: int, counts: dict[str, int], nothing_left: bool
) -> None:
    assert Final(exit_status=status, counts=counts).leaves_nothing is nothing_left


@pytest.mark.invariant(20)
def test_32_runs_made_at_once_are_32_runs(tmp_path: Path) -> None:
    begin, release = os.pipe()
    children = []
    now = time.time()
    for _ in range(32):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(release)
                os.read(begin, 1)
                store_in(tmp_path).create(info(now=now), [passed("a")])
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    os.close(begin)
    os.close(release)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 32
    runs = store_in(tmp_path).runs()
    assert len({run.id for run in runs}) == 32
