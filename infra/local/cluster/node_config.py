"""Configuration files of the node's programs, as text from a layout: pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from ipaddress import IPv4Address
from pathlib import Path

from infra.local.cluster.layout import Layout
from infra.local.cluster.pki import Subject
from infra.local.cluster.programs import Program, command
from infra.versions import CNI


def subjects(layout: Layout) -> list[Subject]:
    """Who of the node needs a certificate; `system:node:` is what the Node authorizer goes by."""
    return [
        Subject(
            "kubelet",
            f"system:node:{layout.name}",
            ("system:nodes",),
            names=(layout.name, layout.node_address, IPv4Address("127.0.0.1")),
        ),
        Subject("kube-proxy", "system:kube-proxy"),
    ]


def containerd(layout: Layout, *, cni_binaries: Path, runc: Path, pause_image: str) -> str:
    """Configuration of containerd, version 2 of its format (1.6 and later read it)."""
    root = layout.root / "containerd"
    return f"""version = 2
root = "{root}/root"
state = "{root}/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs"]

[grpc]
  address = "{layout.containerd_socket}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause_image}"
  # Without it every sandbox dies on machines that lack CAP_SYS_RESOURCE: runc may not lower an OOM score there.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{cni_binaries}"
  conf_dir = "{layout.config}/cni"

[plugins."io.containerd.grpc.v1.cri".containerd]
  default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  BinaryName = "{runc}"
  SystemdCgroup = false
"""


def cni(layout: Layout) -> str:
    """Pod networking. `ptp` and not `bridge`: each pod hangs on a cable of its own and all traffic is routed, so that
    the firewall sees it without the bridge module, and services that lead back to the caller work."""
    plugins = [
        {
            "type": "ptp",
            "ipMasq": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": str(layout.pods)}]],
                "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": f"{layout.root}/ipam",
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    return json.dumps({"cniVersion": CNI, "name": "llmp", "plugins": plugins}, indent=1)


def kubelet(layout: Layout) -> str:
    """KubeletConfiguration."""
    return json.dumps(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": str(layout.node_address),
            "healthzBindAddress": str(layout.node_address),
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": f"{layout.pki}/ca.crt"},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": f"{layout.pki}/kubelet.crt",
            "tlsPrivateKeyFile": f"{layout.pki}/kubelet.key",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{layout.cgroup}",
            "enforceNodeAllocatable": ["pods"],
            "failCgroupV1": False,
            "failSwapOn": False,
            "clusterDomain": "cluster.local",
            "clusterDNS": [str(layout.dns_service)],
            "resolvConf": f"{layout.config}/resolv.conf",
            "containerRuntimeEndpoint": f"unix://{layout.containerd_socket}",
            "podLogsDir": f"{layout.root}/pods",
            "volumePluginDir": f"{layout.root}/kubelet/volume-plugins",
            "staticPodPath": "",
            "imageMinimumGCAge": "87600h",
            # Imported images cannot be pulled again: never collect them.
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {
                "memory.available": "100Mi",
                "nodefs.available": "0%",
                "nodefs.inodesFree": "0%",
                "imagefs.available": "0%",
                "imagefs.inodesFree": "0%",
            },
            "serializeImagePulls": False,
            "shutdownGracePeriod": "0s",
            "maxPods": 100,
            # A laptop-sized node: do not let the kubelet's own limits slow the start of many pods.
            "kubeAPIQPS": 50,
            "kubeAPIBurst": 100,
            "registryPullQPS": 0,
            "logging": {"verbosity": 1},
        },
        indent=1,
    )


def kube_proxy(layout: Layout) -> str:
    """KubeProxyConfiguration. Conntrack limits stay as they are: they belong to the host, not to a namespace."""
    return json.dumps(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "bindAddress": str(layout.node_address),
            "clientConnection": {"kubeconfig": f"{layout.pki}/kube-proxy.kubeconfig"},
            "clusterCIDR": str(layout.pods),
            "hostnameOverride": layout.name,
            "mode": "iptables",
            "iptables": {"syncPeriod": "30s", "minSyncPeriod": "0s"},
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
            "healthzBindAddress": f"{layout.node_address}:10256",
            "metricsBindAddress": f"{layout.node_address}:10249",
            "nodePortAddresses": [f"{layout.node_address}/32"],
        },
        indent=1,
    )


def node_programs(layout: Layout, *, containerd: Path, kubelet: Path, kube_proxy: Path, python: Path) -> list[Program]:
    """containerd, kubelet, kube-proxy, and the enforcer of NetworkPolicies, which `python` runs."""
    flags = {
        "config": layout.config / "kubelet.json",
        "kubeconfig": layout.pki / "kubelet.kubeconfig",
        "root-dir": layout.root / "kubelet",
        "cert-dir": layout.pki,
        "hostname-override": layout.name,
        "node-ip": layout.node_address,
    }
    return [
        Program("containerd", (str(containerd), "--config", str(layout.config / "containerd.toml"))),
        Program("kubelet", command(kubelet, flags)),
        Program("kube-proxy", command(kube_proxy, {"config": layout.config / "kube-proxy.json"})),
        Program(
            "network-policies",
            (str(python), "-m", "infra.local.cluster.network_policies", str(layout.pki), layout.api_url),
        ),
    ]


def forwarders(layout: Layout, socat: Path, ports: Iterable[tuple[str, int, int]]) -> list[Program]:
    """Doors on 127.0.0.1: (name, port on this machine, node port) each. They run in the host's network."""
    return [
        Program(
            f"door-{name}",
            (
                str(socat),
                f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,nodelay",
                f"TCP:{layout.node_address}:{node_port},nodelay",
            ),
            isolated=False,
        )
        for name, port, node_port in ports
    ]


def supervisor(layout: Layout, programs: Iterable[Program], nsenter: Path) -> str:
    """Configuration of supervisord: every program restarts whenever it ends, logs rotate at 10 MB."""
    lines = [
        "[supervisord]",
        "nodaemon=true",
        "silent=true",
        f"logfile={layout.logs}/supervisor.log",
        f"pidfile={layout.root}/supervisor.pid",
        f"childlogdir={layout.logs}",
        "user=root",
        "[unix_http_server]",
        f"file={layout.supervisor_socket}",
        "chmod=0600",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        "[supervisorctl]",
        f"serverurl=unix://{layout.supervisor_socket}",
    ]
    enter = f"{nsenter} --net=/run/netns/node -- "
    for program in programs:
        text = shlex.join(program.command).replace("%", "%%")
        lines += [
            f"[program:{program.name}]",
            f"command={enter if program.isolated else ''}{text}",
            "autorestart=true",
            # The API server ends when etcd is not there yet, and so on down the line: try until it holds.
            "startretries=1000000",
            "startsecs=1",
            "stopasgroup=false",
            "stopwaitsecs=20",
            "redirect_stderr=true",
            f"stdout_logfile={layout.logs}/{program.name}.log",
            "stdout_logfile_maxbytes=10MB",
            "stdout_logfile_backups=1",
        ]
        if program.configuration:
            lines.append(f'environment=LLMP_CONFIGURATION="{program.configuration}"')
    return "\n".join(lines) + "\n"
