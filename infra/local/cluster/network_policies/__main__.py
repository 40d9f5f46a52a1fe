"""`python -m infra.local.cluster.network_policies PKI URL`: keep the rules in step with the API, once a second.

Asked from the API server's own cache, three lists of a one-node cluster cost it less than a watch costs this program
in upkeep. A new pod is unrestricted until the next look. While the API server does not answer, the last rules hold.
Uses the administrator's certificate: it runs as root beside the authority's key, so a lesser one would confine nothing.
"""

from __future__ import annotations

import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import structlog

from infra.local.cluster.network_policies.rules import ruleset, world

_PERIOD_SECONDS = 1.0
_CACHED = {"resourceVersion": "0"}

log = structlog.get_logger()


def main() -> None:
    pki, url = Path(sys.argv[1]), sys.argv[2]
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    applied = ""
    with httpx.Client(base_url=url, verify=context, timeout=5.0, trust_env=False) as api:
        while True:
            try:
                wanted = ruleset(
                    world(_list(api, "/api/v1/pods"), _list(api, "/api/v1/namespaces")),
                    _list(api, "/apis/networking.k8s.io/v1/networkpolicies"),
                )
            except httpx.HTTPError as error:
                log.warning("network_policies.not_read", error=type(error).__name__)
            else:
                if wanted != applied:
                    applied = wanted
                    _apply(wanted)
            time.sleep(_PERIOD_SECONDS)


def _apply(rules: str) -> None:
    """In one transaction: the new table, or, when nftables refuses it, still the last good one."""
    done = subprocess.run(["nft", "-f", "-"], input=rules, text=True, capture_output=True, check=False)
    if done.returncode == 0:
        log.info("network_policies.applied", lines=rules.count("\n"))
    else:
        log.error("network_policies.refused", error=done.stderr.strip()[:1000])


def _list(api: httpx.Client, path: str) -> list[dict[str, Any]]:
    answer = api.get(path, params=_CACHED)
    answer.raise_for_status()
    return list(answer.json()["items"])


if __name__ == "__main__":
    main()
