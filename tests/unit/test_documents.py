"""The documents of the API are spelled twice, for the server and for its clients: field by field the same.

A field that a client may miss (`NotRequired`) is one that the server's model has a default for.
"""

from __future__ import annotations

import types
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest
from pydantic import BaseModel

from orchestune.client import documents
from orchestune.server import models

PAIRS: dict[type[Any], type[BaseModel]] = {
    documents.ReasonDocument: models.Reason,
    documents.Measurement: models.Measured,
    documents.BestDocument: models.Best,
    documents.Weight: models.Weight,
    documents.ImportanceDocument: models.Importance,
    documents.FindingDocument: models.Finding,
    documents.WarmStartDocument: models.BegunWith,
    documents.ExplanationDocument: models.Explanation,
    documents.MetricDocument: models.Metric,
    documents.RunningDocument: models.RunningTrial,
    documents.WorkerDocument: models.Worker,
    documents.Counts: models.Counts,
    documents.AskedDocument: models.Asked,
    documents.MeasuredMemory: models.MeasuredMemory,
    documents.RoomDocument: models.RoomForTrials,
    documents.Status: models.Status,
    documents.AttemptDocument: models.Attempt,
    documents.ArtifactDocument: models.Artifact,
    documents.TaskDocument: models.Task,
    documents.TrialDocument: models.Trial,
    documents.TerminalDocument: models.TerminalAnswer,
    documents.LogChunk: models.LogChunk,
    documents.SpecificationDocument: models.Specification,
    documents.ServerDocument: models.Server,
    documents.Amount: models.Amount,
    documents.MachineDocument: models.SurveyedMachine,
    documents.ClusterExperiment: models.ClusterExperiment,
    documents.GpuHolder: models.GpuHolder,
    documents.GpuDocument: models.Gpu,
    documents.QuarantinedMachine: models.QuarantinedMachine,
    documents.ClusterEvent: models.ClusterEvent,
    documents.ClusterDocument: models.Cluster,
    documents.RetirementDocument: models.Retirement,
    documents.BestSoFarDocument: models.BestSoFar,
    documents.ColumnsDocument: models.Columns,
    documents.ContourDocument: models.Contour,
    documents.HypervolumeDocument: models.Hypervolume,
    documents.SpanDocument: models.Span,
    documents.TimelineDocument: models.Timeline,
    documents.CurveDocument: models.Curve,
    documents.CurvesDocument: models.Curves,
    documents.ImportedDocument: models.Imported,
    documents.InvitationDocument: models.Invitation,
}


def shape(kind: Any) -> Any:
    """What values an annotation allows, so that the same of both sides compares equal."""
    if isinstance(kind, type) and kind in PAIRS:
        return PAIRS[kind].__name__
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind.__name__
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return type(arguments[0]).__name__
    if origin in (Union, types.UnionType):
        return frozenset(map(shape, arguments))
    if origin is not None:
        return (origin.__name__, *map(shape, arguments))
    return str(kind) if kind is Any else kind.__name__


def of_client(document: type[Any]) -> dict[str, tuple[bool, Any]]:
    hints = get_type_hints(document, include_extras=True)
    return {
        name: (
            get_origin(kind) is not NotRequired,
            shape(get_args(kind)[0] if get_origin(kind) is NotRequired else kind),
        )
        for name, kind in hints.items()
    }


def of_server(model: type[BaseModel]) -> dict[str, tuple[bool, Any]]:
    return {
        field.alias or name: (field.is_required(), shape(field.annotation))
        for name, field in model.model_fields.items()
    }


def without_null(kind: Any) -> Any:
    """The server's model says "left out" by a null."""
    if not isinstance(kind, frozenset):
        return kind
    rest = kind - {"NoneType"}
    return next(iter(rest)) if len(rest) == 1 else rest


@pytest.mark.parametrize("document", PAIRS, ids=lambda document: document.__name__)
def test_client_and_server_mean_the_same_document(document: type[Any]) -> None:
    client, server = of_client(document), of_server(PAIRS[document])
    assert client.keys() == server.keys()
    for name, (required, kind) in client.items():
        demanded, allowed = server[name]
        assert required == demanded, f"{name}: required by one of them only"
        assert (kind == allowed) if required else (without_null(kind) == without_null(allowed)), name


def test_every_document_of_the_client_is_compared() -> None:
    found = {kind for kind in vars(documents).values() if is_typeddict(kind)}
    assert found == set(PAIRS)
