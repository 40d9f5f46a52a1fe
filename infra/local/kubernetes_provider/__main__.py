"""`python -m infra.local.kubernetes_provider ENGINE_ADDRESS`: how the launcher starts the provider."""

import sys

from infra.local.kubernetes_provider.server import serve

serve(sys.argv[1:])
