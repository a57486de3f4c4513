"""The core: the dependencies that all services and controllers share; and `Caller`, who sends a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestune.outgoing.settings import Outgoing
from orchestune.ports.backend import Backend
from orchestune.ports.clock import Clock
from orchestune.ports.files import FileStore
from orchestune.ports.identity import IdentityProvider
from orchestune.ports.secrets import EnvironmentStore, SecretStore
from orchestune.ports.single_sign_on import SingleSignOn
from orchestune.services.memory.call_pace import CallPace
from orchestune.services.memory.estimates import Estimates
from orchestune.services.memory.experiment_cache import ExperimentCache
from orchestune.services.memory.loop_clock import LoopClock
from orchestune.services.memory.pruner_cache import PrunerCache
from orchestune.services.memory.signals import Signals
from orchestune.services.memory.teardown_plan import TeardownPlan
from orchestune.store.database import Store


@dataclass(frozen=True)
class Core:
    """What services and controllers need to do anything: store, files, backends, clock, caches, signals.

    `bootstrap` assembles it once per server; tests assemble their own.
    """

    store: Store
    files: FileStore
    secrets: SecretStore
    clock: Clock
    key: bytes
    """32 random bytes, kept with the store: signs report addresses and derives workers' tokens"""
    environments: EnvironmentStore | None = None
    """environments that trials on this machine inherit; None: no trial does"""
    backends: Mapping[str, Backend] = field(default_factory=dict)
    signals: Signals = field(default_factory=Signals)
    listening: LoopClock = field(default_factory=LoopClock)
    pace: CallPace = field(default_factory=CallPace)
    pruners: PrunerCache = field(default_factory=PrunerCache)
    experiment_cache: ExperimentCache = field(default_factory=ExperimentCache)
    estimates: Estimates = field(default_factory=Estimates)
    url: str = ""
    """URL of this server for workers and users, without a trailing slash"""
    owners: Mapping[str, str] = field(default_factory=dict)
    """token → name of each user with the role owner"""
    identities: Sequence[IdentityProvider] = ()
    """identity providers whose tokens are accepted as well"""
    single_sign_on: SingleSignOn | None = None
    """identity provider at which people sign in; None: with tokens only"""
    session_seconds: float = 12 * 3600.0
    login_seconds: float = 30 * 24 * 3600.0
    """longest sign-in by single sign-on of a browser, and of a command line"""
    pages_host: str = ""
    """the only host name accepted for pages, new at each start of an embedded server; empty: any"""
    single_user: bool = False
    """embedded server: every caller is its user"""
    default_cluster: str = "local"
    """cluster of experiments that name none"""
    outgoing: Outgoing = Outgoing()
    """the operator's settings for requests to webhooks and tracking servers, and the servers that may be called"""
    retirement: TeardownPlan | None = None
    """schedule of the cluster teardown; None: never"""
    lease_seconds: float = 15.0
    beat_seconds: float = 2.0


UNNAMED = "owner"
"""name for tokens that the operator left unnamed"""


@dataclass(frozen=True)
class Caller:
    """Who sends a request: the name and role behind its token.

    Its `name` is the *actor* of events. Whom an experiment belongs to is its *owner*, and the identity that was proved
    for it its *principal* (`services.ownership`).
    """

    name: str
    role: str
    """`owner`: everything; `editor`: all but server administration and deletion of records; `viewer`: read-only;
    `guest`: read-only for `experiment`; `worker`: only the routes of the worker `worker` of `experiment`"""
    experiment: str = ""
    handle: str = ""
    """handle of a guest's experiment"""
    shared_by: str = ""
    """of a guest: who created the link, or their role if their name is only claimed"""
    worker: str = ""
    shared: bool = False
    """the name is only claimed: the token is shared or unnamed, so users state their names themselves"""
    source: str = ""
    """digest of the underlying token, share or sign-in; empty for workers"""
    subject: str = ""
    """digest that identifies a person of the identity provider, whose name is verified; empty for all others"""
    check_due: bool = False
    """the identity provider is to be asked whether the sign-in `source` still holds"""
    expires_at: float | None = None
    """latest expiry of a cluster's token in seconds since 1970; None for all other tokens"""
    browser: bool = False
    """authenticated by a browser session"""
