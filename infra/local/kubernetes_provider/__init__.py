"""A Pulumi resource provider for `kubernetes`, for machines on which the published plugin can be neither installed nor
downloaded.

It speaks the engine's real protocol and keeps the published provider's behaviour, so a program written with
`pulumi_kubernetes` runs unchanged. `write_launcher(folder)` writes the executable that the engine looks for on PATH.
"""

from infra.local.kubernetes_provider.launcher import write_launcher

__all__ = ["write_launcher"]
