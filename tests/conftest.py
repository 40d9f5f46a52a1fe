"""What tests of several folders share: the built programs, and one control plane a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.local.cluster.standalone import standalone
from infra.local.home import Home
from infra.local.toolchain import families
from infra.local.toolchain.build import Toolchain
from infra.local.toolchain.go import find_go


@pytest.fixture(scope="session")
def program() -> Callable[[families.Family, str], Path]:
    """Finds a built program; fails when it is not built, because a test that skips itself proves nothing."""
    home = Home.from_environment()
    toolchain = Toolchain(home.programs, home.cache / "go-build", find_go(home.cache))

    def find(family: families.Family, name: str) -> Path:
        path = toolchain.path(family, name)
        if not path.exists():
            pytest.fail(f"{name} is not built: run `llmp build --programs` (`make test` does)")
        return path

    return find


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory, program: Callable[..., Path]) -> Iterator[Path]:
    """Administrator access to a real API server, controller manager and scheduler without nodes."""
    folder = tmp_path_factory.mktemp("control-plane")
    with standalone(folder, lambda name: program(families.KUBERNETES, name)) as path:
        yield path
