"""Images of the local platform: made on this machine, kept as archives in the cache, imported once into the node."""
