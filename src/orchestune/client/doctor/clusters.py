"""Checks that connected clusters are reachable, and that the versions of their servers match this program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from orchestune.client.address import place
from orchestune.client.all_servers import ServerResult, ask
from orchestune.client.clusters import Clusters
from orchestune.client.connection.versions import difference, remedy
from orchestune.client.doctor.finding import CheckResult
from orchestune.client.local.home import state_folder
from orchestune.errors import OrchestuneError

if TYPE_CHECKING:
    from orchestune import documents


def cluster_checks(environ: Mapping[str, str]) -> Iterator[CheckResult]:
    """Yield one finding per connected cluster; all servers are queried concurrently."""
    try:
        connected = Clusters(state_folder(environ)).connected()
        places = [place(environ, cluster.name) for cluster in connected]
    except OrchestuneError as exc:
        yield CheckResult("clusters", "error", exc.message, exc.hint)
        return
    for answer in ask(places, lambda client: client.server()):
        yield _finding(answer)


def _finding(answer: ServerResult[documents.Server]) -> CheckResult:
    name, cluster = f"cluster {answer.place.name}", answer.place.cluster
    if answer.error is not None or answer.value is None:
        error = answer.error or OrchestuneError("no answer")
        return CheckResult(name, "error", error.message, error.hint)
    version = answer.value["version"]
    assert cluster is not None
    where = f"namespace {cluster.namespace}" if cluster.provider == "kubernetes" else cluster.url
    detail = f"{version}, {where}" + (f", as {cluster.role}" if cluster.role else "")
    which = difference(version)
    if which:
        return CheckResult(name, "warning", f"{detail}; {which} than this program", remedy(version, cluster))
    return CheckResult(name, "ok", detail)
