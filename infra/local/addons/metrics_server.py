"""metrics-server: CPU and memory of pods and nodes, for `kubectl top` and autoscalers."""

from __future__ import annotations

import pulumi
from pulumi_kubernetes import apiregistration, core, meta, rbac

from infra.accounts import cluster_account, rule
from infra.identity import AlertTier, Identity
from infra.pods import Size, container_security, pod, scratch
from infra.workloads import deployment

COMPONENT = "metrics-server"
_NAMESPACE = "kube-system"
_PORT = 10250


class MetricsServer(pulumi.ComponentResource):
    """One replica, registered as the API `metrics.k8s.io`."""

    def __init__(self, identity: Identity, image: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__("llmp:local:MetricsServer", COMPONENT, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        identity = identity.of(COMPONENT, AlertTier.NOTIFY)
        bindings = self._rights(identity, child)
        running = deployment(
            identity,
            _NAMESPACE,
            pod(
                account=COMPONENT,
                priority_class="system-cluster-critical",
                containers=[_container(image)],
                volumes=[scratch("tmp", 16)],
            ),
            pulumi.ResourceOptions(parent=self, depends_on=bindings),
        )
        service = core.v1.Service(
            f"{COMPONENT}-service",
            metadata=meta.v1.ObjectMetaArgs(name=COMPONENT, namespace=_NAMESPACE, labels=identity.labels),
            spec=core.v1.ServiceSpecArgs(
                selector=identity.selector,
                ports=[core.v1.ServicePortArgs(name="https", port=443, target_port="https")],
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[running]),
        )
        apiregistration.v1.APIService(
            f"{COMPONENT}-api",
            metadata=meta.v1.ObjectMetaArgs(name="v1beta1.metrics.k8s.io", labels=identity.labels),
            spec=apiregistration.v1.APIServiceSpecArgs(
                group="metrics.k8s.io",
                version="v1beta1",
                group_priority_minimum=100,
                version_priority=100,
                # Its certificate is made in the pod at each start; the connection does not leave the machine.
                insecure_skip_tls_verify=True,
                service=apiregistration.v1.ServiceReferenceArgs(name=COMPONENT, namespace=_NAMESPACE),
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[service]),
        )
        self.register_outputs({})

    @staticmethod
    def _rights(identity: Identity, child: pulumi.ResourceOptions) -> list[pulumi.Resource]:
        """To read the kubelets' metrics, and to ask the API server who its callers are."""
        subject = [rbac.v1.SubjectArgs(kind="ServiceAccount", name=COMPONENT, namespace=_NAMESPACE)]
        group = "rbac.authorization.k8s.io"
        return [
            cluster_account(
                identity,
                _NAMESPACE,
                [rule("", ("nodes/metrics",), ("get",)), rule("", ("pods", "nodes"))],
                child,
            ),
            rbac.v1.ClusterRoleBinding(
                f"{COMPONENT}-delegator",
                metadata=meta.v1.ObjectMetaArgs(
                    name=f"{identity.project}-{COMPONENT}-delegator", labels=identity.labels
                ),
                role_ref=rbac.v1.RoleRefArgs(api_group=group, kind="ClusterRole", name="system:auth-delegator"),
                subjects=subject,
                opts=child,
            ),
            rbac.v1.RoleBinding(
                f"{COMPONENT}-auth-reader",
                metadata=meta.v1.ObjectMetaArgs(name=COMPONENT, namespace=_NAMESPACE, labels=identity.labels),
                role_ref=rbac.v1.RoleRefArgs(
                    api_group=group, kind="Role", name="extension-apiserver-authentication-reader"
                ),
                subjects=subject,
                opts=child,
            ),
        ]


def _container(image: str) -> core.v1.ContainerArgs:
    def probe(path: str, failures: int) -> core.v1.ProbeArgs:
        return core.v1.ProbeArgs(
            http_get=core.v1.HTTPGetActionArgs(path=path, port="https", scheme="HTTPS"),
            period_seconds=5,
            failure_threshold=failures,
        )

    return core.v1.ContainerArgs(
        name=COMPONENT,
        image=image,
        args=[
            "--cert-dir=/tmp",
            f"--secure-port={_PORT}",
            "--kubelet-preferred-address-types=InternalIP",
            "--kubelet-certificate-authority=/var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
            "--metric-resolution=15s",
        ],
        ports=[core.v1.ContainerPortArgs(name="https", container_port=_PORT)],
        resources=Size(cpu_milli=20, memory_mib=64, memory_limit_mib=200).requirements(),
        security_context=container_security(),
        volume_mounts=[core.v1.VolumeMountArgs(name="tmp", mount_path="/tmp")],  # noqa: S108
        readiness_probe=probe("/readyz", 3),
        liveness_probe=probe("/livez", 12),
    )
