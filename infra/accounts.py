"""Service accounts with rights over the cluster. Parts that need none get none: their pods mount no token."""

from __future__ import annotations

from collections.abc import Iterable

import pulumi
from pulumi_kubernetes import core, meta, rbac

from infra.identity import Identity

LOOK = ("get", "list", "watch")


def rule(groups: str, resources: Iterable[str], verbs: Iterable[str] = LOOK) -> rbac.v1.PolicyRuleArgs:
    """Verbs on resources of one API group; the empty one is the core group."""
    return rbac.v1.PolicyRuleArgs(api_groups=[groups], resources=list(resources), verbs=list(verbs))


def cluster_account(
    identity: Identity,
    namespace: pulumi.Input[str],
    rules: Iterable[rbac.v1.PolicyRuleArgs],
    opts: pulumi.ResourceOptions,
    *,
    at_home: Iterable[rbac.v1.PolicyRuleArgs] = (),
) -> rbac.v1.ClusterRoleBinding:
    """An account named as the part, and a role of the cluster bound to it; rights `at_home` hold in its own namespace
    only. Depend on the binding."""
    component = identity.component
    cluster_wide = meta.v1.ObjectMetaArgs(
        name=f"{identity.project}-{identity.stack}-{component}", labels=identity.labels
    )
    core.v1.ServiceAccount(
        f"{component}-account",
        metadata=meta.v1.ObjectMetaArgs(name=component, namespace=namespace, labels=identity.labels),
        opts=opts,
    )
    subjects = [rbac.v1.SubjectArgs(kind="ServiceAccount", name=component, namespace=namespace)]
    group = "rbac.authorization.k8s.io"
    if at_home := list(at_home):
        own = meta.v1.ObjectMetaArgs(name=component, namespace=namespace, labels=identity.labels)
        local = rbac.v1.Role(f"{component}-own-role", metadata=own, rules=at_home, opts=opts)
        rbac.v1.RoleBinding(
            f"{component}-own-binding",
            metadata=own,
            role_ref=rbac.v1.RoleRefArgs(api_group=group, kind="Role", name=local.metadata.name),
            subjects=subjects,
            opts=opts,
        )
    role = rbac.v1.ClusterRole(f"{component}-role", metadata=cluster_wide, rules=list(rules), opts=opts)
    return rbac.v1.ClusterRoleBinding(
        f"{component}-binding",
        metadata=cluster_wide,
        role_ref=rbac.v1.RoleRefArgs(api_group=group, kind="ClusterRole", name=role.metadata.name),
        subjects=subjects,
        opts=opts,
    )
