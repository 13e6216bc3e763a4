"""How xdist takes it that a worker ends out of order, replaced on the session at hand: xdist 3.8 stumbles over most of it."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest

from pytest_resilience.hooks.xdist_internals import dsession


def hear_breakdowns(config: pytest.Config, heard: Callable[[Any, str], None]) -> None:
    """Call `heard(node, text)`, in the controller's loop, with each internal error of a worker.

    xdist takes such a worker for gone, which it is not yet, and ends with an internal error when it goes.
    """
    dsession(config).worker_internal_error = lambda node, formatted_error: heard(node, formatted_error)


def replace_none_when_stopping(config: pytest.Config, is_excused: Callable[[Any], bool]) -> None:
    """Start no worker in the place of one that dies while the session is stopping.

    Its test is reported as crashed, except if the worker `is_excused`.
    """
    session = dsession(config)
    inner = session.worker_errordown

    def errordown(node: Any, error: object) -> None:
        if not session.shouldstop:
            inner(node, error)
            return
        config.hook.pytest_testnodedown(node=node, error=error)
        crashed = None
        with suppress(KeyError):
            crashed = session.sched.remove_node(node)
        if crashed and not is_excused(node):
            session.handle_crashitem(crashed, node)
        session._active_nodes.discard(node)

    session.worker_errordown = errordown


def hear_late_collections(config: pytest.Config, heard: Callable[[Any, Sequence[str]], None]) -> None:
    """Call `heard(node, ids)` where xdist wants to know no more which tests there are, because it is shutting down."""
    session = dsession(config)
    inner = session.worker_collectionfinish

    def finish(node: Any, ids: Sequence[str]) -> None:
        if session.shuttingdown:
            heard(node, ids)
        inner(node, ids)

    session.worker_collectionfinish = finish


def is_cut_off(node: Any) -> bool:
    """Whether the connection to a worker broke, as it does when the process dies."""
    return getattr(node.gateway, "_error", None) is not None


def retire(node: Any, name: str, text: str) -> None:
    """Send a worker a command of this name, and give it no further tests."""
    with suppress(OSError):
        node.sendcommand(name, text=text)
    # Not the method of this object, which asks first whether something is left to do.
    type(node).shutdown(node)


def workers(config: pytest.Config) -> list[Any]:
    """All workers that have not ended, those included that are still starting. Can be asked from any thread."""
    return list(getattr(dsession(config), "_active_nodes", ()))


def kill(node: Any) -> None:
    """Kill the process of a worker, or what leads to it on another machine. Its end then comes as that of one that died."""
    with suppress(Exception):
        node.gateway._io.kill()


def hear_ourselves(config: pytest.Config, name: str, heard: Callable[[str], None]) -> None:
    """Call `heard` with the text of each event of this name, in the controller's loop."""
    setattr(dsession(config), f"worker_{name}", lambda text: heard(text))


def tell_ourselves(config: pytest.Config, name: str, text: str) -> None:
    """Put an event for `hear_ourselves` into the queue of the controller's loop."""
    dsession(config).queue.put((name, {"text": text}))
