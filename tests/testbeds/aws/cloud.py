"""moto as the machine room: its servers answer what they can, its backends hold the resources."""

from __future__ import annotations

import io
import os
from functools import cache
from typing import Any

from moto.backends import get_backend
from moto.core.base_backend import BackendDict
from moto.moto_server.werkzeug_app import create_backend_app
from moto.s3.models import s3_backends
from werkzeug.test import run_wsgi_app

from tests.testbeds.aws.identities import ACCOUNT


def forward(service: str, environ: dict[str, Any], body: bytes) -> tuple[int, dict[str, str], bytes]:
    """Return moto's answer to this request, in an account that only this fake uses."""
    passed = {**environ, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    passed["HTTP_X_MOTO_ACCOUNT_ID"] = ACCOUNT
    pieces, status, headers = run_wsgi_app(_application("elb" if service == "elbv2" else service), passed)
    return int(status.split()[0]), dict(headers), b"".join(pieces)


@cache
def _application(service: str) -> Any:
    """moto's server for one service (one for both kinds of load balancers): it need not find out which it is."""
    return create_backend_app(service)  # type: ignore[arg-type]


def backend(service: str, region: str) -> Any:
    """moto's own objects of a service; `region` is `aws` for those that have none."""
    return get_backend(service)[ACCOUNT][region]  # type: ignore[call-overload]


def clear() -> None:
    """Remove all resources of the account."""
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"  # thousands, which no test asks for
    buckets = s3_backends.bucket_accounts
    for bucket in [bucket_name for bucket_name, (_, owner) in buckets.items() if owner == ACCOUNT]:
        del buckets[bucket]
    for instances in BackendDict._instances:  # type: ignore[misc]
        if ACCOUNT in instances:
            instances[ACCOUNT].clear()
