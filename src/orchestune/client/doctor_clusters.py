"""Checks that connected clusters are reachable, and that the versions of their servers match this program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from orchestune.client.address import place
from orchestune.client.clusters import Clusters
from orchestune.client.everywhere import Answer, ask
from orchestune.client.finding import Finding
from orchestune.client.home import state_folder
from orchestune.client.versions import difference, remedy
from orchestune.errors import OrchestuneError

if TYPE_CHECKING:
    from orchestune import documents


def cluster_checks(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield one finding per connected cluster; all servers are queried concurrently."""
    try:
        connected = Clusters(state_folder(environ)).connected()
        places = [place(environ, cluster.name) for cluster in connected]
    except OrchestuneError as exc:
        yield Finding("clusters", "error", exc.message, exc.hint)
        return
    for answer in ask(places, lambda client: client.server()):
        yield _finding(answer)


def _finding(answer: Answer[documents.Server]) -> Finding:
    name, cluster = f"cluster {answer.place.name}", answer.place.cluster
    if answer.error is not None or answer.value is None:
        error = answer.error or OrchestuneError("it gave no answer")
        return Finding(name, "error", error.message, error.hint)
    version = answer.value["version"]
    assert cluster is not None
    where = f"namespace {cluster.namespace}" if cluster.provider == "kubernetes" else cluster.url
    detail = f"{version}, {where}" + (f", as {cluster.role}" if cluster.role else "")
    which = difference(version)
    if which:
        return Finding(name, "warning", f"{detail}; {which} than this program", remedy(version, cluster))
    return Finding(name, "ok", detail)
