"""Secrets of a stack: one seed, or configuration that `pulumi config set --secret` wrote."""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass

import pulumi

from infra.errors import ConfigurationError
from infra.settings import PROJECT, SEED
from services.gateway.keys import KEY_PREFIX

_SHORTEST_SEED = 32


@dataclass(frozen=True, slots=True)
class Secrets:
    """`api_key` is the first key of the gateway, of the tenant `default`; `cache_password` is Valkey's."""

    api_key: pulumi.Output[str]
    cache_password: pulumi.Output[str]

    @classmethod
    def from_seed(cls, seed: pulumi.Input[str], stack: str) -> Secrets:
        """Secrets that stay the same as long as the seed does, so that a second `up` changes nothing. The seed is
        random, lies with the state, readable by its owner alone, and is never shown."""

        def derive(label: str, prefix: str = "") -> pulumi.Output[str]:
            return pulumi.Output.secret(
                pulumi.Output.from_input(seed).apply(lambda value: prefix + _digest(value, f"{stack}/{label}"))
            )

        return cls(api_key=derive("api-key", KEY_PREFIX), cache_password=derive("cache-password"))

    @classmethod
    def from_config(cls, stack: str) -> Secrets:
        """Secrets from the stack's configuration; raises ConfigurationError naming the command that sets them."""
        seed = pulumi.Config(PROJECT).get_secret(SEED)
        if seed is None:
            raise ConfigurationError(
                where=f"Pulumi.{stack}.yaml",
                key=f"{PROJECT}:{SEED}",
                value=None,
                allowed="a secret of 32 random bytes or more",
                mend=f'pulumi config set --secret {PROJECT}:{SEED} "$(openssl rand -base64 32)" -s {stack}',
            )
        return cls.from_seed(seed, stack)


def _digest(seed: str, label: str) -> str:
    if len(seed) < _SHORTEST_SEED:  # an empty one would give keys that everybody can compute
        raise ValueError(f"the seed of this stack has {len(seed)} characters; {_SHORTEST_SEED} are the least")
    return base64.urlsafe_b64encode(hmac.digest(seed.encode(), label.encode(), "sha256")).rstrip(b"=").decode()
