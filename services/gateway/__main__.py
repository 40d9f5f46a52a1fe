"""`python -m services.gateway --config FILE`: exit 0 after a drain, 2 if a file or a port cannot be used."""

import argparse
import os
import sys
from pathlib import Path

import uvloop

from services.gateway.config import load_config
from services.gateway.listener import ListenError
from services.gateway.server import serve
from services.gateway.strict_json import ConfigError

_DEFAULT_CONFIG = "/etc/llmp/gateway/gateway.json"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m services.gateway", description="The OpenAI-compatible gateway.")
    parser.add_argument(
        "--config",
        default=os.environ.get("LLMP_GATEWAY_CONFIG", _DEFAULT_CONFIG),
        metavar="FILE",
        help="JSON; default: $LLMP_GATEWAY_CONFIG, else %(default)s",
    )
    path = Path(parser.parse_args().config)
    try:
        uvloop.run(serve(load_config(path)))
    except (ConfigError, ListenError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
