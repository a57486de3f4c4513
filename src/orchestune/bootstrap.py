"""Puts the parts together: the only file that picks implementations."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from orchestune.archives.archive_store import ArchiveStore
from orchestune.backends.docker.backend import DockerBackend
from orchestune.backends.docker.mounts import MountPolicy
from orchestune.backends.local.backend import LocalBackend
from orchestune.backends.slurm.backend import SlurmBackend
from orchestune.backends.slurm.client import Slurm
from orchestune.backends.slurm.server_reach import address_for_nodes, own_address
from orchestune.controllers.abandoned_runs import AbandonedRuns
from orchestune.controllers.archiving import Archiving
from orchestune.controllers.checkpointing import Checkpointing
from orchestune.controllers.cluster_teardown import TeardownController
from orchestune.controllers.crash_backoff import CrashBackoff
from orchestune.controllers.expiring import Expiring
from orchestune.controllers.finishing import Finishing
from orchestune.controllers.launching import Launching
from orchestune.controllers.loop import Controller, ControllerLoop
from orchestune.controllers.noisy_stopping import NoisyStopping
from orchestune.controllers.notifying import Notifying
from orchestune.controllers.policy_check import PolicyCheck
from orchestune.controllers.purging import Purging
from orchestune.controllers.reaping import Reaping
from orchestune.controllers.stuck_experiments import WorkerObservation
from orchestune.controllers.suggesting import Suggesting
from orchestune.controllers.sweeping import Sweeping
from orchestune.controllers.tracking import Tracking
from orchestune.controllers.waking import Waking
from orchestune.controllers.warm_pool import WarmPool
from orchestune.engines import registry
from orchestune.engines.process.analyses import ANALYSES
from orchestune.engines.process.parent import HOST
from orchestune.errors import OrchestuneError, UsageError
from orchestune.files.open import open_files
from orchestune.files.secrets import FolderSecrets
from orchestune.ports.backend import Backend
from orchestune.ports.clock import SystemClock
from orchestune.ports.engine import Engine
from orchestune.ports.identity import IdentityProvider
from orchestune.ports.secrets import SecretStore
from orchestune.ports.teardown import ClusterTeardown
from orchestune.server.extra_listener import ExtraListener
from orchestune.server.settings import Settings
from orchestune.services.core import Core
from orchestune.services.memory import teardown_plan
from orchestune.services.memory.signals import ACTING, NOTIFYING, SUGGESTING
from orchestune.services.memory.teardown_plan import TeardownPlan
from orchestune.store import imports, notifications, workers
from orchestune.store.database import open_store
from orchestune.store.experiments import ExperimentRow, unfinished
from orchestune.store.leadership import Leadership

_PATIENT_TRIES = 4
"""how often a message is tried before a server without work may end, and goes on with it when it is started again"""

_FORWARDING_SECONDS = 5.0
"""between two looks at the Roles of people, which somebody may have applied anew; clients wait longer than that"""


@dataclass
class RunningCore:
    """A core and the controllers that act on its rows."""

    core: Core
    loops: tuple[ControllerLoop, ...]
    leads: Leadership
    suggesting: Suggesting
    tracking: Tracking

    def start(self) -> None:
        """Begin to act."""
        for loop in self.loops:
            loop.start()

    def stop(self, grace: float) -> None:
        """End the controllers and give everything back; workers go on."""
        for loop in self.loops:
            loop.stop(grace / len(self.loops))
        self.suggesting.close()
        self.tracking.close()
        HOST.close()
        ANALYSES.close()
        self.leads.resign()
        self.core.store.close()

    def is_idle(self) -> bool:
        """Nothing is unfinished (but for what somebody paused), no worker is there, no record is being taken in, and no
        message waits that may still be taken soon.
        """
        with self.core.store.reading() as session:
            if notifications.waiting(session, _PATIENT_TRIES) or imports.begun(session):
                return False
            if any(row.desired != "paused" or row.live_attempts for row in unfinished(session)):
                return False
            return not workers.any_present(session)


def build(
    settings: Settings,
    url: str,
    endpoint: Path | None = None,
    door: ExtraListener | None = None,
    backends: Mapping[str, Backend] | None = None,
) -> RunningCore:
    """Everything behind the server at `url`; `endpoint` is the file that local workers read again when that has gone,
    `door` opens the server to other machines.

    `backends` stand in the place of those that the settings mean.
    """
    state, retention = settings.state, settings.retention
    site = _cluster(settings.kubernetes) if settings.kubernetes else _this_machine(settings, endpoint, url, door)
    store = open_store(settings.database_url)
    core = Core(
        store=store,
        files=open_files(settings.files),
        secrets=site.secrets,
        clock=SystemClock(),
        key=_key(state / "key"),
        backends=backends or site.backends,
        url=site.url,
        owners=settings.owners,
        identities=site.identities,
        pages_host=f"{secrets.token_hex(8)}.localhost" if settings.serves_one_browser else "",
        single_user=settings.embedded,
        default_cluster=site.default,
        outgoing=settings.outgoing,
        retirement=_retirement(settings.retire, state),
        lease_seconds=settings.lease_seconds,
        beat_seconds=settings.beat_seconds,
    )
    leads = Leadership(store, _common(core.key, settings.files))
    suggesting, tracking = Suggesting(core, make_engine), Tracking(core)
    sparing, deaths = WarmPool(core), CrashBackoff(core)
    acting: tuple[Controller, ...] = (
        Finishing(core, sparing),
        Reaping(core, deaths),
        PolicyCheck(core),
        Launching(core, sparing, deaths),
        Waking(core),
        Sweeping(core),
        AbandonedRuns(core),
    )
    storing: tuple[Controller, ...] = (Purging(core), Archiving(core))  # apart: the place for files may be slow
    storing += (Expiring(core, retention),) if retention is not None else ()
    loops: tuple[ControllerLoop, ...] = (
        ControllerLoop(SUGGESTING, core, (suggesting,), leads=leads, pause=0.02),
        ControllerLoop(ACTING, core, acting, leads=leads, pause=0.1),
        ControllerLoop("storing", core, storing, leads=leads, pause=0.1),
        ControllerLoop(NOTIFYING, core, (WorkerObservation(core), Notifying(core)), leads=leads, pause=0.1),
        ControllerLoop("tracking", core, (tracking,), leads=leads),
        ControllerLoop("judging", core, (NoisyStopping(core),), leads=leads, pause=0.5),
        ControllerLoop("checkpointing", core, (Checkpointing(core),), leads=leads),
    )
    if site.in_each_replica:
        loops = (*loops, ControllerLoop("forwarding", core, site.in_each_replica, _FORWARDING_SECONDS))
    if core.retirement is not None:
        loops = (*loops, ControllerLoop("retiring", core, (_retiring(core, core.retirement, state),), leads=leads))
    return RunningCore(core, loops, leads, suggesting, tracking)


def _common(key: bytes, files: str) -> Mapping[str, bytes]:
    """What several servers on one database have to have alike, by what the log says where it is not."""
    place = files if "://" in files else os.path.realpath(os.path.expanduser(files))
    return {
        "another server on this database has another `key` in its state folder, so that workers of the one are"
        " strangers to the other: give both the same --state": key,
        "another server on this database keeps files in another place, where trials look in vain for those of this"
        " one: give both the same --files": place.encode(),
    }


def _retirement(file: Path | None, state: Path) -> TeardownPlan | None:
    if file is None:
        teardown_plan.forget(state)
        return None
    return teardown_plan.read(file, state)


def _retiring(core: Core, plan: TeardownPlan, state: Path) -> TeardownController:
    shelf = partial(ArchiveStore, open_files(plan.archive))
    return TeardownController(core, plan, _undertaker(plan.place), shelf, state / "archiving")


def _undertaker(place: Mapping[str, str]) -> ClusterTeardown:
    """UsageError where nothing of that provider is known."""
    if place.get("provider") == "aws":
        from orchestune.clusters.aws.teardown_trigger import LambdaTeardown  # boto3 is optional, and slow to import

        return LambdaTeardown(place["cluster"], place["region"])
    raise UsageError(f"clusters of '{place.get('provider')}' do not destroy themselves")


@dataclass(frozen=True)
class _Site:
    """What differs by where the workers of a server run."""

    backends: Mapping[str, Backend]
    secrets: SecretStore
    url: str
    default: str
    identities: tuple[IdentityProvider, ...] = ()
    in_each_replica: tuple[Controller, ...] = ()
    """what also a replica does that does not lead"""


def _this_machine(settings: Settings, endpoint: Path | None, url: str, door: ExtraListener | None) -> _Site:
    state, moves = settings.state, endpoint is not None
    slurm = Slurm()
    reached = partial(
        address_for_nodes, url, settings.slurm_address, partial(own_address, slurm), door.open if door else None
    )
    mounts = MountPolicy(allow=settings.docker_allow, own_projects=settings.embedded)
    backends: dict[str, Backend] = {
        "local": LocalBackend(state, endpoint, url, umask=settings.umask),
        "docker": DockerBackend(state, url, moves=moves, mounts=mounts),
        "slurm": SlurmBackend(state, settings.shared, reached, moves=moves, slurm=slurm, umask=settings.umask),
    }
    return _Site(backends, FolderSecrets(state / "secrets"), url, "local")


def _cluster(file: Path) -> _Site:
    from orchestune.backends.kubernetes import (
        allow_list,
        config,  # the official client takes half a second, which others are spared
    )
    from orchestune.backends.kubernetes.backend import KubernetesBackend
    from orchestune.backends.kubernetes.client import ApiServer
    from orchestune.backends.kubernetes.objects.secrets import KubernetesSecrets
    from orchestune.backends.kubernetes.policy.forwarding import Forwarding
    from orchestune.backends.kubernetes.policy.identity import ServiceAccounts

    found = config.read(file)
    api = ApiServer.connect(found)
    in_pod = not (found.kubeconfig or found.context)
    allowances = partial(allow_list.stored, api, found.namespace) if in_pod else None
    backends = {found.cluster: KubernetesBackend(found, api, allowances=allowances)}
    identities = (ServiceAccounts(api, found),)
    site = _Site(backends, KubernetesSecrets(api, found), found.url, found.cluster, identities)
    if not in_pod:
        return site
    forwarding = Forwarding(api, found)
    with suppress(OrchestuneError):  # the loop of this controller repeats it, and logs why it fails
        forwarding.tick()  # people reach this pod before it reports ready
    return replace(site, in_each_replica=(forwarding,))


def make_engine(row: ExperimentRow) -> Engine:
    """The engine of an experiment as it is now."""
    specification = row.specification
    return registry.create(
        specification.engine,
        specification.space,
        specification.metrics,
        seed=specification.seed,
        options=specification.engine_options,
    )


def _key(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(os.urandom(32))
        return path.read_bytes()
