"""API keys: making one, and the record that is kept of it. Standard library only, so that `infra` can import it.

A key is 256 random bits, so an unsalted SHA-256 is enough at rest: there is nothing to guess. The record never holds
the key. `python -m services.gateway.keys --tenant acme` prints a new key and its record.
"""

import argparse
import hashlib
import json
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass

KEY_PREFIX = "sk-llmp-"
_RANDOM_BYTES = 32


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What the gateway knows of one key; an element of the keys file."""

    id: str
    """Names the key in logs and in `llmp keys`; says nothing about the key itself."""
    tenant: str
    """Whose requests these are. Identity comes from the key alone, never from a header or field."""
    sha256: str
    """Lower-case hex digest of the key's UTF-8 bytes."""
    models: tuple[str, ...] | None = None
    """Served names the key may use; None means all."""

    def as_json(self) -> dict[str, object]:
        """The record as it stands in the keys file."""
        record: dict[str, object] = {"id": self.id, "tenant": self.tenant, "sha256": self.sha256}
        if self.models is not None:
            record["models"] = list(self.models)
        return record


def digest(key: str) -> str:
    """The form in which a key is stored and looked up."""
    return hashlib.sha256(key.encode()).hexdigest()


def record_of(key: str, *, tenant: str, models: Sequence[str] | None = None) -> KeyRecord:
    """The record of an existing key; the same key always gives the same id."""
    hashed = digest(key)
    return KeyRecord(
        id=f"key-{hashed[:10]}", tenant=tenant, sha256=hashed, models=None if models is None else tuple(models)
    )


def generate_key(*, tenant: str = "default", models: Sequence[str] | None = None) -> tuple[str, KeyRecord]:
    """A new key, shown once, and the record to keep."""
    key = KEY_PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    return key, record_of(key, tenant=tenant, models=models)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m services.gateway.keys", description="Make one API key.")
    parser.add_argument("--tenant", default="default")
    parser.add_argument("--model", action="append", metavar="NAME", help="may be repeated; default: all models")
    options = parser.parse_args(arguments)
    key, record = generate_key(tenant=options.tenant, models=options.model)
    sys.stdout.write(json.dumps({"key": key, "record": record.as_json()}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
