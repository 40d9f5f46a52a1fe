"""Which `kubernetes` provider the engine gets: the real plugin where it is installed or obtainable, ours elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from infra.local.home import Home
from infra.local.kubernetes_provider.launcher import EXECUTABLE, write_launcher
from infra.versions import PULUMI_KUBERNETES

_HOST = ("get.pulumi.com", 443)
_CONNECT_SECONDS = 3.0
_INSTALL_SECONDS = 300
_REFUSAL_HOLDS_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Plugin:
    """`folder` goes in front of the engine's PATH; None when the engine finds the plugin by itself."""

    description: str
    folder: Path | None = None


def choose(pulumi: Path, home: Home) -> Plugin:
    """Decide, and install the real plugin if it can be had. A refusal is remembered for a week."""
    if (found := shutil.which(EXECUTABLE)) is not None:
        return Plugin(f"the real plugin on PATH ({found})")
    if _installed(pulumi, home):
        return Plugin(f"the real plugin, {PULUMI_KUBERNETES}")
    memory = home.plugins / "refused"
    refused = memory.exists() and time.time() - memory.stat().st_mtime < _REFUSAL_HOLDS_SECONDS
    if not refused and _reachable() and _install(pulumi, home) and _installed(pulumi, home):
        return Plugin(f"the real plugin, {PULUMI_KUBERNETES}, installed just now")
    folder = home.plugins / "python"
    write_launcher(folder)
    if not refused:
        memory.touch()
    return Plugin("the one in Python of this repository (the real plugin is neither installed nor obtainable)", folder)


def _installed(pulumi: Path, home: Home) -> bool:
    command = [str(pulumi), "plugin", "ls", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment(home))
    try:
        plugins = json.loads(done.stdout or "[]")
    except ValueError:
        return False
    return any(
        plugin.get("name") == "kubernetes" and plugin.get("version") == PULUMI_KUBERNETES for plugin in plugins or []
    )


def _reachable() -> bool:
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy")):
        return True  # only a try through the proxy can tell
    try:
        with socket.create_connection(_HOST, timeout=_CONNECT_SECONDS):
            return True
    except OSError:
        return False


def _environment(home: Home) -> dict[str, str]:
    """The home that the engine will look in."""
    return {**os.environ, "PULUMI_HOME": str(home.pulumi), "PULUMI_SKIP_UPDATE_CHECK": "true"}


def _install(pulumi: Path, home: Home) -> bool:
    command = [str(pulumi), "plugin", "install", "resource", "kubernetes", PULUMI_KUBERNETES]
    try:
        done = subprocess.run(
            command, capture_output=True, check=False, timeout=_INSTALL_SECONDS, env=_environment(home)
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
