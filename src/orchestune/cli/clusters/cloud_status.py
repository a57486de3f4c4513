"""Status of a cluster at its cloud provider, as lines and as a document."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from orchestune.cli.terminal.render import Paint, one_line, table
from orchestune.domain.clusters.cluster import CloudStatus


def document(status: CloudStatus) -> dict[str, Any]:
    """Return the `--json` document."""
    return asdict(status)


def lines(status: CloudStatus, account: str, paint: Paint, columns: int | None = None) -> list[str]:
    """Format location, pools and problems."""
    summary = f"{status.name}: {status.state}, Kubernetes {status.version}, account {account}, {status.region}"
    rows = [
        [pool.name, pool.state, ", ".join(pool.instance_types) + (" (spot)" if pool.spot else ""), str(pool.least),
         str(pool.now), str(pool.most)]
        for pool in status.pools
    ]  # fmt: skip
    header = ["pool", "state", "machines", "min", "now", "max"]
    pool_lines = table(header, rows, paint, right=(3, 4, 5), columns=columns) if rows else ["no pools"]
    problems = [f"{pool.name}: {one_line(pool.trouble)}" for pool in status.pools if pool.trouble]
    problems += [one_line(status.trouble)] if status.trouble else []
    return [summary, *pool_lines, *(["", *problems] if problems else [])]
