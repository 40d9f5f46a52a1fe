"""NetworkPolicies hold on the running platform: who may talk does, who may not is cut off."""

from __future__ import annotations

import pytest
from kubernetes.stream import stream
from running_platform import Running

from infra.namespaces import MONITORING, SERVING

TRY = "import socket; socket.create_connection(({host!r}, {port}), timeout=3); print('connected')"


def connects(platform: Running, namespace: str, component: str, host: str, port: int) -> bool:
    label = f"app.kubernetes.io/name={component}"
    pod = platform.core.list_namespaced_pod(namespace, label_selector=label).items[0]
    answer = stream(
        platform.core.connect_get_namespaced_pod_exec,
        pod.metadata.name,
        namespace,
        container=pod.spec.containers[-1].name,
        command=["python3", "-c", TRY.format(host=f"{host}.svc.cluster.local", port=port)],
        stdout=True,
        stderr=True,
        stdin=False,
        tty=False,
    )
    return "connected" in answer


@pytest.mark.parametrize(
    ("namespace", "component", "host", "port", "may"),
    [
        (SERVING, "gateway", f"engine-smollm2.{SERVING}", 8000, True),
        (SERVING, "gateway", f"valkey.{SERVING}", 6379, True),
        (SERVING, "gateway", f"jaeger.{MONITORING}", 4318, True),
        (SERVING, "gateway", f"prometheus.{MONITORING}", 9090, False),
        (SERVING, "gateway", f"alertmanager.{MONITORING}", 9093, False),
        (SERVING, "valkey", f"engine-smollm2.{SERVING}", 8000, False),
        (MONITORING, "alert-receiver", f"gateway.{SERVING}", 8080, False),
        (MONITORING, "alert-receiver", f"engine-smollm2.{SERVING}", 8000, False),
    ],
)
def test_traffic_is_what_the_policies_say(platform, namespace, component, host, port, may):
    assert connects(platform, namespace, component, host, port) is may
