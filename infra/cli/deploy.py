"""`llmp up`, `preview`, `destroy`, `down`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from infra.cli import doctor
from infra.cli.context import ContextOption, StackOption, bring_up, require_rights, require_root
from infra.local.bring_up import BringUp
from infra.local.cluster import node
from infra.local.cluster.layout import Layout
from infra.local.display import duration, for_console
from infra.local.home import Home
from infra.local.kubernetes_plugin import Plugin
from infra.local.lock import exclusive
from infra.local.steps import Graph, Progress, Step
from infra.stack import Report

console = Console()


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(build)
    app.command()(preview)
    app.command()(destroy)
    app.command()(down)


def up(stack: StackOption = "local", context: ContextOption = None) -> None:
    """Bring the stack up, and on this machine everything under it. Run again, it changes only what differs."""
    began = time.monotonic()
    work = bring_up(stack, context)
    require_rights(work)
    with exclusive(work.home.state), exclusive(work.home.cache):
        doctor.require(work)
        try:
            progress = work.graph().run(for_console(console))
        finally:
            if work.plugin is not None:
                _print_plugin(work.plugin)
    _print_phases(progress)
    _print_result(work, time.monotonic() - began)


def build(
    programs: Annotated[bool, typer.Option("--programs", help="Only the programs that tests need, no images.")] = False,
) -> None:
    """Build what `up` needs, and start nothing."""
    work = bring_up("local")
    with exclusive(work.home.cache):
        progress = work.build_graph(images=not programs).run(for_console(console))
    _print_phases(progress)


def preview(stack: StackOption = "local", context: ContextOption = None) -> None:
    """Show what `up` would change, and change nothing."""
    work = bring_up(stack, context)
    require_rights(work)
    with exclusive(work.home.state):
        target = work.stack()
        _print_plugin(target.plugin)
        _print_changes(_run("Preview", target.preview))


def destroy(stack: StackOption = "local", context: ContextOption = None) -> None:
    """Delete every object of the stack; the local cluster goes on running (`down` ends it)."""
    work = bring_up(stack, context)
    require_rights(work)
    with exclusive(work.home.state):
        target = work.stack()
        _print_plugin(target.plugin)
        report = _run(f"Destroy stack {work.name}", target.destroy)
    console.print(f"destroyed: {report.counts['delete']} objects")


def down() -> None:
    """End the local cluster and remove all it left. What was built stays in the cache."""
    require_root()
    home = Home.from_environment()
    began = time.monotonic()
    with exclusive(home.state):
        node.remove(Layout(home.node))
    console.print(f"the local platform is gone ({duration(time.monotonic() - began)})", highlight=False)


def _run(title: str, operation: Callable[[Callable[[str], None]], Report]) -> Report:
    reports: list[Report] = []

    def run(say: Callable[[str], None]) -> bool:
        reports.append(operation(say))
        return True

    graph = Graph()
    graph.add([Step("operation", title, run)])
    graph.run(for_console(console))
    return reports[0]


def _print_phases(progress: list[Progress]) -> None:
    changed = [item for item in progress if item.changed]
    if not changed:
        console.print("nothing to do: everything is as it should be")
        return
    table = Table("step", "time", title="What was done", title_justify="left")
    for item in changed:
        table.add_row(item.step.title, duration(item.seconds))
    console.print(table)


def _print_plugin(plugin: Plugin) -> None:
    console.print(f"kubernetes provider: {plugin.description}", style="dim", highlight=False)


def _print_changes(report: Report) -> None:
    if not report.changes:
        console.print("no changes")
        return
    table = Table("operation", "object", "type", "what differs")
    for change in report.changes:
        table.add_row(change.op, change.name, change.type.split(":", 1)[-1], ", ".join(change.keys))
    console.print(table)


def _print_result(work: BringUp, seconds: float) -> None:
    report = work.report
    if report is None:
        return
    outputs = report.outputs
    console.print(f"[bold green]ready[/bold green] after {duration(seconds)}")
    console.print()
    addresses = Table.grid(padding=(0, 2))
    for key in ("gateway_url", "prometheus_url", "alertmanager_url", "jaeger_url", "alert_receiver_url"):
        addresses.add_row(key.removesuffix("_url"), str(outputs[key]))
    addresses.add_row("api key", str(outputs["api_key"]))
    if work.makes_cluster:
        addresses.add_row("kubeconfig", str(work.node.layout.kubeconfig))
    console.print(addresses)
    console.print('\nTry it:  llmp chat "What is the capital of France?"   or paste:\n')
    # Printed without wrapping or markup: it must work when pasted.
    print(curl_line(str(outputs["gateway_url"]), str(outputs["api_key"]), str(outputs["model"])))


def curl_line(url: str, key: str, model: str) -> str:
    """A command that asks the gateway something."""
    question = '[{"role": "user", "content": "What is the capital of France?"}]'
    body = f'{{"model": "{model}", "messages": {question}, "temperature": 0}}'
    return (
        f"curl {url}/v1/chat/completions -H 'Authorization: Bearer {key}' "
        f"-H 'Content-Type: application/json' -d '{body}'"
    )
