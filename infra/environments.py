"""From a stack's configuration to the program: which environment, with which secrets. The one place that chooses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pulumi
from pulumi.runtime.config import CONFIG, get_config_env

from infra import program
from infra.errors import ClusterError
from infra.identity import Identity
from infra.local import platform as local
from infra.local.cluster.layout import Layout
from infra.local.home import Home
from infra.local.images.catalogue import references
from infra.local.toolchain.build import Toolchain
from infra.local.toolchain.go import find_go
from infra.platform import Platform
from infra.secrets import Secrets
from infra.settings import Settings, parse


def main() -> None:
    """The program as `pulumi up` runs it: settings and secrets come from the stack's configuration."""
    stack = pulumi.get_stack()
    settings = parse(CONFIG.get() or get_config_env(), where=f"Pulumi.{stack}.yaml")
    program.run(settings, Secrets.from_config(stack), environment(settings, Home.from_environment()))


def environment(settings: Settings, home: Home) -> Callable[[Identity], Platform]:
    """What makes the Platform of the stack's environment."""
    toolchain = Toolchain(home.programs, home.cache / "go-build", find_go(home.cache))
    cluster = settings.cluster
    images = references(toolchain, cluster.registry)
    if cluster.context or cluster.kubeconfig:
        return partial(
            local.existing, kubeconfig=cluster.kubeconfig, context=cluster.context, ports=cluster.ports, images=images
        )
    layout = Layout(home.node)
    if not layout.kubeconfig.exists():
        raise ClusterError("the local cluster does not run", mend="start it with `llmp up -s local`")
    kubeconfig = layout.kubeconfig.read_text()
    return partial(local.embedded, layout=layout, kubeconfig=kubeconfig, ports=cluster.ports, images=images)
