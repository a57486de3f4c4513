"""docs/how-to/permissions.md, made from the rights that the code asks for."""

from __future__ import annotations

from collections.abc import Sequence

from orchestune.clusters.existing import permissions, rights
from orchestune.clusters.existing.config import ConnectionSettings
from orchestune.clusters.existing.permissions import ResourcePermission
from orchestune.clusters.existing.text import as_yaml
from orchestune.domain.clusters.cluster import SERVER_ROLES

_USUAL = ConnectionSettings("lab", "ml", server_image="…", storage_class="…", registry="…")

_OPENING = """\
# Who needs which rights in a Kubernetes cluster

Everything that Orchestune puts into a cluster lives in one namespace, and no step needs a cluster administrator but
one, which is optional. Rights are those of Kubernetes (RBAC): there is no second list of users. An error names the verb
and the resource that are missing; `orchestune cluster test -n lab` tries them all.

| who | does what | needs |
|---|---|---|
| the owner of the namespace | `cluster connect`, `upgrade`, `destroy` | the ClusterRole `admin`, or the lists below |
| an administrator | lets the server see nodes and others' pods (optional) | what `connect --print-admin` prints |
| people | run, watch and stop experiments | one of three Roles in the namespace |
| people without an image tool | build images in the cluster | the last list too |

## People: viewer, editor, owner

`connect` makes three Roles and binds them to nobody. An administrator of the namespace binds them:

```sh
kubectl -n ml create rolebinding ada --role=orchestune-editor --user=ada@example.org
kubectl -n ml create rolebinding lab --role=orchestune-viewer --group=lab
```

- `orchestune-viewer` looks: status, logs, files.
- `orchestune-editor` also starts, stops, changes and deletes experiments.
- `orchestune-owner` also removes records for good, makes tokens, takes in archives and lifts quarantines.

Each of them then runs `orchestune cluster connect -n lab --context … --namespace ml`, which changes nothing there. The
command line asks the cluster for a token of the strongest of the three ServiceAccounts that the caller may have (valid
for an hour, renewed by itself), comes in through the API server, and the server has the cluster check that token.
A token that is valid for more than two hours is refused: the cluster accepts it even after the role was taken away.
Events carry the name that the caller's command line says: RBAC decides what somebody may do, and nobody checks in whose
name. So owners are shown as `(unverified)`, and no worker that ran one experiment takes over another one. An editor can
do to any experiment what its owner can: change its code, run a trial again by another command, with the secrets, and
open its terminals. It reaches nothing of the cluster beyond
[what experiments may use](connect-a-cluster.md#what-experiments-may-use).

All three Roles forward ports to the pods of the server and to no others. Kubernetes can limit this right to names only,
and the names of the server's pods change: each pod writes its name into the Roles before it reports ready, and removes
those of pods that are gone. A Role that is applied again, from `--dry-run` for example, is corrected within
5 seconds. What such a Role holds:

"""

_SERVER = """
## The server in the cluster

Its ServiceAccount `orchestune-server` has this Role, in its own namespace. Workers run as `orchestune-worker`, which
may do nothing, and get no token. The last five rules are there for the Roles of people: Kubernetes lets an account
change a Role only if it holds every right in it. With them a server that was taken over can give the people who have
such a Role what it may do itself, and nothing beyond that. The server itself reads `orchestune-config` for each Job, as
the [allow-list](connect-a-cluster.md#what-experiments-may-use) in it may have changed.

"""

_QUEUES = """
Where Kueue is installed when somebody connects or upgrades who has these rights too, it gets them as well, to say what
waits in a [queue](pools-and-gpus.md#kueue). Without them it says less: what Kueue notes in its events.

"""

_ADMIN = """
## The administrator's part

Without it the server knows neither nodes nor what others use: status says "unknown", nothing is refused for its size
before it is tried, and the cluster counts as one that may grow. With the right to create TokenReviews the server checks
callers by them, else by a SelfSubjectReview made with the caller's own token, which needs no right.

"""

_BUILD = """
## What a build in the cluster checks

[Images](images.md) of experiments are built on the machine of whoever runs them. Where it has no docker, podman or
buildah, a Job builds them, which that person makes; `secrets` is for those who log in at the registry. Whoever may make
Jobs can do what any pod of the namespace can.

"""


def page() -> str:
    """The whole page."""
    parts = [_OPENING, _rules("viewer")]
    parts += [_SERVER, f"```yaml\n{as_yaml([_role()])}```\n"]
    parts += [_QUEUES, table(permissions.expand_rules(rights.queue_rules(), _USUAL.namespace))]
    parts += [_ADMIN, f"```yaml\n{as_yaml(rights.cluster_wide(_USUAL))}```\n"]
    deploy = permissions.to_deploy(_USUAL)
    parts.append("\n## What `connect` and `upgrade` check before they change anything\n\n" + table(deploy))
    parts.append("\nNobody can hand on a right that he does not hold: hence those of the server and of the Roles.\n")
    parts.append("\n## What `destroy` checks\n\n" + table(permissions.to_destroy(_USUAL)))
    extra = "`secrets` for a database's address, `poddisruptionbudgets` with several replicas, `namespaces` for "
    parts.append(f"\nSome settings need more: {extra}`--create-namespace`.\n")
    parts.append(_BUILD + table(permissions.to_build(_USUAL)))
    return "".join(parts)


def _rules(role: str) -> str:
    lines = ["| resource | verbs | only |", "|---|---|---|"]
    for rule in rights.role_rules(role, ["the server's pods"]):
        names = rule.get("resourceNames", [])
        resource = _resource(rule["resources"][0], rule["apiGroups"][0])
        lines.append(f"| `{resource}` | {', '.join(rule['verbs'])} | {', '.join(names)} |")
    more = f"The other {len(SERVER_ROLES) - 1} differ in the tokens that they may ask for.\n"
    return "\n".join(lines) + f"\n\nThat is `orchestune-{role}`. {more}"


def _role() -> dict[str, object]:
    return next(item for item in rights.namespaced(_USUAL) if item["kind"] == "Role")


def table(found: Sequence[ResourcePermission]) -> str:
    """Verbs by resource."""
    verbs: dict[str, list[str]] = {}
    for right in found:
        only = f", only {right.name}" if right.name else ""
        verbs.setdefault(f"| `{_resource(right.resource, right.group)}`{only} ", []).append(right.verb)
    lines = [f"{resource}| {', '.join(sorted(set(found)))} |" for resource, found in verbs.items()]
    return "\n".join(["| resource | verbs |", "|---|---|", *lines]) + "\n"


def _resource(resource: str, group: str) -> str:
    return f"{resource}.{group}" if group else resource
