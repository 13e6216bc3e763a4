"""The worker's side of pytest-xdist, where it is private: how a worker speaks to its controller, and hears it."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from pytest_resilience.hooks.messages import EVENT, plain


def interactor(config: pytest.Config) -> Any:
    """The plugin with which an xdist worker speaks to its controller."""
    for plugin in config.pluginmanager.get_plugins():
        if type(plugin).__name__ == "WorkerInteractor":
            return plugin
    return None


def send_values(config: pytest.Config, name: str, **values: Any) -> None:
    """Send an event of ours to the controller; quiet when it is gone."""
    channel = interactor(config)
    if channel is not None:
        with suppress(OSError):
            channel.sendevent(name, **values)


def send_event(config: pytest.Config, text: str, name: str = EVENT) -> None:
    """Send a message of ours to the controller; quiet when it is gone."""
    send_values(config, name, text=text)


def send_plain_values(config: pytest.Config) -> None:
    """Let a worker send what its channel refuses as plain values: one such value would end the whole session."""
    speaker = interactor(config)
    if speaker is None:
        return
    inner = speaker.channel.send

    def send(event: tuple[str, dict[str, Any]]) -> None:
        try:
            inner(event)
        except OSError:
            raise
        except Exception:
            inner(plain(event))

    speaker.channel.send = send


def listen(config: pytest.Config, heard: Callable[[str], bool], cut_off: Callable[[], None]) -> None:
    """Call `heard` with each message of ours from the controller, in execnet's thread; True ends the worker's queue.

    `cut_off` is called there when nothing more can come. To be called before the worker's loop begins: that is when
    the channel takes the handler.
    """
    channel = interactor(config)
    if channel is None:
        return
    inner = channel.handle_command

    def handle(command: Any) -> None:
        if type(command) is tuple and command[0] == EVENT:
            if heard(command[1]["text"]):
                inner(("shutdown", {}))  # wakes a worker that waits for its next test
            return
        if type(command) is not tuple:
            cut_off()
        inner(command)

    channel.handle_command = handle


def obey(config: pytest.Config, name: str, heard: Callable[[str], None]) -> None:
    """Call `heard` with the text of each command of this name, in execnet's thread. To be called before the loop."""
    channel = interactor(config)
    inner = channel.handle_command

    def handle(command: Any) -> None:
        if type(command) is tuple and command[0] == name:
            heard(command[1]["text"])
        else:
            inner(command)

    channel.handle_command = handle


def set_running(config: pytest.Config, index: int) -> None:
    """Make the item at this index the one that xdist takes reports for."""
    interactor(config).item_index = index


def origin(config: pytest.Config) -> dict[str, str]:
    """What xdist puts on a report to say where it comes from."""
    channel = interactor(config)
    return {"worker_id": channel.workerid, "testrun_uid": channel.testrunuid}
