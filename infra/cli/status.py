"""`llmp status`: the health and address of each part, in one table; and `llmp kubectl`, which needs no kubeconfig."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import typer
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from rich.console import Console
from rich.table import Table
from urllib3.exceptions import HTTPError

from infra.cli.context import ContextOption, StackOption, bring_up, require_rights
from infra.local.bring_up import BringUp
from infra.local.home import Home
from infra.local.packages import installed

# Output of the stack → the path that tells whether the part behind it is well.
_HEALTH = {
    "gateway_url": "/v1/models",
    "prometheus_url": "/-/ready",
    "alertmanager_url": "/-/ready",
    "jaeger_url": "/api/services",
    "alert_receiver_url": "/healthz",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A line of the table."""

    name: str
    state: str
    well: bool
    address: str = ""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(status)
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(kubectl)


def status(stack: StackOption = "local", context: ContextOption = None) -> None:
    """Show each part's health and address. Exit code 1 when something is not well."""
    work = bring_up(stack, context)
    require_rights(work)
    parts = [*_node(work), *_workloads(work), *_doors(work)]
    table = Table("", "part", "state", "address")
    for part in parts:
        table.add_row("[green]ok[/green]" if part.well else "[red]no[/red]", part.name, part.state, part.address)
    console = Console()
    console.print(table)
    if work.makes_cluster:
        console.print(
            "NetworkPolicies are declared and not enforced here: the local node has no enforcer.", style="dim"
        )
    if not all(part.well for part in parts):
        raise typer.Exit(1)


def kubectl(call: typer.Context) -> None:
    """kubectl on the local cluster: the one on PATH, else the one of a Python package."""
    home = Home.from_environment()
    environment = {**os.environ, "KUBECONFIG": str(home.kubeconfig)}
    raise typer.Exit(subprocess.run([find_kubectl(home), *call.args], env=environment, check=False).returncode)


def find_kubectl(home: Home) -> Path:
    """kubectl from PATH, else from the cache, else fetched into it."""
    found = shutil.which("kubectl")
    if found is not None:
        return Path(found)
    path = installed("kubectl", home.cache) / "bin" / "kubectl"
    path.chmod(0o755)
    return path


def _node(work: BringUp) -> Iterator[Part]:
    if not work.makes_cluster:
        return
    node = work.node
    if node.process() is None:
        yield Part("node", "not running: llmp up -s local", False)
        return
    for line in node.supervisor("status").splitlines():
        name, state, *rest = line.split(maxsplit=2)
        yield Part(
            f"node/{name}", f"{state.lower()} {rest[0].split(',')[-1].strip() if rest else ''}", state == "RUNNING"
        )


def _workloads(work: BringUp) -> Iterator[Part]:
    if work.makes_cluster and work.node.process() is None:
        return
    cluster = work.settings.cluster
    file = str(work.node.layout.kubeconfig) if work.makes_cluster else cluster.kubeconfig
    api: Any = client.AppsV1Api(config.new_client_from_config(file, cluster.context))  # type: ignore[no-untyped-call]
    selector = "app.kubernetes.io/part-of=llmp"
    try:
        deployments = api.list_deployment_for_all_namespaces(label_selector=selector).items
        sets = api.list_stateful_set_for_all_namespaces(label_selector=selector).items
    except (ApiException, HTTPError) as error:
        yield Part("API server", f"does not answer: {type(error).__name__}", False)
        return
    for workload in [*deployments, *sets]:
        ready, wanted = workload.status.ready_replicas or 0, workload.spec.replicas or 0
        name = f"{workload.metadata.namespace}/{workload.metadata.name}"
        yield Part(name, f"{ready} of {wanted} ready", ready >= wanted)


def _doors(work: BringUp) -> Iterator[Part]:
    if work.makes_cluster and work.node.process() is None:
        return
    outputs = work.outputs()
    if not outputs:
        yield Part("stack", f"never brought up: llmp up -s {work.file_name}", False)
        return
    for output, path in _HEALTH.items():
        url = str(outputs[output])
        headers = {"Authorization": f"Bearer {outputs['api_key']}"} if output == "gateway_url" else {}
        try:
            answer = httpx.get(f"{url}{path}", headers=headers, timeout=5.0, trust_env=False)
            state, well = f"HTTP {answer.status_code}", answer.is_success
        except httpx.HTTPError as error:
            state, well = type(error).__name__, False
        yield Part(output.removesuffix("_url"), state, well, url)
