"""An AWS to which `AWS_ENDPOINT_URL` leads: started once, empty again for each test."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import make_server

from tests.testbeds.aws import cloud, inventory
from tests.testbeds.aws.agent import Agent
from tests.testbeds.aws.eks.service import Eks
from tests.testbeds.aws.faults import Faults
from tests.testbeds.aws.front import Front
from tests.testbeds.aws.functions import Functions
from tests.testbeds.aws.iam import Iam
from tests.testbeds.aws.identities import Identity
from tests.testbeds.aws.network import Network
from tests.testbeds.aws.portal import TOKEN, Portal
from tests.testbeds.aws.quotas import Quotas
from tests.testbeds.aws.registries import Registries
from tests.testbeds.aws.tagging import Tagging
from tests.testbeds.aws.tokens import Tokens
from tests.testbeds.aws.wire import Call
from tests.testbeds.aws.world import Behaviour, World

REGION = "us-west-2"


class Fake:
    """`with Fake() as aws:`, listening at `host`; then `aws.environment()`, `aws.faults`, `aws.journal` and more."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.reset()
        self._server = make_server(host, 0, self._application, threaded=True, request_handler=_Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def _application(self, environ: dict[str, Any], start: Any) -> Any:
        return self.front(environ, start)

    def reset(self) -> None:
        """An empty account with one user who may do everything."""
        cloud.clear()
        self.world = World()
        self.eks = Eks(self.world)
        tokens = Tokens(self.world, self.eks.clusters)
        network, iam = Network(self.world), Iam(self.world)
        self.functions = Functions(self.world, lambda: self.url)
        self.portal = Portal(self.world)
        self.front = Front(
            self.world,
            self.portal,
            services={
                "eks": self.eks,
                "ec2": network,
                "sts": tokens,
                "service-quotas": Quotas(self.world),
                "lambda": self.functions,
            },
            rules={
                "ecr": Registries(self.world),
                "ec2": network,
                "iam": iam,
                "resourcegroupstaggingapi": Tagging(self.eks),
            },
            review=tokens.review,
            agent=Agent(self.world, self.eks.clusters),
            tags=self._tags,
        )
        self.user = self.world.identities.add("alice")

    def __enter__(self) -> Fake:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        cloud.clear()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    def environment(self, who: Identity | None = None) -> dict[str, str]:
        """Return the environment in which any SDK calls this fake as the given identity."""
        who = who or self.user
        variables = {
            "AWS_ENDPOINT_URL": self.url, "AWS_ACCESS_KEY_ID": who.access_key, "AWS_SECRET_ACCESS_KEY": who.secret,
            "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        }  # fmt: skip
        return variables | ({"AWS_SESSION_TOKEN": who.token} if who.token else {})

    @property
    def faults(self) -> Faults:
        return self.world.faults

    @property
    def behaviour(self) -> Behaviour:
        return self.world.behaviour

    @property
    def journal(self) -> list[Call]:
        return self.front.journal

    @property
    def broken(self) -> list[str]:
        """Violations of the models; a test that leaves any has failed."""
        return self.front.broken

    def inventory(self, region: str = REGION) -> Mapping[str, set[str]]:
        """Everything that exists, by kind: what costs money or stands in the way of the next cluster."""
        with self.front.lock:
            resources = inventory.everything(self.eks, region)
            functions = {name for where, name in self.functions.known if where == region}
            return resources | ({"function": functions} if functions else {})

    def _tags(self, arn: str) -> dict[str, str] | None:
        return inventory.tags(self.eks, arn)

    @contextmanager
    def quietly(self) -> Iterator[Any]:
        """moto's backends under the lock, for what happens behind everybody's back: `with aws.quietly() as backend`."""
        with self.front.lock:
            yield cloud.backend


class _Quiet(MotoRequestHandler):
    def log_request(self, code: object = "-", size: object = "-") -> None:
        return None

    def make_environ(self) -> Any:
        """With the one header whose name has an underscore, which WSGI servers leave out otherwise."""
        environ = super().make_environ()
        environ[f"HTTP_{TOKEN.upper().replace('-', '_')}"] = self.headers.get(TOKEN, "")
        return environ
