"""Composition root: the only module that selects implementations."""

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
from orchestune.client.address import ServerPlace
from orchestune.client.clusters import ConnectedCluster
from orchestune.client.local.endpoint import FILE as ENDPOINT
from orchestune.client.local.home import state_path
from orchestune.client.local.spawn import server_environment
from orchestune.controllers.abandoned_runs import AbandonedRuns
from orchestune.controllers.backend_cleanup import BackendCleanup
from orchestune.controllers.checkpointing import Checkpointing
from orchestune.controllers.cluster_teardown import TeardownController
from orchestune.controllers.crash_backoff import CrashBackoff
from orchestune.controllers.finishing import Finishing
from orchestune.controllers.garbage_collection import GarbageCollection
from orchestune.controllers.loop import Controller, ControllerLoop
from orchestune.controllers.lost_workers import LostWorkers
from orchestune.controllers.mlflow_tracking import MlflowTracking
from orchestune.controllers.noisy_stopping import NoisyStopping
from orchestune.controllers.notifying import Notifying
from orchestune.controllers.policy_check import PolicyCheck
from orchestune.controllers.purging import Purging
from orchestune.controllers.retention import Retention
from orchestune.controllers.stuck_notifications import StuckNotifications
from orchestune.controllers.suggesting import Suggesting
from orchestune.controllers.warm_pool import WarmPool
from orchestune.controllers.worker_scaling import WorkerScaling
from orchestune.controllers.worker_wakeups import WorkerWakeups
from orchestune.engines import registry
from orchestune.engines.process.analyses import ANALYSES
from orchestune.engines.process.parent import HOST
from orchestune.errors import OrchestuneError, UsageError
from orchestune.files.open import open_files
from orchestune.files.secrets import FolderSecrets
from orchestune.kubeapi.stored_settings import BACKEND_SETTINGS, CONFIG_MAP
from orchestune.oidc.settings import OidcSettings
from orchestune.ports.backend import Backend, WorkerPlanner
from orchestune.ports.clock import SystemClock
from orchestune.ports.engine import Engine
from orchestune.ports.identity import IdentityProvider
from orchestune.ports.secrets import EnvironmentStore, SecretStore
from orchestune.ports.single_sign_on import SingleSignOn
from orchestune.ports.teardown import ClusterTeardown
from orchestune.server.extra_listener import ExtraListener
from orchestune.server.settings import HOSTED_PORT, Settings, load
from orchestune.services.core import Core
from orchestune.services.memory import teardown_plan
from orchestune.services.memory.signals import ACTING, NOTIFYING, SUGGESTING
from orchestune.services.memory.teardown_plan import TeardownPlan
from orchestune.store import imports, notifications, workers
from orchestune.store.database import open_store
from orchestune.store.experiment_lists import unfinished
from orchestune.store.experiments import ExperimentRow
from orchestune.store.leadership import Leadership

_IDLE_DELIVERY_TRIES = 4
"""deliveries of a message that are tried before an idle server may shut down; it continues them after a restart"""

_MAX_ACTING_CORES = 0.5
"""cores that starting and observing workers may use: with thousands of them a tick takes so long that calls wait"""

_FORWARDING_INTERVAL_SECONDS = 5.0
"""seconds between two checks of the users' Roles, which may have been applied again; clients wait longer than that"""


@dataclass
class RunningCore:
    """A core and the controllers that act on its rows."""

    core: Core
    loops: tuple[ControllerLoop, ...]
    leads: Leadership
    suggesting: Suggesting
    tracking: MlflowTracking

    def start(self) -> None:
        """Start the controllers."""
        for loop in self.loops:
            loop.start()

    def stop(self, grace: float) -> None:
        """Stop the controllers and release all resources; workers keep running."""
        for loop in self.loops:
            loop.stop(grace / len(self.loops))
        self.suggesting.close()
        self.tracking.close()
        HOST.close()
        ANALYSES.close()
        self.leads.resign()
        self.core.store.close()

    def is_idle(self) -> bool:
        """Return True if the embedded server may exit.

        Nothing is unfinished (except paused experiments), no worker is registered, no record is being imported, and no
        message is due for delivery soon.
        """
        with self.core.store.reading() as session:
            if notifications.waiting(session, _IDLE_DELIVERY_TRIES) or imports.begun(session):
                return False
            if any(row.desired != "paused" or row.live_attempts for row in unfinished(session)):
                return False
            return not workers.any_present(session)


def build(
    settings: Settings,
    url: str,
    endpoint: Path | None = None,
    listener: ExtraListener | None = None,
    backends: Mapping[str, Backend] | None = None,
) -> RunningCore:
    """Build the core and controllers of the server at `url`.

    `endpoint`: file that local workers reread when that address is gone; `listener`: opens the server to other hosts.
    `backends` replaces those of the settings.
    """
    state, retention = settings.state, settings.retention
    site = _cluster_site(settings.kubernetes) if settings.kubernetes else _local_site(settings, endpoint, url, listener)
    store = open_store(settings.database_url)
    key = _key(state / "key")
    core = Core(
        store=store,
        files=open_files(settings.files),
        secrets=site.secrets,
        environments=site.environments,
        clock=SystemClock(),
        key=key,
        backends=backends or site.backends,
        url=site.url,
        owners=settings.owners,
        identities=site.identities,
        single_sign_on=_single_sign_on(settings.oidc, key) if settings.oidc else None,
        session_seconds=settings.oidc_session,
        login_seconds=settings.oidc_login,
        pages_host=f"{secrets.token_hex(8)}.localhost" if settings.serves_one_browser else "",
        single_user=settings.embedded,
        default_cluster=site.default,
        outgoing=settings.outgoing,
        retirement=_retirement(settings.retire, state),
        lease_seconds=settings.lease_seconds,
        beat_seconds=settings.beat_seconds,
    )
    leadership = Leadership(store, _shared_settings(core.key, settings.files))
    suggesting, tracking = Suggesting(core, make_engine), MlflowTracking(core)
    warm_pool, crash_backoff = WarmPool(core), CrashBackoff(core)
    acting_controllers: tuple[Controller, ...] = (
        Finishing(core, warm_pool),
        LostWorkers(core, crash_backoff),
        PolicyCheck(core),
        WorkerScaling(core, warm_pool, crash_backoff),
        WorkerWakeups(core),
        BackendCleanup(core),
        AbandonedRuns(core),
    )
    # in a loop of their own, since the file storage may be slow
    storing_controllers: tuple[Controller, ...] = (Purging(core), GarbageCollection(core))
    storing_controllers += (Retention(core, retention),) if retention is not None else ()
    loops: tuple[ControllerLoop, ...] = (
        ControllerLoop(SUGGESTING, core, (suggesting,), leads=leadership, pause=0.02),
        ControllerLoop(ACTING, core, acting_controllers, leads=leadership, pause=0.1, max_cores=_MAX_ACTING_CORES),
        ControllerLoop("storing", core, storing_controllers, leads=leadership, pause=0.1),
        ControllerLoop(NOTIFYING, core, (StuckNotifications(core), Notifying(core)), leads=leadership, pause=0.1),
        ControllerLoop("tracking", core, (tracking,), leads=leadership),
        ControllerLoop("judging", core, (NoisyStopping(core),), leads=leadership, pause=0.5),
        ControllerLoop("checkpointing", core, (Checkpointing(core),), leads=leadership),
    )
    if site.in_each_replica:
        loops = (*loops, ControllerLoop("forwarding", core, site.in_each_replica, _FORWARDING_INTERVAL_SECONDS))
    if core.retirement is not None:
        loops = (*loops, ControllerLoop("retiring", core, (_retiring(core, core.retirement, state),), leads=leadership))
    return RunningCore(core, loops, leadership, suggesting, tracking)


def _single_sign_on(settings: OidcSettings, key: bytes) -> SingleSignOn:
    try:
        from orchestune.oidc.provider import OidcProvider  # Authlib is optional
    except ModuleNotFoundError as exc:
        raise UsageError("single sign-on needs Authlib", "pip install 'orchestune[oidc]'") from exc
    return OidcProvider(settings, key)


def _shared_settings(key: bytes, files: str) -> Mapping[str, bytes]:
    """Return the settings that all servers of one database must share, keyed by the log message for a difference."""
    place = files if "://" in files else os.path.realpath(os.path.expanduser(files))
    return {
        "another server on this database has a different `key` in its state folder and rejects workers of this one:"
        " give both the same --state": key,
        "another server on this database stores files in another place, so that trials miss those of this one:"
        " give both the same --files": place.encode(),
    }


def _retirement(file: Path | None, state: Path) -> TeardownPlan | None:
    if file is None:
        teardown_plan.forget(state)
        return None
    return teardown_plan.read(file, state)


def _retiring(core: Core, plan: TeardownPlan, state: Path) -> TeardownController:
    open_archive = partial(ArchiveStore, open_files(plan.archive))
    return TeardownController(core, plan, _teardown(plan.place), open_archive, state / "archiving")


def _teardown(place: Mapping[str, str]) -> ClusterTeardown:
    """Return the teardown of a provider. Raises UsageError for an unknown provider."""
    if place.get("provider") == "aws":
        from orchestune.clusters.aws.lambda_handler import LambdaTeardown  # boto3 is optional and slow to import

        return LambdaTeardown(place["cluster"], place["region"])
    raise UsageError(f"clusters of '{place.get('provider')}' cannot destroy themselves")


@dataclass(frozen=True)
class _Site:
    """Dependencies that differ by the place of a server's workers."""

    backends: Mapping[str, Backend]
    secrets: SecretStore
    url: str
    default: str
    identities: tuple[IdentityProvider, ...] = ()
    in_each_replica: tuple[Controller, ...] = ()
    """controllers that also run in replicas that are not the leader"""
    environments: EnvironmentStore | None = None


def _local_site(settings: Settings, endpoint: Path | None, url: str, listener: ExtraListener | None) -> _Site:
    backends = _local_backends(settings, endpoint, url, listener)
    environments = FolderSecrets(settings.state / "environments")
    return _Site(backends, FolderSecrets(settings.state / "secrets"), url, "local", environments=environments)


def _local_backends(
    settings: Settings, endpoint: Path | None, url: str, listener: ExtraListener | None
) -> Mapping[str, Backend]:
    state, may_move = settings.state, endpoint is not None
    slurm = Slurm()
    node_address = partial(
        address_for_nodes, url, settings.slurm_address, partial(own_address, slurm), listener.open if listener else None
    )
    mounts = MountPolicy(allow=settings.docker_allow, own_projects=settings.embedded)
    return {
        "local": LocalBackend(state, endpoint, url, umask=settings.umask),
        "docker": DockerBackend(state, url, moves=may_move, mounts=mounts),
        "slurm": SlurmBackend(state, settings.shared, node_address, moves=may_move, slurm=slurm, umask=settings.umask),
    }


def worker_planner(place: ServerPlace, environ: Mapping[str, str]) -> WorkerPlanner | None:
    """Return the backend of a place for a dry run by one of its clients, or None if only its server has access to it.

    It uses the client's own access (Docker's socket, Slurm's commands, the user's kubeconfig) and the settings of the
    server: in a cluster those that the server stores there, on this machine those that it would be started with.
    """
    cluster = place.cluster
    if cluster is None or cluster.provider == "hosted":
        return None
    if cluster.provider == "kubernetes":
        return _kubernetes_planner(cluster, environ)
    settings = load(["--embedded", "--state", str(state_path(environ))], server_environment(environ))
    address = settings.address(settings.port or HOSTED_PORT)  # of a server that is not running: only its host matters
    return _local_backends(settings, settings.state / ENDPOINT, address, None)[cluster.provider]


def _kubernetes_planner(cluster: ConnectedCluster, environ: Mapping[str, str]) -> WorkerPlanner:
    from orchestune.backends.kubernetes import config
    from orchestune.backends.kubernetes.planning import DryRunPlanner
    from orchestune.client.tunnels.api_server import api_server

    api = api_server(cluster, environ)
    config_map = api.call("GET", f"/api/v1/namespaces/{cluster.namespace}/configmaps/{CONFIG_MAP}")
    configuration = config.parse(config_map["data"][BACKEND_SETTINGS], BACKEND_SETTINGS)
    if configuration.namespace != cluster.namespace:  # the namespace is a part of URLs
        raise UsageError(
            f"the ConfigMap {CONFIG_MAP} of {cluster.namespace} names another namespace: {configuration.namespace!r}",
            f"repair it: `orchestune cluster connect -n {cluster.name}`",
        )
    return DryRunPlanner(configuration, api)


def _cluster_site(file: Path) -> _Site:
    from orchestune.backends.kubernetes import allow_list, config
    from orchestune.backends.kubernetes.backend import KubernetesBackend
    from orchestune.backends.kubernetes.client import connect
    from orchestune.backends.kubernetes.objects.secrets import KubernetesSecrets
    from orchestune.backends.kubernetes.policy.forwarding import Forwarding
    from orchestune.backends.kubernetes.policy.identity import ServiceAccounts

    configuration = config.read(file)
    api = connect(configuration)
    in_pod = not (configuration.kubeconfig or configuration.context)
    allowances = partial(allow_list.stored, api, configuration.namespace) if in_pod else None
    backends = {configuration.cluster: KubernetesBackend(configuration, api, allowances=allowances)}
    identities = (ServiceAccounts(api, configuration),)
    site = _Site(backends, KubernetesSecrets(api, configuration), configuration.url, configuration.cluster, identities)
    if not in_pod:
        return site
    forwarding = Forwarding(api, configuration)
    with suppress(OrchestuneError):  # the loop of this controller repeats it, and logs why it fails
        forwarding.tick()  # users can reach this pod before it is ready
    return replace(site, in_each_replica=(forwarding,))


def make_engine(row: ExperimentRow) -> Engine:
    """Create the engine of an experiment from its current specification."""
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
