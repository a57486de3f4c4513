"""Cluster teardown: copies all records of an idle cluster's server to an archive, then has the cluster destroyed."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from orchestune.archives.copy_records import RecordTarget, copy
from orchestune.errors import OrchestuneError, TemporaryError
from orchestune.ports.teardown import ClusterTeardown
from orchestune.services import cluster_teardown
from orchestune.services.core import Core
from orchestune.services.memory.teardown_plan import TeardownPlan
from orchestune.services.queries.export_record import Records
from orchestune.store.archive import Extent

log = logging.getLogger(__name__)

RETRY_SECONDS = 300.0
"""seconds until a retry after a failure, or if the requested teardown did not happen"""


class TeardownController:
    """Measures idle time on the monotonic clock, from the start of this server on, so that it never ends too early.

    First everything is copied while new work is still accepted. Then new work is refused, the changes made meanwhile
    are copied, and the teardown is requested repeatedly until this server is terminated.
    """

    def __init__(
        self,
        core: Core,
        plan: TeardownPlan,
        teardown: ClusterTeardown,
        open_target: Callable[[], RecordTarget],
        scratch: Path,
    ) -> None:
        self._core, self._plan, self._teardown, self._open_target, self._scratch = (
            core,
            plan,
            teardown,
            open_target,
            scratch,
        )
        self._since: float | None = None
        """monotonic time from which the cluster has been idle"""
        self._wait_until = float("-inf")
        self._copied: list[Extent] | None = None
        """extents of all experiments at the last complete copy: equal ones need no further copy"""

    def tick(self) -> None:
        """Advance the teardown by one step, or call it off if there is work again."""
        if not cluster_teardown.at_rest(self._core):
            self._reset()
            return
        now = self._core.clock.monotonic()
        if self._since is None:
            self._since, self._plan.since = now, self._core.clock.now()
        if now < self._wait_until or (now - self._since < self._plan.after and not self._plan.begun):
            return
        try:
            self._step()
        except OrchestuneError as exc:
            self._plan.trouble = exc.message
            log.warning("the idle cluster cannot be destroyed: %s", exc)
            if not isinstance(exc, TemporaryError):
                self._plan.call_off()
            self._wait_until = self._core.clock.monotonic() + RETRY_SECONDS

    def _reset(self) -> None:
        self._since = self._plan.since = None
        self._wait_until = float("-inf")
        self._plan.trouble = ""
        if self._plan.begun:  # requests in flight when the teardown began have created work
            self._plan.call_off()

    def _step(self) -> None:
        self._copy()
        if not self._plan.begun:
            self._plan.begin()
            return
        log.info("the cluster was idle for %.0f s; its records are in %s", self._plan.after, self._plan.archive)
        self._teardown.begin()
        self._plan.trouble = ""
        self._wait_until = self._core.clock.monotonic() + RETRY_SECONDS

    def _copy(self) -> None:
        """Copy all experiments that are missing or outdated in the archive; each is verified by reading it back."""
        extents = cluster_teardown.all_extents(self._core)
        if extents == self._copied:
            return
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(mode=0o700, parents=True)
        try:
            target, source = self._open_target(), Records(self._core)
            for experiment in extents:
                copy(source, target, experiment.id, self._scratch)
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)
        self._copied = extents
