"""Step for the function that removes an idle cluster, if the file asks for it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.creation_steps import Made, Step
from orchestune.clusters.aws.errors import code_of
from orchestune.clusters.aws.inputs import ClusterSite
from orchestune.clusters.aws.lambda_function import described, ours, tags
from orchestune.clusters.aws.lambda_package import parcel
from orchestune.clusters.aws.names import Names
from orchestune.clusters.aws.requests import teardown
from orchestune.domain.clusters.cluster import Planned, TeardownSettings
from orchestune.errors import Conflict, OrchestuneError

_SECONDS = 300.0


def steps(site: ClusterSite) -> list[Step]:
    """Return one step, or none if idle clusters stay."""
    return [_function(site, site.spec.retirement)] if site.spec.retirement else []


def said(wanted: TeardownSettings) -> str:
    """Describe for people what happens to an idle cluster."""
    return f"removes the cluster after {length(wanted.after)} without work, once its records are in {wanted.archive}"


def length(seconds: float) -> str:
    """Format a duration: `8h`, `1d 30m`."""
    left, words = round(seconds), []
    for letter, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        words += [f"{count}{letter}"] if count else []
    return " ".join(words)


def of_this_version(found: Mapping[str, Any]) -> bool:
    """Return True if the described function has this version's code."""
    own = base64.b64encode(hashlib.sha256(parcel()).digest()).decode()
    return bool(found["Configuration"].get("CodeSha256") == own)


def _function(site: ClusterSite, wanted: TeardownSettings) -> Step:
    names, aws = site.names, site.aws
    planned = Planned("function", names.function, said(wanted))

    def find(made: Made) -> str | None:
        found = described(aws, names)
        if found is not None and not ours(found, names):
            raise Conflict(f"there is a {planned.called} already, which is not ours", "choose another cluster_name")
        return names.function if found is not None else None

    def make(made: Made) -> str:
        code, runtimes = parcel(), teardown.runtimes(aws.listed("lambda", "Runtime"))
        for runtime in runtimes:
            request = teardown.function(names, wanted, code, runtime)
            try:
                aws.settled("lambda", "CreateFunction", request, about=planned.called, unknown=_role_unknown)
                break
            except OrchestuneError as exc:  # the SDK lists runtimes before every region has them
                if not _runtime_unknown(exc) or runtime == runtimes[-1]:
                    raise
        return names.function

    def settle(made: Made, beat: Callable[[], None]) -> None:
        aws.wait(lambda: _state(aws, names), _SECONDS, planned.called, beat)
        _complete(aws, names, wanted)
        aws.wait(lambda: _state(aws, names), _SECONDS, planned.called, beat)

    return Step("retirement", planned, find, make, settle)


def _state(aws: Aws, names: Names) -> str | None:
    """Return the pending state; None when ready. Raises OrchestuneError if the function failed."""
    found = described(aws, names)
    if found is None:
        return "not there"
    shown = found["Configuration"]
    for key in ("State", "LastUpdateStatus"):
        if shown.get(key) == "Failed":
            raise OrchestuneError(f"function {names.function}: {shown.get(f'{key}Reason') or 'it failed'}")
    if shown.get("State") == "Pending":
        return "Pending"
    return "InProgress" if shown.get("LastUpdateStatus") == "InProgress" else None


def _complete(aws: Aws, names: Names, wanted: TeardownSettings) -> None:
    """Update the function's code to this version, and its tags to the file's settings."""
    found, about = described(aws, names), f"function {names.function}"
    if found is None:
        return
    if not of_this_version(found):
        aws.call("lambda", "UpdateFunctionCode", {"FunctionName": names.function, "ZipFile": parcel()}, about=about)
    says = teardown.tags(names, wanted)
    if any(tags(found).get(key) != value for key, value in says.items()):
        aws.call("lambda", "TagResource", {"Resource": names.function_arn, "Tags": says}, about=about)


def _runtime_unknown(exc: OrchestuneError) -> bool:
    return code_of(exc) == "InvalidParameterValueException" and "runtime" in exc.message.lower()


def _role_unknown(code: str, message: str) -> bool:
    return code == "InvalidParameterValueException" and "assumed by lambda" in message.lower()
