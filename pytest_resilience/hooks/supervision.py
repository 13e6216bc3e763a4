"""``--supervise``: the session runs in one worker of xdist, so that its crashes and hangs do not end the session."""

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.settings.resolved import Settings

_KEY = "worker.supervise"


def supervise(config: pytest.Config, settings: Settings) -> None:
    """Ask xdist for one worker where that is set and the session has none. Before xdist looks how many it is to start.

    A debugger needs this terminal, and ``-n 0`` means no workers: then the session is as without. Raises
    pytest.UsageError when there is no xdist, or when both were typed.
    """
    if not settings[_KEY]:
        return
    option = config.option
    if not config.pluginmanager.hasplugin("xdist"):
        raise pytest.UsageError(
            f"{Code.CONFIG_INVALID}: {settings.sources[_KEY]}: this needs pytest-xdist. "
            "Install pytest-resilience[xdist], or load it with -p xdist where plugins are not loaded by themselves"
        )
    if option.numprocesses == 0 and settings.is_typed(_KEY):
        raise pytest.UsageError(
            f"{Code.OPTION_CONFLICT}: {settings.sources[_KEY]} needs a worker and -n 0 means none; give one of them"
        )
    has_workers = option.numprocesses or option.distload or option.dist != "no" or option.tx
    if option.numprocesses is None and not has_workers and not option.usepdb:
        option.numprocesses = 1
