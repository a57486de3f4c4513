"""From bytes to calls and back, by botocore's own models of the services."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote

from botocore.model import OperationModel, ServiceModel
from botocore.parsers import create_parser
from moto.core.loaders import create_loader
from moto.core.model import ServiceModel as WireModel
from moto.core.parse import PROTOCOL_PARSERS, RequestParserError
from moto.core.serialize import SerializationContext, get_serializer_class
from werkzeug.datastructures import Headers, MultiDict

SERVICES = {
    "autoscaling": "autoscaling",
    "ec2": "ec2",
    "ecr": "ecr",
    "eks": "eks",
    "events": "events",
    "iam": "iam",
    "lambda": "lambda",
    "logs": "logs",
    "pricing": "pricing",
    "s3": "s3",
    "servicequotas": "service-quotas",
    "sqs": "sqs",
    "ssm": "ssm",
    "sts": "sts",
    "tagging": "resourcegroupstaggingapi",
}
"""boto3's name of a service by the name that its requests are signed with"""
LOAD_BALANCERS = {"2012-06-01": "elb", "2015-12-01": "elbv2"}
"""the same for two services that sign as `elasticloadbalancing`, by the version of their interface"""


class Unreadable(Exception):
    """A request that is of no service or operation that botocore knows."""


@dataclass(frozen=True)
class Incoming:
    """One HTTP request."""

    method: str
    path: str
    query: str
    headers: Headers
    body: bytes

    @property
    def parameters(self) -> MultiDict[str, str]:
        """Return the parameters of the query string and of a form."""
        pairs = parse_qsl(self.query, keep_blank_values=True)
        if self.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
            pairs += parse_qsl(self.body.decode(), keep_blank_values=True)
        return MultiDict(pairs)


@dataclass(frozen=True)
class Signed:
    """The contents of a signature, of a header or of a URL."""

    access_key: str
    region: str
    service: str
    token: str


@dataclass
class Call:
    """One operation of one service, as the model reads it."""

    service: str
    operation: str
    region: str
    parameters: dict[str, Any]
    number: int = 0
    """its place in the journal, from 1"""
    outcome: str = ""
    """empty for success, or the code of the error, or `cut`"""
    actor: str = ""
    """the access key that signed it"""
    needs: tuple[Any, ...] = ()
    """the permissions that it took"""
    model: OperationModel = field(repr=False, kw_only=True)
    wire: Any = field(repr=False, kw_only=True)
    """moto's view of the same model, which its serializers want"""

    @property
    def name(self) -> str:
        return f"{self.service}:{self.operation}"

    @property
    def protocol(self) -> str:
        return str(self.model.service_model.resolved_protocol)


@cache
def service_model(service: str) -> ServiceModel:
    return ServiceModel(_LOADER.load_service_model(service, "service-2"), service_name=service)


@cache
def wire_model(service: str) -> Any:
    return WireModel(_LOADER.load_service_model(service, "service-2"), service_name=service)


_LOADER = create_loader()


def signed(request: Incoming) -> Signed:
    """Return the signer and the service. Raises Unreadable without a signature."""
    match = re.search(r"Credential=([^,\s]+)", request.headers.get("Authorization", ""))
    scope = match[1] if match else request.parameters.get("X-Amz-Credential", "")
    parts = scope.split("/")
    if len(parts) != 5:
        raise Unreadable(f"{request.method} {request.path} is not signed")
    token = request.headers.get("X-Amz-Security-Token") or request.parameters.get("X-Amz-Security-Token", "")
    return Signed(parts[0], parts[2], parts[3], token)


def read(request: Incoming) -> Call:
    """The operation and its parameters. Unreadable where no model has it."""
    who = signed(request)
    form = request.parameters
    service = SERVICES.get(who.service)
    if who.service == "elasticloadbalancing":
        service = LOAD_BALANCERS.get(form.get("Version", ""))
    if service is None:
        raise Unreadable(f"requests signed for {who.service!r} are of no service that this fake knows")
    operation, in_path = _operation(service, request, form)
    wire = wire_model(service).operation_model(operation)
    model = service_model(service).operation_model(operation)
    parser = PROTOCOL_PARSERS[wire.service_model.resolved_protocol](wire)
    body: bytes = request.body
    if model.has_streaming_input:
        body = b""  # an object's content is no parameter that tests compare
    try:
        parsed: dict[str, Any] = parser.parse(
            {
                "method": request.method, "values": form, "headers": request.headers, "body": body,
                "url_params": in_path, "url_path": request.path,
            }
        )  # fmt: skip
    except RequestParserError as exc:
        raise Unreadable(f"{service}:{operation}: {exc}") from exc
    return Call(service, operation, who.region, parsed, actor=who.access_key, model=model, wire=wire)


def _operation(service: str, request: Incoming, form: MultiDict[str, str]) -> tuple[str, dict[str, str]]:
    model = service_model(service)
    if "Action" in form:
        return form["Action"], {}
    target = request.headers.get("X-Amz-Target", "")
    if target:
        return target.rpartition(".")[2], {}
    for pattern, query, operation in _routes(service).get(request.method, ()):
        match = pattern.fullmatch(request.path)
        if match and all(name in form and (not value or form[name] == value) for name, value in query.items()):
            return operation, {name: unquote(value) for name, value in match.groupdict().items()}
    raise Unreadable(f"{model.service_name} has no operation for {request.method} {request.path}?{request.query}")


@cache
def _routes(service: str) -> dict[str, list[tuple[re.Pattern[str], dict[str, str], str]]]:
    """Patterns of the paths by method; those that ask for more come first."""
    routes: dict[str, list[tuple[re.Pattern[str], dict[str, str], str]]] = {}
    model = service_model(service)
    for name in model.operation_names:
        http = model.operation_model(name).http
        path, _, query = http["requestUri"].partition("?")
        pattern = re.sub(r"\\{(\w+)\\\+\\}", r"(?P<\1>.+)", re.escape(path))
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", pattern)
        query_values = dict(parse_qsl(query, keep_blank_values=True))
        routes.setdefault(http["method"], []).append((re.compile(pattern + "/?"), query_values, name))
    for method_routes in routes.values():
        method_routes.sort(key=lambda route: (-len(route[1]), -_fixed(route[0].pattern), _RARE.get(route[2], 0)))
    return routes


_RARE = {"CopyObject": 1, "CreateSession": 1, "ListDirectoryBuckets": 1, "ListObjects": 1, "UploadPartCopy": 1}
"""operations of S3 that differ from others of the same path only by a header; no test calls them"""


def _fixed(pattern: str) -> int:
    return len(re.sub(r"\(\?P<[^)]*\)", "", pattern))


def written(call: Call, result: dict[str, Any], request_id: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a result."""
    kind = get_serializer_class(call.service, call.wire.service_model.resolved_protocol)
    answer = kind(call.wire, context=SerializationContext(request_id)).serialize(result)
    body = answer["body"] or b""
    return answer["status_code"], dict(answer["headers"]), body.encode() if isinstance(body, str) else body


def understood(call: Call, status: int, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """A response as botocore parses it."""
    parser = create_parser(call.protocol)
    parsed: dict[str, Any] = parser.parse(
        {"status_code": status, "headers": {name.lower(): value for name, value in headers.items()}, "body": body},
        call.model.output_shape,  # type: ignore[arg-type]  # None is fine
    )
    return parsed
