"""Prometheus' configuration from the inventory: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from infra.inventory import Target

_NODE_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105  a path
_CLUSTER_CA = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"


def prometheus_config(
    targets: Iterable[Target], *, stack: str, interval_seconds: int, alertmanager: str
) -> Mapping[str, Any]:
    """The document `prometheus.yml`. `alertmanager` is its address, host:port."""
    return {
        "global": {
            "scrape_interval": f"{interval_seconds}s",
            "scrape_timeout": f"{min(interval_seconds, 10)}s",
            "evaluation_interval": f"{interval_seconds}s",
            "external_labels": {"stack": stack},
        },
        "rule_files": ["/etc/prometheus/rules.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [*(_pods(target) for target in targets), *_cluster()],
    }


def _pods(target: Target) -> Mapping[str, Any]:
    """A job for the pods of one part. Their labels tell replica, part and whom trouble disturbs."""
    about_the_pod = [
        _copy("__meta_kubernetes_namespace", "namespace"),
        _copy("__meta_kubernetes_pod_name", "pod"),
        _copy("__meta_kubernetes_pod_node_name", "node"),
        _copy("__meta_kubernetes_pod_label_llmp_dev_alert_tier", "tier"),
    ]
    return {
        "job_name": target.job,
        "metrics_path": target.path,
        "honor_labels": target.describes_others,
        "kubernetes_sd_configs": [{"role": "pod", "namespaces": {"names": [target.namespace]}}],
        "relabel_configs": [
            _keep("__meta_kubernetes_pod_label_app_kubernetes_io_name", target.identity.component),
            _keep("__meta_kubernetes_pod_container_port_name", target.port),
            # A finished pod keeps its address in the API and would be down for ever.
            {
                "source_labels": ["__meta_kubernetes_pod_phase"],
                "regex": "Succeeded|Failed",
                "action": "drop",
            },
            *([] if target.describes_others else about_the_pod),
        ],
    }


def _cluster() -> list[Mapping[str, Any]]:
    """The API server, the kubelets and their container metrics."""
    authorization = {
        "scheme": "https",
        "authorization": {"credentials_file": _NODE_TOKEN},
        "tls_config": {"ca_file": _CLUSTER_CA},
    }
    nodes = {
        "kubernetes_sd_configs": [{"role": "node"}],
        "relabel_configs": [_copy("__meta_kubernetes_node_name", "node")],
    }
    return [
        {
            "job_name": "kube-apiserver",
            "kubernetes_sd_configs": [{"role": "endpoints", "namespaces": {"names": ["default"]}}],
            "relabel_configs": [
                _keep("__meta_kubernetes_service_name", "kubernetes"),
                _keep("__meta_kubernetes_endpoint_port_name", "https"),
            ],
            # Of 20,000 series a dozen are of use; the histograms of every verb and resource are the bulk.
            "metric_relabel_configs": [
                {
                    "source_labels": ["__name__"],
                    "regex": "apiserver_request_total|apiserver_current_inflight_requests|process_.*|up",
                    "action": "keep",
                }
            ],
            **authorization,
        },
        {
            "job_name": "kubelet",
            "metric_relabel_configs": [
                {
                    "source_labels": ["__name__"],
                    "regex": "kubelet_(running_pods|running_containers|volume_stats_.*|node_name)|process_.*|up",
                    "action": "keep",
                }
            ],
            **nodes,
            **authorization,
        },
        {
            "job_name": "cadvisor",
            "metrics_path": "/metrics/cadvisor",
            "metric_relabel_configs": [
                {
                    "source_labels": ["__name__"],
                    "regex": "container_(cpu_usage_seconds_total|cpu_cfs_throttled_periods_total|cpu_cfs_periods_total"
                    "|memory_working_set_bytes|memory_rss|oom_events_total|network_(receive|transmit)_bytes_total)|up",
                    "action": "keep",
                }
            ],
            **nodes,
            **authorization,
        },
    ]


def _keep(label: str, value: str) -> Mapping[str, Any]:
    return {"source_labels": [label], "regex": value, "action": "keep"}


def _copy(label: str, target: str) -> Mapping[str, Any]:
    return {"source_labels": [label], "target_label": target}
