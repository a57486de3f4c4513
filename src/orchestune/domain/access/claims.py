"""Name and role of a person, from the claims that an identity provider states about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestune.domain.clusters.cluster import SERVER_ROLES

ANYONE = "*"
"""key of the role of everyone whom the provider identifies"""
MAX_NAME_CHARS = 200
Claims = Mapping[str, object]


class NotAdmitted(ValueError):
    """The provider has identified the person, but the server does not admit them. The message is a complete reason."""


@dataclass(frozen=True)
class ClaimRules:
    """Which claims name a person, and which groups have which role."""

    roles: Mapping[str, str]
    """group → role; `ANYONE` for everyone"""
    groups_claim: str = "groups"
    name_claim: str = "email"

    def name_of(self, claims: Claims) -> str:
        """Return the verified name. Raises NotAdmitted if the provider does not state one."""
        name = _claim(claims, self.name_claim)
        if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > MAX_NAME_CHARS:
            raise NotAdmitted(f"the identity provider states no '{self.name_claim}' of this account")
        if self.name_claim == "email" and not _is_verified_email(claims):
            raise NotAdmitted(f"the identity provider has not verified the e-mail address '{name}'")
        return name.strip()

    def role_of(self, claims: Claims) -> str:
        """Return the highest role of the person's groups. Raises NotAdmitted, which names the groups with a role."""
        groups = self._groups(claims)
        roles = {self.roles[group] for group in (*groups, ANYONE) if group in self.roles}
        if roles:
            return max(roles, key=SERVER_ROLES.index)
        with_role = ", ".join(f"'{group}' ({role})" for group, role in sorted(self.roles.items()))
        if not groups:
            raise NotAdmitted(f"'{self.groups_claim}' names no group of this account (expected one of {with_role})")
        raise NotAdmitted(f"no group of this account has a role on this server (expected one of {with_role})")

    def are_complete(self, claims: Claims) -> bool:
        """Return True if the claims contain those that name and role are derived from."""
        needs_groups = set(self.roles) != {ANYONE}
        has_name = _claim(claims, self.name_claim) is not None
        has_email = self.name_claim != "email" or "email_verified" in claims
        return has_name and has_email and (not needs_groups or _claim(claims, self.groups_claim) is not None)

    def _groups(self, claims: Claims) -> Sequence[str]:
        """Return the groups; a claim with one text, such as the domain of an account (`hd`), is one group."""
        claim = _claim(claims, self.groups_claim)
        if self.groups_claim == "email" and not _is_verified_email(claims):
            return ()
        if isinstance(claim, str):
            return (claim,)
        return tuple(each for each in claim if isinstance(each, str)) if isinstance(claim, list) else ()


def _claim(claims: Claims, path: str) -> object:
    """Return a claim by its name, or by a path into nested ones, such as `realm_access.roles`; None if absent."""
    if path in claims:
        return claims[path]
    claim: object = claims
    for name in path.split("."):
        claim = claim.get(name) if isinstance(claim, Mapping) else None
    return claim


def _is_verified_email(claims: Claims) -> bool:
    verified = claims.get("email_verified")
    return verified is True or verified == "true"  # AWS Cognito sends a text
