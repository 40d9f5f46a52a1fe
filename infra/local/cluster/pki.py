"""Certificates and kubeconfigs of the local control plane, made once and kept with its state.

One authority for the cluster, one for the aggregation layer. Valid for ten years: the cluster is thrown away long
before, and an expired certificate in a forgotten local cluster would only cost somebody an evening.
"""

from __future__ import annotations

import datetime as dt
import json
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = dt.timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Subject:
    """Who a certificate speaks for. Kubernetes reads the common name as the user, organizations as groups."""

    file: str
    common_name: str
    organizations: tuple[str, ...] = ()
    names: tuple[str | IPv4Address, ...] = ()
    authority: str = "ca"

    @property
    def serves(self) -> bool:
        """Whether it is a server's certificate: those carry names."""
        return bool(self.names)


def write_pki(folder: Path, subjects: Iterable[Subject]) -> None:
    """Make what is missing of: authorities `ca` and `front-proxy-ca`, one key pair a subject, service-account keys.

    Every file is readable by its owner alone. A subject whose key exists is left as it is.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for authority in ("ca", "front-proxy-ca"):
        if not (folder / f"{authority}.key").exists():
            _write_authority(folder, authority)
    for subject in subjects:
        if not (folder / f"{subject.file}.key").exists():
            _write_pair(folder, subject)
    if not (folder / "service-account.key").exists():
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        _write(folder / "service-account.pub", public)
        _write_key(folder / "service-account.key", key)


def write_kubeconfig(folder: Path, *, file: str, server: str, cluster: str) -> Path:
    """A kubeconfig with the key pair `file` inside, written as `<file>.kubeconfig`. Returns its path."""

    def inline(name: str) -> str:
        return b64encode((folder / name).read_bytes()).decode()

    path = folder / f"{file}.kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": {"server": server, "certificate-authority-data": inline("ca.crt")}}],
        "users": [
            {
                "name": file,
                "user": {"client-certificate-data": inline(f"{file}.crt"), "client-key-data": inline(f"{file}.key")},
            }
        ],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": file}}],
        "current-context": cluster,
    }
    _write(path, json.dumps(config, indent=1).encode())
    return path


def _write_authority(folder: Path, name: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(f"llmp {name}", ())
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"llmp {name}")]))
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write(folder / f"{name}.crt", certificate.public_bytes(Encoding.PEM))
    _write_key(folder / f"{name}.key", key)


def _write_pair(folder: Path, subject: Subject) -> None:
    issuer = x509.load_pem_x509_certificate((folder / f"{subject.authority}.crt").read_bytes())
    issuer_key = load_pem_private_key((folder / f"{subject.authority}.key").read_bytes(), password=None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{folder}/{subject.authority}.key is not a key that this program made")
    key = ec.generate_private_key(ec.SECP256R1())
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH] + ([ExtendedKeyUsageOID.SERVER_AUTH] if subject.serves else [])
    builder = (
        _builder(subject.common_name, subject.organizations)
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    )
    if subject.serves:
        names = [x509.DNSName(name) if isinstance(name, str) else x509.IPAddress(name) for name in subject.names]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    _write(folder / f"{subject.file}.crt", builder.sign(issuer_key, hashes.SHA256()).public_bytes(Encoding.PEM))
    _write_key(folder / f"{subject.file}.key", key)


def _builder(common_name: str, organizations: Iterable[str]) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization) for organization in organizations]
    attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name(attributes))
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))  # clocks of containers and hosts differ a little
        .not_valid_after(now + _LIFETIME)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    # The key last: its presence says that the pair is whole.
    _write(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _write(path: Path, content: bytes) -> None:
    scratch = path.with_name(f".{path.name}.part")
    scratch.touch(mode=0o600)
    scratch.write_bytes(content)
    scratch.replace(path)
