"""Why a Job has no pod, from the events of the Job controller."""

from __future__ import annotations

import re
from collections.abc import Sequence

from orchestune.backends.kubernetes.objects.quantities import amount
from orchestune.backends.kubernetes.observation.views import ObjectEvent
from orchestune.backends.kubernetes.observation.worker_state import NonRoot, ObservedState, refused, waiting

_REPORT_AFTER_SECONDS = 10.0
"""duration without a pod that is worth reporting"""
_TRANSIENT = re.compile(
    r"failed calling webhook|connection refused|i/o timeout|deadline exceeded|EOF|try again|being terminated|"
    r"no route to host|Too Many Requests|etcdserver|not yet ready to handle request|unable to handle the request|"
    r"Internal error occurred|connection reset|handshake timeout|code = Unavailable|status unknown for quota"
)
_RESTRICTED = re.compile(r'pods "[-.a-z0-9]+" is forbidden: violates PodSecurity "restricted:')
"""start of the API server's own admission error; text of the experiment, such as container names, follows it"""
_QUOTA = re.compile(
    r"exceeded quota: (?P<name>[^,]+), requested: (?P<requested>.*?), used: .*?, limited: (?P<limit>.*)$"
)


def judge(events: Sequence[ObjectEvent], stuck: float) -> ObservedState:
    """Judge a Job without a pod by its events; `stuck`: seconds without a pod."""
    failures = [event for event in events if event.kind == "Job" and event.reason == "FailedCreate"]
    if not failures:
        if stuck < _REPORT_AFTER_SECONDS:
            return waiting("its pod is being made", "creation")
        return waiting("its Job has no pod yet, and no event says why", "creation")
    message = max(failures, key=lambda event: event.at).message
    cause = message.partition("Error creating: ")[2] or message
    if "exceeded quota" in cause:
        return _quota(cause)
    if _TRANSIENT.search(cause):
        return waiting(f"its pod cannot be made now: {cause}", "creation")
    if "violates PodSecurity" in cause:
        words = cause.partition("violates PodSecurity")[2].strip()
        non_root = NonRoot.NAMESPACE if _RESTRICTED.match(cause) else NonRoot.UNKNOWN
        return refused(f"the namespace's Pod Security refuses it: {words}", non_root)
    if "admission webhook" in cause or "denied the request" in cause:
        non_root = NonRoot.POD if "runAsNonRoot" in cause else NonRoot.UNKNOWN
        return refused(f"an admission rule of the cluster refuses it: {cause}", non_root)
    how = "; say them in `resources: {cpu: …, memory: …}`" if "must specify" in cause else ""
    return refused(f"the cluster refuses its pod: {cause.partition('forbidden: ')[2] or cause}{how}")


def _quota(message: str) -> ObservedState:
    quota = _QUOTA.search(message)
    if quota is None:
        return waiting(f"a quota of the namespace has no room: {message}", "quota")
    text = f"the namespace's quota {quota['name']}: {message.partition('requested: ')[2]}"
    limits = _amounts(quota["limit"])
    if any(requested > limits.get(key, requested) for key, requested in _amounts(quota["requested"]).items()):
        return refused(f"{text}; it asks for more than the whole of it")
    return waiting(f"waits for room in {text}", "quota")


def _amounts(text: str) -> dict[str, float]:
    """Parse the amounts in `requests.cpu=1,pods=3`."""
    pairs = (item.partition("=") for item in text.split(","))
    return {key.strip(): amount(value.strip()) for key, _, value in pairs}
