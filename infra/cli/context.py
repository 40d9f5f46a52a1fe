"""What most commands begin with: which stack, with which settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from infra.local.bring_up import BringUp
from infra.local.home import Home
from infra.settings import read_stack_file

REPOSITORY = Path(__file__).parents[2]

StackOption = Annotated[str, typer.Option("--stack", "-s", help="Stack: the NAME of a Pulumi.NAME.yaml.")]
ContextOption = Annotated[
    str | None, typer.Option("--context", help="Use the cluster of this kubeconfig context; make none here.")
]


def bring_up(stack: str, context: str | None = None) -> BringUp:
    """The stack of that name. Refuses a wrong stack file before anything starts.

    On another cluster it is a stack of its own: one state for two clusters would make `up` on the second delete what
    stands on the first.
    """
    file = REPOSITORY / f"Pulumi.{stack}.yaml"
    settings = read_stack_file(file)
    if context is not None:
        cluster = msgspec.structs.replace(settings.cluster, context=context)
        settings = msgspec.structs.replace(settings, cluster=cluster)
    name = stack if context is None else f"{stack}.{re.sub(r'[^A-Za-z0-9_.-]', '-', context)}"
    return BringUp(name, settings, file, Home.from_environment())
