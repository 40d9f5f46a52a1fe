"""What most commands begin with: which stack, with which settings."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from infra.errors import ConfigurationError, MachineError
from infra.local.bring_up import BringUp
from infra.local.home import Home
from infra.local.images.catalogue import LOCAL
from infra.settings import Settings, read_stack_file
from services.engine.deploy import model_spec
from services.engine.model import InvalidModelError

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
    _refuse_what_cannot_be_served(settings, file.name)
    if (settings.cluster.context or settings.cluster.kubeconfig) and settings.cluster.registry == LOCAL:
        raise ConfigurationError(
            where=file.name, key="llmp:cluster.registry", value=LOCAL,
            allowed="another cluster cannot pull from this machine: name the registry that holds the images",
            mend="`llmp build` makes them in the cache; push them, and set llmp:cluster.registry",
        )  # fmt: skip
    return BringUp(_name(stack, settings), settings, file, Home.from_environment())


def require_root() -> None:
    """MachineError for anybody else."""
    if os.geteuid() != 0:
        raise MachineError("the local cluster belongs to root", mend="run as root (sudo -E)")


def require_rights(work: BringUp) -> None:
    """MachineError unless this user may touch the stack's state."""
    if work.makes_cluster:
        require_root()
    folder = next(path for path in (work.home.state, *work.home.state.parents) if path.exists())
    if not os.access(folder, os.W_OK):
        raise MachineError(
            f"{folder} cannot be written", mend="run as root (sudo -E), or set LLMP_STATE to a folder of yours"
        )


def _name(stack: str, settings: Settings) -> str:
    """The stack's name for the engine. It becomes a label too, hence no longer than one may be."""
    cluster = settings.cluster
    if not (cluster.context or cluster.kubeconfig):
        return stack
    where = f"{cluster.kubeconfig or ''} {cluster.context or ''}"
    readable = re.sub(r"[^A-Za-z0-9]+", "-", cluster.context or "kubeconfig").strip("-")[-30:]
    return f"{stack}.{readable}.{hashlib.sha256(where.encode()).hexdigest()[:6]}"


def _refuse_what_cannot_be_served(settings: Settings, where: str) -> None:
    """What is allowed key by key may still not fit together: the model's own rules say so."""
    try:
        model_spec(settings.engine)
    except InvalidModelError as error:
        raise ConfigurationError(
            where=where, key="llmp:engine", value=msgspec.to_builtins(settings.engine), allowed=str(error)
        ) from error
