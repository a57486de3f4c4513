"""The server itself: what it is, whether it is well, its end."""

from __future__ import annotations

import os
from functools import partial

from fastapi import Request, Response

from orchestune import __version__, documents
from orchestune.domain.access.audit import AuditKind
from orchestune.server import live_stream, routers, streams
from orchestune.server.answers import answer
from orchestune.server.live_stream import LiveView
from orchestune.server.parameters import Audit, Here
from orchestune.server.prometheus import exposition
from orchestune.server.readiness import NotReady
from orchestune.services.execution import quarantine
from orchestune.services.memory.signals import EXPERIMENTS
from orchestune.services.queries import read_cluster, read_server

router = routers.of_clients("server")
probes = routers.of_pages()
"""what needs no token"""
_EVERY = 5.0
"""seconds between two looks at machines, which say nothing by themselves"""


@router.get("/server", response_model=documents.Server)
async def server(context: Here) -> Response:
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
async def check(context: Here) -> Response:
    """Prove that the store and the place of files take what is written."""
    await context.cold(read_server.check, context.core)
    return Response(status_code=204)


@router.get("/cluster", response_model=documents.Cluster)
async def cluster(context: Here, request: Request, name: str | None = None, after: str = "") -> Response:
    """Its machines, who uses them, and why experiments wait. `name`: another cluster of this server.

    With `Accept: text/event-stream` again whenever it changes.
    """
    read = partial(read_cluster.cluster, context.core, name)
    if not streams.wants_stream(request):
        return answer(await context.cold(read))
    view = LiveView(f"cluster {name!r}", EXPERIMENTS, lambda: {"cluster": read()}, _EVERY)
    return await live_stream.stream(context, request, view, after)


@router.delete("/cluster/quarantine/{node}", status_code=204, response_class=Response)
async def release(context: Here, audit: Audit, node: str, name: str | None = None) -> Response:
    """Let a machine in quarantine get trials again."""
    await context.cold(quarantine.lift, context.core, name, node)
    audit.add(AuditKind.NODE_RELEASED, node, cluster=name or context.core.default_cluster)
    return Response(status_code=204)


@router.post("/shutdown", response_model=documents.Shutdown)
async def shutdown(context: Here, audit: Audit) -> Response:
    """Finish the requests that are there, then end. Workers ride it out."""
    context.on_shutdown()
    audit.add(AuditKind.SERVER_SHUTDOWN)
    return answer({"draining": True})


@probes.head("/healthz")
@probes.get("/healthz")
async def healthz() -> Response:
    """Answer if the process lives and its event loop runs."""
    return answer({"status": "ok"})


@probes.head("/readyz")
@probes.get("/readyz")
async def readyz(context: Here) -> Response:
    """Answer 200 if the store responds in time, the disk is not full and the server is not shutting down."""
    if context.draining.begun:
        raise NotReady("the server is about to end")
    await context.readiness.require()
    return answer({"ready": True})


@probes.get("/metrics")
async def metrics(context: Here) -> Response:
    """Prometheus' text format."""
    samples = await context.cold(read_server.metrics, context.core)
    return Response(exposition(samples), media_type="text/plain; version=0.0.4")
