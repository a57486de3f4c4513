"""Step for the Lambda function that removes an idle cluster, if the file asks for it.

The function runs this installation's own removal code: `build_package` zips the modules it needs. The zip is
reproducible, so its hash shows whether the function has this version's code. `wait` updates an older function in place.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.creation_steps import ResourceIds, Step
from orchestune.clusters.aws.errors import error_code
from orchestune.clusters.aws.inputs import ClusterSite
from orchestune.clusters.aws.lambda_function import describe_function, function_tags, is_our_function
from orchestune.clusters.aws.names import Names
from orchestune.clusters.aws.requests import teardown
from orchestune.domain.clusters.cluster import Planned, TeardownSettings
from orchestune.errors import Conflict, OrchestuneError
from orchestune.images.runtime.distribution import own_files

_STATE_SECONDS = 300.0
"""timeout for the function to become active after it is created or updated"""
_PACKAGED = ("orchestune/__init__.py", "orchestune/errors.py", "orchestune/domain/", "orchestune/clusters/__init__.py",
             "orchestune/clusters/aws/", "orchestune/kubeapi/__init__.py", "orchestune/kubeapi/labels.py")  # fmt: skip
"""files and folders in the package: all that `lambda_handler` imports, except boto3, which Lambda has"""
_FILE_TIME = (1980, 1, 1, 0, 0, 0)
"""modification time of all files in the zip, the earliest that the format has"""


def steps(site: ClusterSite) -> list[Step]:
    """Return one step, or none if idle clusters stay."""
    return [_function(site, site.spec.retirement)] if site.spec.retirement else []


def describe_teardown(settings: TeardownSettings) -> str:
    """Describe what happens to an idle cluster, for plans and events."""
    idle = format_duration(settings.after)
    return f"removes the cluster after {idle} without work, once its records are in {settings.archive}"


def format_duration(seconds: float) -> str:
    """Format a duration: `8h`, `1d 30m`."""
    rest, words = round(seconds), []
    for letter, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        words += [f"{count}{letter}"] if count else []
    return " ".join(words)


def build_package() -> bytes:
    """Return the function's deployment package: a reproducible zip of the modules that remove clusters."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as package:
        for name, file in own_files():
            if name.endswith(".py") and name.startswith(_PACKAGED):
                entry = zipfile.ZipInfo(name, _FILE_TIME)
                entry.external_attr = 0o644 << 16
                package.writestr(entry, file.read_bytes())
    return buffer.getvalue()


def has_current_code(function: Mapping[str, Any]) -> bool:
    """Return True if the described function has this version's code."""
    digest = base64.b64encode(hashlib.sha256(build_package()).digest()).decode()
    return bool(function["Configuration"].get("CodeSha256") == digest)


def _function(site: ClusterSite, settings: TeardownSettings) -> Step:
    names, aws = site.names, site.aws
    planned = Planned("function", names.function, describe_teardown(settings))

    def find(ids: ResourceIds) -> str | None:
        function = describe_function(aws, names)
        if function is not None and not is_our_function(function, names):
            raise Conflict(f"the {planned.title} exists already and is not ours", "choose another cluster_name")
        return names.function if function is not None else None

    def create(ids: ResourceIds) -> str:
        package, runtimes = build_package(), teardown.runtimes(aws.enum_values("lambda", "Runtime"))
        for runtime in runtimes:
            request = teardown.function(names, settings, package, runtime)
            try:
                aws.call_eventually(
                    "lambda", "CreateFunction", request, about=planned.title, is_transient=_is_role_unknown
                )
                break
            except OrchestuneError as exc:  # the SDK lists runtimes before every region has them
                if not _is_runtime_unknown(exc) or runtime == runtimes[-1]:
                    raise
        return names.function

    def wait(ids: ResourceIds, heartbeat: Callable[[], None]) -> None:
        aws.wait(lambda: _pending_state(aws, names), _STATE_SECONDS, planned.title, heartbeat)
        _update(aws, names, settings)
        aws.wait(lambda: _pending_state(aws, names), _STATE_SECONDS, planned.title, heartbeat)

    return Step("retirement", planned, find, create, wait)


def _pending_state(aws: Aws, names: Names) -> str | None:
    """Return the pending state; None when ready. Raises OrchestuneError if the function failed."""
    function = describe_function(aws, names)
    if function is None:
        return "missing"
    configuration = function["Configuration"]
    for key in ("State", "LastUpdateStatus"):
        if configuration.get(key) == "Failed":
            reason = configuration.get(f"{key}Reason") or "failed for an unknown reason"
            raise OrchestuneError(f"function {names.function}: {reason}")
    if configuration.get("State") == "Pending":
        return "Pending"
    return "InProgress" if configuration.get("LastUpdateStatus") == "InProgress" else None


def _update(aws: Aws, names: Names, settings: TeardownSettings) -> None:
    """Update the function's code to this version, and its tags to the file's settings."""
    function, about = describe_function(aws, names), f"function {names.function}"
    if function is None:
        return
    if not has_current_code(function):
        request = {"FunctionName": names.function, "ZipFile": build_package()}
        aws.call("lambda", "UpdateFunctionCode", request, about=about)
    tags = teardown.tags(names, settings)
    current_tags = function_tags(function)
    if any(current_tags.get(key) != value for key, value in tags.items()):
        aws.call("lambda", "TagResource", {"Resource": names.function_arn, "Tags": tags}, about=about)


def _is_runtime_unknown(exc: OrchestuneError) -> bool:
    return error_code(exc) == "InvalidParameterValueException" and "runtime" in exc.message.lower()


def _is_role_unknown(code: str, message: str) -> bool:
    return code == "InvalidParameterValueException" and "assumed by lambda" in message.lower()
