"""How today's session collects: what decides which tests a file has, and whether some of them are left out."""

import os
import platform
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pytest_resilience import __version__

# Options of pytest and of well-known plugins that have no part in which tests a file has. Any other is taken to have one.
_HARMLESS_WORDS = (
    "basetemp cacheclear cacheshow capture code_highlight collectonly color continue_on_collection_errors "
    "cov_append cov_branch cov_config cov_context cov_fail_under cov_precision cov_report cov_source "
    "debug disable_warnings dist distload durations durations_min failedfirst file_or_dir fold_skipped "
    "force_reruns force_short_summary fulltrace help inifilename junitprefix loadscopereorder "
    "log_auto_indent log_cli_date_format log_cli_format log_cli_level log_date_format log_file "
    "log_file_date_format log_file_format log_file_level log_file_mode log_format log_level "
    "logger_disable looponfail max_suite_reruns max_warnings maxfail maxprocesses maxschedchunk "
    "maxworkerrestart newfirst no_cov no_cov_on_fail no_header no_summary numprocesses only_rerun "
    "pastebin plugins px quiet random_order random_order_bucket random_order_seed randomly_reorganize "
    "randomly_reset_seed randomly_seed reportchars rerun_except rerun_exclude_path rerun_show_tracebacks "
    "reruns reruns_delay reruns_delay_backoff_factor reruns_mode rootdir rsyncdir rsyncignore "
    "session_timeout setupshow showcapture showlocals tbstyle testrunuid timeout "
    "timeout_disable_debugger_detection timeout_method trace traceconfig tx usepdb usepdb_cls verbose "
    "version xfail_tb xmlpath"
)
_HARMLESS = frozenset(_HARMLESS_WORDS.split())
# These leave tests out, see `is_narrowed`.
_NARROWING = frozenset(
    {"keyword", "markexpr", "deselect", "lf", "stepwise", "stepwise_skip", "stepwise_reset"}
)
_OF_NO_PART = _HARMLESS | _NARROWING
# Who runs the tests does not collect others.
_OF_NO_MATTER = frozenset({"pytest_resilience", "xdist"})


def how(config: pytest.Config) -> str:
    """A digest of all that decides which tests a file has, the file and its conftests left out.

    That is: pytest and Python, the plugins with their versions or contents, the configuration file, and every option
    that is not known to be harmless. Empty when it cannot be known.
    """
    total = blake2b(digest_size=8)
    try:
        content = config.inipath.read_bytes() if config.inipath is not None else b""
        total.update(blake2b(content).digest())
        for part in (pytest.__version__, platform.python_version(), *_plugins(config), *_options(config)):
            total.update(f"{part}\0".encode("utf-8", "surrogatepass"))
    except Exception:
        # Of a value that cannot be shown nobody knows whether it is the same.
        return ""
    return total.hexdigest()


def is_narrowed(config: pytest.Config) -> bool:
    """Whether the session is asked to leave out tests of files that it collects."""
    is_asked = any(getattr(config.option, name, None) for name in _NARROWING)
    return is_asked or any("::" in str(argument) for argument in config.args)


def _plugins(config: pytest.Config) -> Iterator[str]:
    manager, project = config.pluginmanager, f"{config.rootpath}{os.sep}"
    for name, plugin in sorted(manager.list_name_plugin(), key=lambda one: one[0]):
        if not isinstance(plugin, ModuleType) or plugin.__name__.partition(".")[0] in _OF_NO_MATTER:
            continue
        file = plugin.__file__ or ""
        if not file.endswith(f"{os.sep}conftest.py"):
            yield name
            # A plugin that belongs to the project has no version.
            yield blake2b(Path(file).read_bytes()).hexdigest() if file.startswith(project) else ""
    versions = {_name_and_version(dist) for _, dist in manager.list_plugin_distinfo()}
    yield from sorted(one for one in versions if not one.startswith("pytest-xdist "))
    yield f"pytest-resilience {__version__}"


def _name_and_version(dist: Any) -> str:
    # To ask for them has the whole description parsed as a mail, which takes longer than all else here.
    head = (dist.read_text("METADATA") or "").partition("\n\n")[0]
    found = dict(line.partition(": ")[::2] for line in head.splitlines())
    if found.keys() >= {"Name", "Version"}:
        return f"{found['Name']} {found['Version']}"
    return f"{dist.project_name} {dist.version}"


def _options(config: pytest.Config) -> Iterator[str]:
    for name, value in sorted(vars(config.option).items()):
        if name not in _OF_NO_PART and not name.startswith("resilience_"):
            yield f"{name}={value!r}"
