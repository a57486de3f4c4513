"""Who else may use a cluster."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from orchestune.clusters.aws.made import Made, Step
from orchestune.clusters.aws.names import TAG
from orchestune.clusters.aws.requests import control
from orchestune.clusters.aws.site import Site
from orchestune.domain.cluster import Event, Grant, Happened, Planned
from orchestune.errors import NotFound

Document = dict[str, Any]
_ADMIN = "admin"


def steps(site: Site) -> list[Step]:
    """One for each that the file names."""
    return [_entry(site, grant) for grant in site.spec.access]


def planned(site: Site) -> list[Planned]:
    """What `update` does about it: who comes, whose role changes, who may no longer."""
    there = entries(site)
    roles = {who: _role(item) for who, item in there.items()}
    made = [Planned("access", grant.who, grant.role if grant.who not in roles else f"{roles[grant.who]} → {grant.role}")
            for grant in site.spec.access if roles.get(grant.who) != grant.role]  # fmt: skip
    return made + [Planned("access", who, "taken away") for who in _gone(site, there)]


def revoke(site: Site, say: Callable[[Event], None]) -> None:
    """Take access away from whom the file names no more; what others have granted stays."""
    for who in _gone(site, entries(site)):
        what = Planned("access", who)
        _take_away(site, who)
        say(Event(Happened.REMOVED, what))


def entries(site: Site) -> dict[str, Document]:
    """Access that we have granted."""
    asked = {"clusterName": site.names.cluster}
    found: dict[str, Document] = {}
    for who in site.aws.pages("eks", "ListAccessEntries", "accessEntries", asked, about="access"):
        shown = _described(site, str(who))
        if shown is not None and (shown.get("tags") or {}).get(TAG) == site.names.cluster:
            found[str(who)] = shown
    return found


def _gone(site: Site, there: dict[str, Document]) -> list[str]:
    named = {grant.who: grant.role for grant in site.spec.access}
    return [who for who in there if who not in named]


def _role(shown: Document) -> str:
    groups = shown.get("kubernetesGroups") or []
    return str(groups[0]).rpartition(":")[2] if groups else _ADMIN


def _described(site: Site, who: str) -> Document | None:
    asked = {"clusterName": site.names.cluster, "principalArn": who}
    try:
        found: Document = site.aws.call("eks", "DescribeAccessEntry", asked, about=f"access {who}")["accessEntry"]
    except NotFound:
        return None
    return found


def _take_away(site: Site, who: str) -> None:
    """What is gone already is no mistake: an answer may have been lost."""
    asked = {"clusterName": site.names.cluster, "principalArn": who}
    with suppress(NotFound):
        site.aws.call("eks", "DeleteAccessEntry", asked, about=f"access {who}")


def _entry(site: Site, grant: Grant) -> Step:
    what = Planned("access", grant.who, grant.role)

    def find(made: Made) -> str | None:
        found = _described(site, grant.who)
        if found is None:
            return None
        if (found.get("tags") or {}).get(TAG) == site.names.cluster and _role(found) != grant.role:
            _take_away(site, grant.who)
            return None
        return grant.who

    def make(made: Made) -> str:
        request = control.entry(site.names, grant)
        site.aws.settled("eks", "CreateAccessEntry", request, about=what.called, unknown=_still_there)
        return grant.who

    def settle(made: Made, beat: Callable[[], None]) -> None:
        if grant.role == _ADMIN:
            request = control.administration(site.names, grant)
            site.aws.settled("eks", "AssociateAccessPolicy", request, about=what.called)

    return Step(f"access-{grant.who}", what, find, make, settle)


def _still_there(code: str, message: str) -> bool:
    """The entry that this one takes the place of."""
    return code == "ResourceInUseException"
