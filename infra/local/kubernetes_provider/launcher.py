"""The executable by which the Pulumi engine finds this provider."""

import shlex
import sys
from pathlib import Path

EXECUTABLE = "pulumi-resource-kubernetes"
_REPOSITORY = Path(__file__).resolve().parents[3]


def write_launcher(folder: Path) -> Path:
    """Write `pulumi-resource-kubernetes` into `folder` (made if absent), for the engine's PATH; return its path.

    It runs this package with the interpreter that called this function, whatever the engine's working directory is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    launcher = folder / EXECUTABLE
    # -P keeps the working directory off the import path: a program's own `infra` folder must not shadow this one.
    launcher.write_text(
        "#!/bin/sh\n"
        f'PYTHONPATH={shlex.quote(str(_REPOSITORY))}"${{PYTHONPATH:+:$PYTHONPATH}}" '
        f'exec {shlex.quote(sys.executable)} -P -m {__package__} "$@"\n'
    )
    launcher.chmod(0o755)
    return launcher
