"""Enforces NetworkPolicies on the local node.

The enforcers that clusters use (Calico, Cilium, kube-router, kube-network-policies) are not to be had as modules here,
and policies that nobody enforces are policies that nobody has tried. This one reads pods, namespaces and policies,
and keeps one table of nftables rules in the node's network namespace in step with them.
"""
