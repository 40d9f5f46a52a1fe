"""A real single-node Kubernetes in namespaces of its own: nothing of it reaches the host's processes, mounts, network
or firewall, and killing one process removes all of it."""
