"""The keys file in memory: whose key is this, reloaded when the file changes."""

import hashlib
import hmac
import re
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from services.gateway import errors
from services.gateway.strict_json import ConfigError, read_json

_NAME = r"^[A-Za-z0-9._\-]{1,64}$"
_BEARER = re.compile(rb"bearer +(\S+) *", re.IGNORECASE)


class Identity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One record of the keys file, as `keys.KeyRecord` writes it."""

    id: Annotated[str, Meta(pattern=_NAME)]
    tenant: Annotated[str, Meta(pattern=_NAME)]
    """A metric label, hence the narrow alphabet."""
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    models: frozenset[str] | None = None

    def may_use(self, model: str) -> bool:
        return self.models is None or model in self.models

    @property
    def cache_salt(self) -> str:
        """Separates this tenant's prefix cache in the engine; never taken from the caller."""
        return hashlib.blake2b(self.tenant.encode(), digest_size=16, person=b"llmp-cache-salt").hexdigest()


class Keyring:
    """Identities by the digest of their key.

    Authentication fails closed: no file, no start. A later version of the file that cannot be read leaves the last
    good one in force and is counted in `reload_failures`, because a torn write must not lock every tenant out; to
    revoke all keys, write `[]`.
    """

    def __init__(self, path: Path) -> None:
        """Raises ConfigError if `path` cannot be used."""
        self._path = path
        self._version = self._stat()
        self._identities = _load(path)
        self.reload_failures = 0

    def __len__(self) -> int:
        return len(self._identities)

    @property
    def tenants(self) -> frozenset[str]:
        return frozenset(identity.tenant for identity in self._identities.values())

    def identify(self, authorization: bytes | None) -> Identity:
        """Raises ApiError 401 unless the header holds a known key."""
        if not authorization:
            raise errors.missing_key()
        match = _BEARER.fullmatch(authorization)
        if match is None:
            raise errors.missing_key()
        digest = hashlib.sha256(match[1]).hexdigest()
        identity = self._identities.get(digest)
        # The lookup's timing can only tell about digests, which cannot be steered; the comparison keeps even that.
        if identity is None or not hmac.compare_digest(identity.sha256, digest):
            raise errors.wrong_key()
        return identity

    def reload_if_changed(self) -> bool:
        """Look at the file; True if a new version is now in force.

        Raises ConfigError, once per version, if the new version cannot be used.
        """
        version = self._stat()
        if version == self._version:
            return False
        self._version = version
        try:
            self._identities = _load(self._path)
        except ConfigError:
            self.reload_failures += 1
            raise
        return True

    def _stat(self) -> tuple[int, int, int] | None:
        # Follows symbolic links: the kubelet swaps `..data`, so the inode behind the path changes, not the path.
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size


def _load(path: Path) -> dict[str, Identity]:
    records = read_json(path)
    if not isinstance(records, list):
        raise ConfigError(path, "(the file)", type(records).__name__, "a list of key records")
    identities: dict[str, Identity] = {}
    for number, record in enumerate(records):
        try:
            identity = msgspec.convert(record, Identity)
        except msgspec.ValidationError as error:
            # Not the value: somebody may have put a plain key there.
            shown = sorted(record) if isinstance(record, dict) else type(record).__name__
            allowed = f"id, tenant, sha256 (64 hex digits) and, if wanted, models: {error}"
            raise ConfigError(path, f"[{number}]", shown, allowed) from error
        if identity.sha256 in identities:
            other = identities[identity.sha256].id
            raise ConfigError(path, f"[{number}].sha256", identity.id, f"one record a key, but `{other}` has the same")
        identities[identity.sha256] = identity
    return identities
