"""Every version that this project pins, but for three kinds that have their own lock: Python requirements
(requirements/*.txt, with hashes), Go modules (infra/local/toolchain/*/go.mod with go.sum), and Containerfile bases
(an ARG, passed from here)."""

from __future__ import annotations

# renovate: datasource=golang-version depName=go
GO = "go1.26.0"
# The Debian release that local images are built on; its Python is 3.11.
DEBIAN = "bookworm"
# The version of the Pulumi engine; the SDK in requirements/ is of the same version.
PULUMI = "3.259.0"
# The version of the real kubernetes plugin; the SDK in requirements/ is of the same version.
PULUMI_KUBERNETES = "4.32.0"
# The format of the CNI configuration that containerd 1.6 and every plugin package of Debian 12 understand.
CNI = "0.4.0"
