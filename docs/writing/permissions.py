"""docs/how-to/permissions.md, made from the rights that the code asks for."""

from __future__ import annotations

from collections.abc import Sequence

from orchestune.clusters.existing import permissions, rights
from orchestune.clusters.existing.config import ConnectionSettings
from orchestune.clusters.existing.permissions import ResourcePermission
from orchestune.clusters.existing.text import as_yaml
from orchestune.domain.clusters.cluster import SERVER_ROLES

_EXAMPLE_CONNECTION = ConnectionSettings("lab", "ml", server_image="…", storage_class="…", registry="…")

_OPENING = """\
# Rights in a Kubernetes cluster

All of Orchestune's objects are in one namespace, and only one optional step needs a cluster administrator. Rights are
those of Kubernetes (RBAC); there is no second list of users. Errors name the missing verb and resource;
`orchestune cluster test -n lab` checks all of them.

| user | task | needs |
|---|---|---|
| administrator of the namespace | `cluster connect`, `upgrade`, `destroy` | ClusterRole `admin`, or the lists below |
| cluster administrator | let the server read nodes and pods of others (optional) | output of `connect --print-admin` |
| users | run, watch and stop experiments | one of three Roles in the namespace |
| users without an image builder | build images in the cluster | also the last list |

## Users: viewer, editor, owner

`connect` creates three Roles without any RoleBinding. An administrator of the namespace binds them:

```sh
kubectl -n ml create rolebinding ada --role=orchestune-editor --user=ada@example.org
kubectl -n ml create rolebinding lab --role=orchestune-viewer --group=lab
```

- `orchestune-viewer` reads status, logs and files.
- `orchestune-editor` also starts, stops, changes and deletes experiments.
- `orchestune-owner` also purges records, creates tokens, imports archives and lifts quarantines.

Each user then runs `orchestune cluster connect -n lab --context … --namespace ml`, which changes nothing in the
cluster. The command line requests a token of the strongest of the three ServiceAccounts that the user may use (valid
for an hour, renewed automatically), connects through the API server, and the server has the cluster review that
token. A token that is valid for more than two hours is refused: the cluster would accept it after the role was
revoked. Events contain the name that the user's command line sends: RBAC decides what a caller may do, but the name
is not verified. Owners are therefore shown as `(unverified)`, and a worker that ran one experiment never takes over
another. An editor can do to any experiment what its owner can: change its code, rerun a trial with another command
and the same secrets, and open its terminals. Beyond that it can only use [what experiments may
use](connect-a-cluster.md#what-experiments-may-use) of the cluster.

All three Roles may forward ports to the server's pods only. Kubernetes can limit this right to names, but the pods'
names change: each pod adds its name to the Roles before it becomes ready, and removes those of deleted pods. A Role
that is applied again, for example from `--dry-run`, is corrected within 5 seconds. The rules of such a Role:

"""

_SERVER = """
## The server in the cluster

Its ServiceAccount `orchestune-server` has this Role in its own namespace. Workers run as `orchestune-worker`, which
has no rights and no token. The last five rules are for the users' Roles: Kubernetes lets an account update a Role
only if it holds every right in it. With them a compromised server could grant its own rights to the users who have
such a Role, but no others. The server reads `orchestune-config` for each Job, because the
[allow-list](connect-a-cluster.md#what-experiments-may-use) in it may have changed.

"""

_QUEUES = """
If Kueue is installed when a user with these rights connects or upgrades, the server gets them too, to explain what is
pending in a [queue](pools-and-gpus.md#kueue). Without them it can only report Kueue's events.

"""

_ADMIN = """
## The administrator's part

Without it the server can read neither nodes nor the usage of others: status shows "unknown", requests are not checked
against the nodes' sizes, and the cluster is treated as one that may grow. With the right to create TokenReviews the
server reviews tokens with them; otherwise with a SelfSubjectReview made with the caller's own token, which needs no
right.

"""

_BUILD = """
## What a build in the cluster checks

[Images](images.md) of experiments are built on the user's machine. Without docker, podman or buildah there, a Job that
the user creates builds them; `secrets` is for users who log in to the registry. A user who can create
Jobs can do anything that a pod of the namespace can.

"""


def page() -> str:
    """The whole page."""
    parts = [_OPENING, _rules("viewer")]
    parts += [_SERVER, f"```yaml\n{as_yaml([_role()])}```\n"]
    parts += [_QUEUES, table(permissions.expand_rules(rights.queue_rules(), _EXAMPLE_CONNECTION.namespace))]
    parts += [_ADMIN, f"```yaml\n{as_yaml(rights.cluster_wide(_EXAMPLE_CONNECTION))}```\n"]
    deploy = permissions.to_deploy(_EXAMPLE_CONNECTION)
    parts.append("\n## What `connect` and `upgrade` check before they change anything\n\n" + table(deploy))
    reason = "because Kubernetes lets users grant only rights that they hold"
    parts.append(f"\nThey include the rights of the server and of the Roles, {reason}.\n")
    parts.append(
        "\n## What `recover` checks\n\nWith `--out-of-service` also `patch nodes`.\n\n"
        + table(permissions.to_recover(_EXAMPLE_CONNECTION, taints=False))
    )
    parts.append("\n## What `destroy` checks\n\n" + table(permissions.to_destroy(_EXAMPLE_CONNECTION)))
    extra = "`secrets` for a database URL, `poddisruptionbudgets` with several replicas, `namespaces` for "
    parts.append(f"\nSome settings need further rights: {extra}`--create-namespace`.\n")
    parts.append(
        "With experiments of several users, `create` and `patch` on `configmaps`, `roles` and `rolebindings` let"
        " `destroy` leave the record of where the archive is; without them it prints a note.\n"
    )
    parts.append(_BUILD + table(permissions.to_build(_EXAMPLE_CONNECTION)))
    return "".join(parts)


def _rules(role: str) -> str:
    lines = ["| resource | verbs | only |", "|---|---|---|"]
    for rule in rights.role_rules(role, ["the server's pods"]):
        names = rule.get("resourceNames", [])
        resource = _resource(rule["resources"][0], rule["apiGroups"][0])
        lines.append(f"| `{resource}` | {', '.join(rule['verbs'])} | {', '.join(names)} |")
    more = f"The other {len(SERVER_ROLES) - 1} differ in the tokens that they may request.\n"
    return "\n".join(lines) + f"\n\nThese are the rules of `orchestune-{role}`. {more}"


def _role() -> dict[str, object]:
    return next(item for item in rights.namespaced(_EXAMPLE_CONNECTION) if item["kind"] == "Role")


def table(required: Sequence[ResourcePermission]) -> str:
    """Verbs by resource."""
    verbs: dict[str, list[str]] = {}
    for right in required:
        only = f", only {right.name}" if right.name else ""
        verbs.setdefault(f"| `{_resource(right.resource, right.group)}`{only} ", []).append(right.verb)
    lines = [
        f"{resource}| {', '.join(sorted(set(verbs_of_resource)))} |" for resource, verbs_of_resource in verbs.items()
    ]
    return "\n".join(["| resource | verbs |", "|---|---|", *lines]) + "\n"


def _resource(resource: str, group: str) -> str:
    return f"{resource}.{group}" if group else resource
