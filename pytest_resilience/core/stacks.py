"""What a dump of faulthandler shows of a test: its own frames, without those of what runs the tests."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

# A dump is somebody's file: what is read of it and what is shown have bounds.
_MOST_FRAMES = 25
_MOST_THREADS = 8

_FATAL = "Fatal Python error: "
_THREAD = re.compile(
    r"(?P<current>Current thread|Thread) (?P<id>0x[0-9a-f]+)(?: \[(?P<name>.*)\])? \(most recent call first\):"
)
_FRAME = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d+|\?\?\?)(?: in (?P<function>.*))?')

# Who calls a test, and whose threads wait while it runs. What is within the project is shown from there.
_MACHINERY = re.compile(
    r"^/.*/(?:_pytest|pytest|pluggy|xdist|execnet|pytest_resilience|importlib)/"
    r"|^/.*/pytest_timeout\.py$|^<(?:string|frozen .*)>$|^\?\?\?$"
)
_THREADING = re.compile(r"/(?:threading|concurrent/futures/thread)\.py$")
_INSTALLED = re.compile(r"/(?:site|dist)-packages/")


@dataclass(frozen=True, slots=True)
class Frame:
    """A call that had not returned: ``tests/test_a.py:7 in test_a``."""

    file: str
    line: str
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}"

    @property
    def is_within(self) -> bool:
        """Whether it belongs to the project."""
        return not self.file.startswith(("/", "<", "?"))

    @property
    def is_machinery(self) -> bool:
        """Whether it belongs to what runs the tests."""
        return _MACHINERY.search(self.file) is not None


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread with its calls, the innermost first."""

    id: str
    name: str
    is_current: bool
    frames: list[Frame] = field(default_factory=list)

    @property
    def of_test(self) -> list[Frame]:
        """The frames without those of the machinery; all of them where it does nothing else."""
        return [frame for frame in self.frames if not frame.is_machinery] or self.frames

    @property
    def only_waits(self) -> bool:
        """Whether nothing but the machinery and the standard library's threads is on it."""
        return all(frame.is_machinery or _THREADING.search(frame.file) for frame in self.frames)


@dataclass(frozen=True, slots=True)
class Stacks:
    """The last dump of a process. `error` is the fatal error that it died of, empty when somebody asked for it."""

    error: str
    threads: list[Thread]

    @property
    def main(self) -> Thread | None:
        """The thread that the test runs on: the one that died, else the one that came first, which is dumped last."""
        if self.error:
            current = next((thread for thread in self.threads if thread.is_current), None)
            if current is not None:
                return current
        return self.threads[-1] if self.threads else None

    @property
    def frames(self) -> list[Frame]:
        """The test's own frames, the innermost first."""
        main = self.main
        return main.of_test if main is not None else []

    @property
    def place(self) -> Frame | None:
        """The innermost frame within the project, else the innermost at all."""
        frames = self.frames
        return next((frame for frame in frames if frame.is_within), frames[0] if frames else None)

    def in_short(self) -> str:
        """The test's own frames, one a line: what there is room for in the ledger."""
        return "\n".join(map(str, self.frames[:_MOST_FRAMES]))

    def __str__(self) -> str:
        """What a person wants to see: the test's thread, then all others that do something."""
        main = self.main
        if main is None:
            return ""
        others = [thread for thread in self.threads if thread is not main and not thread.only_waits]
        parts = [f"{_FATAL}{self.error}"] if self.error else []
        parts += ["\n".join(self._lines("The thread of the test", main))]
        for thread in others[:_MOST_THREADS]:
            title = f"Thread {thread.name or thread.id}"
            parts.append("\n".join(self._lines(title, thread)))
        if len(others) > _MOST_THREADS:
            parts.append(f"... and {len(others) - _MOST_THREADS} more threads")
        return "\n\n".join(parts)

    @staticmethod
    def _lines(title: str, thread: Thread) -> Iterator[str]:
        yield f"{title} (most recent call first):"
        shown = thread.of_test[:_MOST_FRAMES]
        if not shown:
            yield "  no Python code"
        for frame in shown:
            yield f'  File "{frame.file}", line {frame.line}, in {frame.function}'
        left = len(thread.frames) - len(shown)
        if left:
            yield f"  and {left} frame{'s' if left > 1 else ''} of what runs the tests"


def parse(text: str, root: str = "") -> Stacks | None:
    """The last dump in what faulthandler wrote, None when there is none; files below `root` are shown from there."""
    before, is_fatal, after = text.rpartition(_FATAL)
    error, _, dump = after.partition("\n") if is_fatal else ("", "", before or after)
    threads: list[Thread] = []
    known: set[str] = set()
    for line in dump.splitlines():
        if match := _THREAD.fullmatch(line):
            if match["id"] in known:
                # The next dump begins.
                threads, known = [], set()
            known.add(match["id"])
            threads.append(Thread(match["id"], match["name"] or "", match["current"] != "Thread"))
        elif (match := _FRAME.fullmatch(line)) and threads:
            file = _from_root(match["file"], root.rstrip("/"))
            threads[-1].frames.append(Frame(file, match["line"], match["function"] or "???"))
    if not threads and not error:
        return None
    return Stacks(error.strip(), threads)


def _from_root(file: str, root: str) -> str:
    is_within = root and file.startswith(f"{root}/") and not _INSTALLED.search(file)
    return file[len(root) + 1 :] if is_within else file
