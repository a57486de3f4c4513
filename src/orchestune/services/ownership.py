"""Ownership of experiments: the *owner* is a recorded name, the *principal* the authenticated identity behind it.

A name may be only claimed: holders of a shared token (a role's token of a cluster, an owner's token without a name)
state their names themselves. `experiments.principal` stores the identity that the caller proved when the experiment was
created, so that no authorization depends on a claim.
"""

from __future__ import annotations

from orchestune.domain.specification.experiment import IMPORTED
from orchestune.errors import Denied
from orchestune.services.core import Caller, Core
from orchestune.store.experiment_lists import OwnedBy
from orchestune.store.experiments import ExperimentRow

LOCAL = "local"
"""Principal of everything on an embedded server, which has a single user."""
_DIGITS = 32
"""Length of the prefix of a digest that identifies a token or a person: long enough to exclude collisions."""


def principal(core: Core, caller: Caller) -> str | None:
    """Return a stable identifier of the authenticated caller; None if the caller's name is only claimed."""
    if core.single_user:
        return LOCAL
    if caller.subject:
        return f"person:{caller.subject[:_DIGITS]}"
    return f"token:{caller.source[:_DIGITS]}" if caller.source and not caller.shared else None


def principal_of_new(core: Core, caller: Caller, owner: str | None) -> str | None:
    """Return the principal of an experiment that `caller` creates for `owner`, if given.

    Owners of the server may record on behalf of others. Raises Denied if an editor names another user: silently
    recording a different owner than requested would hide a mistake as well as an attack. Editors who share a token
    only claim their names anyway, so one more claim changes nothing.
    """
    if owner and owner != caller.name and caller.role != "owner" and not caller.shared:
        text = f"cannot record an experiment of '{owner}' (expected '{caller.name}'): this needs an owner"
        raise Denied(text, "leave `owner` out, or ask for access as an owner")
    return principal(core, caller)


def is_authenticated(core: Core, row: ExperimentRow) -> bool:
    """Return True if the owner was authenticated when the experiment was created on this server."""
    if row.imported_at is not None:
        return False
    return row.principal is not None or core.single_user


def owned_by(core: Core, caller: Caller) -> OwnedBy | None:
    """Return the filter for the experiments of `caller`; None if the server has a single user, who owns all.

    A claimed name matches only claimed owners: otherwise a user who shares a token could present an experiment as that
    of a user with a token of their own.
    """
    return None if core.single_user else OwnedBy(caller.name, principal(core, caller) is not None)


def is_proven_owner(core: Core, caller: Caller, row: ExperimentRow) -> bool:
    """Return True if `caller` has proved to be the user who created the experiment on this server."""
    if core.single_user:
        return not row.owner.endswith(IMPORTED)
    is_proven = row.principal is not None and not caller.shared and caller.role not in ("guest", "worker")
    return is_proven and caller.name == row.owner


def may_act_as_owner(caller: Caller, row: ExperimentRow) -> bool:
    """Return True if `caller` owns the server or the experiment; a claimed name matches only a claimed owner."""
    if caller.role == "owner":
        return True
    return caller.name == row.owner and (row.principal is None or not caller.shared)
