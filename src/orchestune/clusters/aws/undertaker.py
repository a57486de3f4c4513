"""What the server in a cluster does to have it destroyed: it calls the one function that may."""

from __future__ import annotations

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.names import Names
from orchestune.clusters.aws.retiring import call


class Function:
    """The function of one cluster; fulfils `Undertaker`."""

    def __init__(self, cluster: str, region: str) -> None:
        self._cluster, self._region = cluster, region

    def begin(self) -> None:
        call(Aws(self._region), Names(self._cluster, self._region, ""))
