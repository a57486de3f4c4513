"""What every use case works with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestune.outgoing.settings import Outgoing
from orchestune.ports.backend import Backend
from orchestune.ports.clock import Clock
from orchestune.ports.files import FileStore
from orchestune.ports.identity import Identity
from orchestune.ports.secrets import SecretStore
from orchestune.services.boards import Boards
from orchestune.services.estimates import Estimates
from orchestune.services.listening import Listening
from orchestune.services.retirement import Retirement
from orchestune.services.shelf import Shelf
from orchestune.services.signals import Signals
from orchestune.store.database import Store


@dataclass(frozen=True)
class Core:
    """The parts behind the services and the controllers, put together by `bootstrap` alone."""

    store: Store
    files: FileStore
    secrets: SecretStore
    clock: Clock
    key: bytes
    """32 random bytes, kept with the store: signs report addresses and derives workers' tokens"""
    backends: Mapping[str, Backend] = field(default_factory=dict)
    signals: Signals = field(default_factory=Signals)
    listening: Listening = field(default_factory=Listening)
    boards: Boards = field(default_factory=Boards)
    shelf: Shelf = field(default_factory=Shelf)
    estimates: Estimates = field(default_factory=Estimates)
    url: str = ""
    """how workers and people reach this server; without a slash at the end"""
    owners: Mapping[str, str] = field(default_factory=dict)
    """token → name of everybody who may do everything"""
    identities: Sequence[Identity] = ()
    """places whose tokens are taken as well"""
    pages_host: str = ""
    """the only host name of the pages, new at each start of an embedded server; empty: pages have any name"""
    single_user: bool = False
    """an embedded server: every caller is its user"""
    default_cluster: str = "local"
    """where an experiment runs that names no cluster"""
    outgoing: Outgoing = Outgoing()
    """what it sends to servers elsewhere, and which of them it may call"""
    retirement: Retirement | None = None
    """when the cluster destroys itself; None: never"""
    lease_seconds: float = 15.0
    beat_seconds: float = 2.0


UNNAMED = "owner"
"""what a token is called to which the operator gave no name"""


@dataclass(frozen=True)
class Caller:
    """Who a token stands for."""

    name: str
    role: str
    """`owner` may do everything, `editor` all but what concerns the server or destroys records, `viewer` may look,
    `guest` may look at `experiment` alone; `worker` reaches the routes of the one worker `worker` of `experiment`"""
    experiment: str = ""
    handle: str = ""
    """what people call the experiment of a guest"""
    worker: str = ""
    shared: bool = False
    """the token stands for a role that several people have, or for nobody by name: they say their names themselves"""
    source: str = ""
    """digest of the token or the share that this rests on; empty for workers"""
    expires_at: float | None = None
    """when the token of a cluster ends at the latest, as seconds since 1970; None for all other tokens"""
    browser: bool = False
    """known by the session of a browser"""
