"""A cluster as its provider shows it, as lines and as a document."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from orchestune.cli.terminal.render import Paint, one_line, table
from orchestune.domain.clusters.cluster import CloudStatus


def document(standing: CloudStatus) -> dict[str, Any]:
    """Of the `--json` contract."""
    return asdict(standing)


def lines(standing: CloudStatus, account: str, paint: Paint, columns: int | None = None) -> list[str]:
    """Where it is, its pools, and what is wrong with them."""
    head = f"{standing.name}: {standing.state}, Kubernetes {standing.version}, account {account}, {standing.region}"
    rows = [
        [pool.name, pool.state, ", ".join(pool.instance_types) + (" (spot)" if pool.spot else ""), str(pool.least),
         str(pool.now), str(pool.most)]
        for pool in standing.pools
    ]  # fmt: skip
    header = ["pool", "state", "machines", "min", "now", "max"]
    shown = table(header, rows, paint, right=(3, 4, 5), columns=columns) if rows else ["it has no pools"]
    troubles = [f"{pool.name}: {one_line(pool.trouble)}" for pool in standing.pools if pool.trouble]
    troubles += [one_line(standing.trouble)] if standing.trouble else []
    return [head, *shown, *(["", *troubles] if troubles else [])]
