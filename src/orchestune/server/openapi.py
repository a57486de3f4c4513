"""The OpenAPI document: client routes as FastAPI describes them, and worker routes with schemas from msgspec."""

from __future__ import annotations

from typing import NamedTuple, TypedDict, cast

import msgspec
from fastapi import FastAPI
from msgspec import Struct

from orchestune.server.routers import V1
from orchestune.wire import answers, files, registration, work

Schema = dict[str, object]

_WORKER: Schema = {"name": "worker", "in": "path", "required": True, "schema": {"type": "string"}}
_DIGEST: Schema = {
    "name": "digest",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
}
_REVISION: Schema = {"name": "revision", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1}}
_OFFSET: Schema = {"name": "offset", "in": "query", "schema": {"type": "integer", "minimum": 0, "maximum": 2**53 - 1}}
_BYTES: Schema = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


class _Components(TypedDict):
    schemas: dict[str, Schema]


class _OpenApi(TypedDict):
    """The parts of the document to which worker routes are added."""

    paths: dict[str, dict[str, Schema]]
    components: _Components


class Operation(NamedTuple):
    """A worker route. `body` and `answer` are None if they are empty or, for `answer`, raw bytes."""

    method: str
    path: str
    summary: str
    body: object = None  # a type that msgspec decodes, or `bytes`
    answer: type[Struct] | None = None
    parameters: tuple[Schema, ...] = ()


OPERATIONS = (
    Operation("post", "register", "Register a worker's process", registration.Registration, answers.Registered),
    Operation("post", "work", "Report attempts and lease new ones", work.WorkDocument, answers.WorkAnswer),
    Operation("get", "jobs/{revision}", "Return the job of a revision", None, answers.JobDocument, (_REVISION,)),
    Operation("put", "uploads/{digest}", "Upload a part of a file", bytes, answers.Uploaded, (_DIGEST, _OFFSET)),
    Operation("head", "uploads/{digest}", "Return the number of bytes that have arrived", None, None, (_DIGEST,)),
    Operation("post", "artifacts", "Turn uploads into artifacts", files.KeepArtifacts, answers.KeptArtifacts),
    Operation("post", "checkpoint", "Publish an upload as checkpoint", files.PublishCheckpoint, answers.Published),
    Operation("get", "blobs/{digest}", "Download a checkpoint", None, None, (_DIGEST,)),
)


def describe(app: FastAPI) -> None:
    """Add the worker routes to the application's OpenAPI document."""
    client_document = app.openapi

    def document() -> Schema:
        if app.openapi_schema is None:
            _add_workers(cast("_OpenApi", client_document()))
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _add_workers(document: _OpenApi) -> None:
    types = [
        type_ for operation in OPERATIONS for type_ in (operation.body, operation.answer) if type_ not in (None, bytes)
    ]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/Worker{name}")
    schema_of = dict(zip(types, schemas, strict=True))
    document["components"]["schemas"] |= {f"Worker{name}": schema for name, schema in components.items()}
    for operation in OPERATIONS:
        item = document["paths"].setdefault(f"{V1}/workers/{{worker}}/{operation.path}", {})
        item[operation.method] = _described(operation, schema_of)


def _described(operation: Operation, schema_of: dict[object, Schema]) -> Schema:
    success: Schema = {"description": "Success"}
    if operation.answer is not None:
        success["content"] = {"application/json": {"schema": schema_of[operation.answer]}}
    elif operation.method == "get":
        success["content"] = _BYTES
    schema: Schema = {
        "tags": ["workers"],
        "summary": operation.summary,
        "operationId": f"worker_{operation.method}_{operation.path.partition('/')[0]}",
        "security": [{"HTTPBearer": []}],
        "parameters": [_WORKER, *operation.parameters],
        "responses": {
            "200": success,
            "default": {
                "description": "Error",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
    }
    if operation.body is bytes:
        schema["requestBody"] = {"required": True, "content": _BYTES}
    elif operation.body is not None:
        schema["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema_of[operation.body]}},
        }
    return schema
