"""The server itself: identity, cluster, probes, metrics and shutdown."""

from __future__ import annotations

import os
from functools import partial

from fastapi import Request, Response

from orchestune import __version__, documents
from orchestune.domain.access.audit import AuditKind
from orchestune.server import live_stream, routers, streams
from orchestune.server.answers import answer
from orchestune.server.live_stream import LiveView
from orchestune.server.parameters import Audit, RequestContext
from orchestune.server.prometheus import exposition
from orchestune.server.readiness import NotReady
from orchestune.services.execution import quarantine
from orchestune.services.memory.signals import EXPERIMENTS
from orchestune.services.queries import read_cluster, read_server

router = routers.of_clients("server")
probes = routers.of_pages()
"""routes without authentication"""
_READ_SECONDS = 5.0
"""interval of reads of the nodes, whose changes cause no signal"""


@router.get("/server", response_model=documents.Server)
async def server(context: RequestContext) -> Response:
    """Return the server's version, identity and address."""
    document = {
        "version": __version__,
        "protocol": 1,
        "home": context.home,
        "started_at": context.started_at,
        "pid": os.getpid(),
    }
    return answer(document)


@router.post("/server/check", status_code=204, response_class=Response)
async def check(context: RequestContext) -> Response:
    """Check that the store and the file store are writable."""
    await context.cold(read_server.check, context.core)
    return Response(status_code=204)


@router.get("/cluster", response_model=documents.Cluster)
async def cluster(context: RequestContext, request: Request, name: str | None = None, after: str = "") -> Response:
    """Return the nodes of a cluster, the experiments that use them, and the reasons of pending ones.

    `name`: another cluster of this server. With `Accept: text/event-stream` it is a stream that sends changes.
    """
    read = partial(read_cluster.cluster, context.core, name)
    if not streams.wants_stream(request):
        return answer(await context.cold(read))
    view = LiveView(f"cluster {name!r}", EXPERIMENTS, lambda: {"cluster": read()}, _READ_SECONDS)
    return await live_stream.stream(context, request, view, after)


@router.delete("/cluster/quarantine/{node}", status_code=204, response_class=Response)
async def release(context: RequestContext, audit: Audit, node: str, name: str | None = None) -> Response:
    """Release a node from quarantine, so that it gets trials again."""
    await context.cold(quarantine.lift, context.core, name, node)
    audit.add(AuditKind.NODE_RELEASED, node, cluster=name or context.core.default_cluster)
    return Response(status_code=204)


@router.post("/shutdown", response_model=documents.Shutdown)
async def shutdown(context: RequestContext, audit: Audit) -> Response:
    """Finish the requests in progress, then shut down. Workers keep running and reconnect later."""
    context.on_shutdown()
    audit.add(AuditKind.SERVER_SHUTDOWN)
    return answer({"draining": True})


@probes.head("/healthz")
@probes.get("/healthz")
async def healthz() -> Response:
    """Respond if the process runs and its event loop is not blocked."""
    return answer({"status": "ok"})


@probes.head("/readyz")
@probes.get("/readyz")
async def readyz(context: RequestContext) -> Response:
    """Respond with 200 if the store responds in time, the disk is not full and the server is not shutting down."""
    if context.draining.begun:
        raise NotReady("the server is shutting down")
    await context.readiness.require()
    return answer({"ready": True})


@probes.get("/metrics")
async def metrics(context: RequestContext) -> Response:
    """Return metrics in the Prometheus text format."""
    samples = await context.cold(read_server.metrics, context.core)
    return Response(exposition(samples), media_type="text/plain; version=0.0.4")
