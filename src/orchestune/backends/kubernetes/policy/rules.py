"""Building blocks of the allow-list: each rule checks one value of a pod template and yields problems."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestune.domain.access.allowances import Allowance, Allowances
from orchestune.errors import Problem

_READABLE_NAME = re.compile(r"[A-Za-z0-9][-A-Za-z0-9_.]{0,62}")
_MAX_SHOWN_CHARACTERS = 100  # maximum characters of a rejected value in a message


@dataclass(frozen=True)
class RuleScope:
    """Context of the rules."""

    cluster: str
    """name of the cluster, for hints"""
    own: Mapping[str, object]
    """template of the same worker without the experiment's `pod:` and volumes: trusted as it is"""
    allowances: Allowances = Allowances()
    """what the cluster's administrator permits to all experiments (`cluster connect --allow KIND:NAME`)"""
    service_account: str = "orchestune-worker"
    pull_secrets: Sequence[str] = ()
    gpu_resource: str = "nvidia.com/gpu"
    protected: Sequence[str] = ()
    """folders of the worker or the node in the container, where nothing may be mounted"""
    aliases: Sequence[tuple[str, str]] = ()
    """(prefix of a template path, key of the experiment file that it comes from)"""

    def refuse(self, path: str, message: str, kind: str = "", name: str = "") -> Problem:
        """Build a problem. `kind`, `name`: the allowance that would permit it, for the hint; empty if none can."""
        allowance = Allowance(kind, name)
        if kind and allowance.is_reserved:
            hint = "it belongs to Orchestune's server; no experiment gets it"
        elif kind:
            hint = f"an administrator allows it by: orchestune cluster connect -n {self.cluster} --allow {allowance}"
        else:
            hint = "leave it out"
        return Problem(message, key=self.key(path), hint=hint)

    def key(self, path: str) -> str:
        """Return the key of the experiment file for a template path."""
        for begin, alias in self.aliases:
            if path == begin or path.startswith((f"{begin}.", f"{begin}[")):
                return alias
        return f"pod.{path}"


Check = Callable[[RuleScope, str, object], Iterator[Problem]]
Table = Mapping[str, Check]


def shortened(value: object) -> str:
    """Format a value for a message: shortened, on one line."""
    text = str(value)
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else f"{text[:_MAX_SHOWN_CHARACTERS]}…"


def free(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
    """Accept any value: the API server validates it, and no value grants access to anything."""
    return iter(())


def never(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
    """Refuse any value."""
    yield scope.refuse(path, "experiments may not set it")


def only(*allowed: object) -> Check:
    """Accept only these values."""

    def check(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
        if not any(value == each and type(value) is type(each) for each in allowed):
            yield scope.refuse(path, f"found {shortened(value)} (expected {' or '.join(map(str, allowed))})")

    return check


def switch(kind: str) -> Check:
    """Accept `false`, and anything else if the administrator allows that kind."""

    def check(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
        if value is not False and not scope.allowances.permit(kind):
            yield scope.refuse(path, f"found {shortened(value)}; experiments may not have it", kind)

    return check


def unless(kind: str, *allowed: object) -> Check:
    """Accept these values, and others if the administrator allows that kind."""

    def check(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
        if value not in allowed and not scope.allowances.permit(kind):
            yield scope.refuse(path, f"found {shortened(value)}", kind)

    return check


def named(kind: str, *usual: str) -> Check:
    """Accept the usual names, and others for which the scope has an allowance of this kind, as `claim:datasets`."""

    def check(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
        if not isinstance(value, str):
            yield scope.refuse(path, f"found {shortened(value)} (expected a name)")
        elif value not in usual and not scope.allowances.permit(kind, value):
            yield scope.refuse(
                path, f"{kind.replace('-', ' ')} '{shortened(value)}' is not allowed to experiments", kind, value
            )

    return check


def each(inner: Check, most: int | None = None) -> Check:
    """Check every item of a list, and that there are at most `most`."""

    def check(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
        if not isinstance(value, list):
            yield scope.refuse(path, f"found {shortened(value)} (expected a list)")
            return
        if most is not None and len(value) > most:
            yield Problem(f"has {len(value):,} entries (expected at most {most})", key=scope.key(path))
            return
        for index, item in enumerate(value):
            yield from inner(scope, f"{path}[{label(item, index)}]", item)

    return check


def table(known: Table) -> Check:
    """Check an object key by key: unknown keys are refused, null counts as absent."""

    def check(scope: RuleScope, path: str, value: object) -> Iterator[Problem]:
        if not isinstance(value, Mapping):
            yield scope.refuse(path, f"found {shortened(value)} (expected a mapping)")
            return
        for key, below in value.items():
            if below is not None:
                rule = known.get(key, never) if isinstance(key, str) else never
                yield from rule(scope, f"{path}.{shortened(key)}", below)

    return check


def label(item: object, index: int) -> str:
    """Return the name of a list item in a path: its `name` if present and readable, else its index."""
    name = item.get("name") if isinstance(item, Mapping) else None
    return name if isinstance(name, str) and _READABLE_NAME.fullmatch(name) else str(index)


def mapping(value: object) -> Mapping[str, object]:
    """Return the value if it is a mapping, else an empty mapping."""
    return value if isinstance(value, Mapping) else {}


def mappings(value: object) -> list[Mapping[str, object]]:
    """Return the mappings of a list; empty for any other value."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
