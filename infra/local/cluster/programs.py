"""Command lines of the control plane and the node: pure, so that the node and the tests start the same programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from infra.local.cluster.pki import Subject


@dataclass(frozen=True, slots=True)
class Program:
    """A long-running program. `isolated` ones run in the node's network namespace, the others in the host's.
    `configuration` is a digest of the files it reads: another one is another program to the supervisor."""

    name: str
    command: tuple[str, ...]
    isolated: bool = True
    configuration: str = ""


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """What the control plane needs to know. `address` is where it listens, and all that can reach it."""

    pki: Path
    etcd_data: Path
    address: IPv4Address
    services: IPv4Network
    pods: IPv4Network
    api_port: int = 6443
    etcd_port: int = 2379
    etcd_peer_port: int = 2380
    manager_port: int = 10257
    scheduler_port: int = 10259

    @property
    def url(self) -> str:
        return f"https://{self.address}:{self.api_port}"

    def subjects(self) -> list[Subject]:
        """Who of the control plane needs a certificate."""
        dns = ("localhost", *(f"kubernetes{suffix}" for suffix in ("", ".default", ".default.svc")))
        addresses = (self.address, IPv4Address("127.0.0.1"), self.services[1])
        names: tuple[str | IPv4Address, ...] = (*dns, "kubernetes.default.svc.cluster.local", *addresses)
        return [
            Subject("apiserver", "kube-apiserver", names=names),
            Subject("etcd", "etcd", names=("localhost", self.address, IPv4Address("127.0.0.1"))),
            Subject("apiserver-kubelet-client", "kube-apiserver-kubelet-client", ("system:masters",)),
            Subject("front-proxy-client", "front-proxy-client", authority="front-proxy-ca"),
            Subject("controller-manager", "system:kube-controller-manager"),
            Subject("scheduler", "system:kube-scheduler"),
            Subject("admin", "llmp-admin", ("system:masters",)),
        ]

    def programs(self, binary: Callable[[str], Path]) -> list[Program]:
        """etcd, API server, controller manager, scheduler; `binary` finds a program by its name."""
        pki = self.pki
        etcd = f"https://{self.address}:{self.etcd_port}"
        peer = f"https://{self.address}:{self.etcd_peer_port}"
        api = {
            "advertise-address": self.address,
            "bind-address": self.address,
            "secure-port": self.api_port,
            "etcd-servers": etcd,
            "etcd-cafile": pki / "ca.crt",
            "etcd-certfile": pki / "etcd.crt",
            "etcd-keyfile": pki / "etcd.key",
            "client-ca-file": pki / "ca.crt",
            "tls-cert-file": pki / "apiserver.crt",
            "tls-private-key-file": pki / "apiserver.key",
            "kubelet-certificate-authority": pki / "ca.crt",
            "kubelet-client-certificate": pki / "apiserver-kubelet-client.crt",
            "kubelet-client-key": pki / "apiserver-kubelet-client.key",
            "kubelet-preferred-address-types": "InternalIP,Hostname",
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            "allow-privileged": "true",  # Pod Security levels decide per namespace
            "anonymous-auth": "true",  # health checks; RBAC gives anonymous users nothing else
            "service-cluster-ip-range": self.services,
            "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
            "service-account-key-file": pki / "service-account.pub",
            "service-account-signing-key-file": pki / "service-account.key",
            "requestheader-client-ca-file": pki / "front-proxy-ca.crt",
            "requestheader-allowed-names": "front-proxy-client",
            "requestheader-username-headers": "X-Remote-User",
            "requestheader-group-headers": "X-Remote-Group",
            "requestheader-extra-headers-prefix": "X-Remote-Extra-",
            "proxy-client-cert-file": pki / "front-proxy-client.crt",
            "proxy-client-key-file": pki / "front-proxy-client.key",
            "enable-aggregator-routing": "true",
            "profiling": "false",
        }
        manager = {
            "kubeconfig": pki / "controller-manager.kubeconfig",
            "bind-address": self.address,
            "secure-port": self.manager_port,
            "authentication-kubeconfig": pki / "controller-manager.kubeconfig",
            "authorization-kubeconfig": pki / "controller-manager.kubeconfig",
            "root-ca-file": pki / "ca.crt",
            "cluster-signing-cert-file": pki / "ca.crt",
            "cluster-signing-key-file": pki / "ca.key",
            "service-account-private-key-file": pki / "service-account.key",
            "use-service-account-credentials": "true",
            "allocate-node-cidrs": "true",
            "cluster-cidr": self.pods,
            "node-cidr-mask-size": self.pods.prefixlen,
            "leader-elect": "false",
            "profiling": "false",
        }
        scheduler = {
            "kubeconfig": pki / "scheduler.kubeconfig",
            "bind-address": self.address,
            "secure-port": self.scheduler_port,
            "authentication-kubeconfig": pki / "scheduler.kubeconfig",
            "authorization-kubeconfig": pki / "scheduler.kubeconfig",
            "leader-elect": "false",
            "profiling": "false",
        }
        store = {
            "name": "local",
            "data-dir": self.etcd_data,
            "listen-client-urls": etcd,
            "advertise-client-urls": etcd,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"local={peer}",
            "cert-file": pki / "etcd.crt",
            "key-file": pki / "etcd.key",
            "client-cert-auth": "true",
            "trusted-ca-file": pki / "ca.crt",
            "peer-cert-file": pki / "etcd.crt",
            "peer-key-file": pki / "etcd.key",
            "peer-client-cert-auth": "true",
            "peer-trusted-ca-file": pki / "ca.crt",
            "log-level": "warn",
        }
        return [
            Program("etcd", command(binary("etcd"), store)),
            Program("kube-apiserver", command(binary("kube-apiserver"), api)),
            Program("kube-controller-manager", command(binary("kube-controller-manager"), manager)),
            Program("kube-scheduler", command(binary("kube-scheduler"), scheduler)),
        ]

    def kubeconfigs(self) -> Iterable[str]:
        """Key pairs that a kubeconfig is made of."""
        return ("controller-manager", "scheduler", "admin")


def command(path: Path, flags: Mapping[str, object]) -> tuple[str, ...]:
    """`path --key=value …` in the order given."""
    return (str(path), *(f"--{key}={value}" for key, value in flags.items()))
