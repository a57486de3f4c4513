"""Image builds as a Job in the cluster, for users without docker, podman or buildah."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from orchestune.clusters.existing import permissions
from orchestune.clusters.existing.client import ContextClient
from orchestune.clusters.existing.config import AUTHORITIES, CONFIG, ConnectionSettings, read
from orchestune.clusters.existing.output import Output
from orchestune.clusters.existing.provisioner import check_rights
from orchestune.clusters.existing.rollout import pulling, unscheduled
from orchestune.domain.resources.more_memory import size
from orchestune.errors import NotFound, OrchestuneError, TemporaryError, UsageError
from orchestune.images.builds.build import Plan, Say
from orchestune.images.builds.dockerfile import bases
from orchestune.images.builds.job import BUILDER, DEADLINE, MEMORY, build_job
from orchestune.images.builds.tools import failure
from orchestune.images.registries import credentials
from orchestune.images.registries.reference import Reference, parse
from orchestune.images.registries.registry import is_public
from orchestune.kubeapi.labels import COMPONENT, NO_MESH_ANNOTATIONS, NO_MESH_LABELS, OWN_LABELS

Manifest = dict[str, Any]
_POLL_SECONDS = 1.0
_START_TIMEOUT = 300.0
"""seconds within which the pod must start"""
_FINAL_PHASES = ("Succeeded", "Failed")
_DELETED_POD: Manifest = {"metadata": {"deletionTimestamp": "earlier"}, "status": {"phase": "Failed"}}
"""placeholder for a pod that no longer exists"""
_GRANT_HINT = "ask an administrator of the namespace for the rights in docs/how-to/permissions.md"
_LOCAL_HINT = "build with docker, podman or buildah on this machine"


def settings(api: ContextClient, namespace: str) -> ConnectionSettings | None:
    """Return the connection settings stored in the namespace; None if there is no ConfigMap."""
    config_map = api.get("v1", "ConfigMap", CONFIG, namespace)
    return read(config_map.get("data") or {}) if config_map else None


class ClusterBuilder:
    """Implements `Builder`. Deletes every object it created when a build ends, even after a failure."""

    def __init__(
        self,
        api: ContextClient,
        namespace: str,
        cluster: str,
        *,
        image: str = BUILDER,
        memory: int = MEMORY,
        find: Callable[[str], credentials.Credentials | None] = credentials.find,
        public: Callable[[Reference], bool] = is_public,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._api, self._namespace, self._cluster = api, namespace, cluster
        self._image, self._memory, self._find, self._is_public = image, memory, find, public

    @property
    def name(self) -> str:
        return f"a Job in the cluster {self._cluster}"

    def build(self, plan: Plan, say: Say) -> None:
        connection = settings(self._api, self._namespace) or ConnectionSettings(self._cluster, self._namespace)
        job, *others = self.documents(plan, connection, secrets.token_hex(3))
        login = any(document["kind"] == "Secret" for document in others)
        rights = permissions.to_build(connection, login=login)
        check_rights(self._api, rights, "build an image in the cluster", f"{_GRANT_HINT}; or {_LOCAL_HINT}")
        created = self._api.create(job)
        owner = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": created["metadata"]["name"],
            "uid": created["metadata"]["uid"],
        }
        try:
            for document in others:  # the pod blocks on them; garbage collected with the Job
                document["metadata"] = {**document["metadata"], "ownerReferences": [owner]}
                self._api.create(document)
            self._follow(plan, job["metadata"]["name"], say, _trust_hint(connection))
        finally:
            with suppress(TemporaryError):  # the Job's TTL deletes it within an hour
                self._api.delete(job)

    def documents(self, plan: Plan, connection: ConnectionSettings, suffix: str) -> list[Manifest]:
        """Return the objects to create: the Job, the ConfigMap with the files, and a Secret if logins are needed."""
        name = f"orchestune-build-{str(plan.target.tag)[:12]}-{suffix}"
        labels = {**OWN_LABELS, COMPONENT: "build"}
        logins = self._logins(plan)
        documents: list[Manifest] = []
        if logins:
            login = credentials.as_docker_config(logins)
            documents.append(
                {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "metadata": {"name": name, "namespace": self._namespace, "labels": labels},
                    "type": "kubernetes.io/dockerconfigjson",
                    "data": {".dockerconfigjson": base64.b64encode(login).decode("ascii")},
                }
            )
        secret = name if logins else None
        files, job = build_job(
            plan,
            name,
            self._namespace,
            builder=self._image,
            memory=self._memory,
            login_secret=secret,
            labels=labels,
            pull_secrets=connection.pull_secrets,
            authorities=(CONFIG, AUTHORITIES) if connection.certificates else None,
            variables=connection.way_out,
        )
        pod = job["spec"]["template"]["metadata"]
        pod["labels"], pod["annotations"] = {**labels, **NO_MESH_LABELS}, NO_MESH_ANNOTATIONS
        return [job, files, *documents]

    def _logins(self, plan: Plan) -> dict[str, credentials.Credentials]:
        """Return the user's logins for the target registry and for the registries of private base images."""
        target, base_images = plan.target.registry, map(parse, bases(plan.dockerfile))
        private = [base.registry for base in base_images if base.registry != target and not self._is_public(base)]
        registries = [target, *private]
        logins = {registry: self._find(registry) for registry in registries}
        return {registry: login for registry, login in logins.items() if login is not None}

    def _follow(self, plan: Plan, job: str, say: Say, trust: str) -> None:
        """Stream the build output until the Job ends. `trust` is the hint for an untrusted registry certificate."""
        output, is_running = Output(say), False
        start = self._clock()
        start_deadline = connection_deadline = start + _START_TIMEOUT
        while True:
            now = self._clock()
            try:
                observation = self._poll(job, output, now > start_deadline, is_running)
                connection_deadline = now + _START_TIMEOUT
            except TemporaryError:  # the build does not depend on this connection
                if now > connection_deadline:
                    raise
                observation = None
            if observation is None:
                self._sleep(_POLL_SECONDS)
                continue
            (pod, text), is_running = observation, True
            phase = str(pod["status"]["phase"])
            output.take(text, complete=phase in _FINAL_PHASES)
            if phase == "Succeeded":
                return
            if phase == "Failed":
                if _is_oom_killed(pod):
                    raise OrchestuneError(
                        f"the build in the cluster was killed: out of memory (limit {size(self._memory)})",
                        f"raise the limit with ORCHESTUNE_BUILDER_MEMORY, such as 16Gi; or {_LOCAL_HINT}",
                    )
                if reason := _termination_reason(pod, now - start):
                    text = f"the cluster terminated the build: {reason}"
                    raise OrchestuneError(text, f"repeat the command; or {_LOCAL_HINT}")
                log_tail = list(output.end) or [str(pod["status"].get("message", "it failed"))]
                raise failure("push" if output.built else "build", self.name, plan, log_tail, trust)
            self._sleep(_POLL_SECONDS)

    def _poll(self, job: str, output: Output, is_late: bool, was_running: bool) -> tuple[Manifest, str] | None:
        """Return the pod and its new output; None while it is pending.

        `was_running`: an earlier poll found the pod running, so a missing pod was deleted.
        """
        pod = self._pod(job)
        if pod is None and was_running:
            return _DELETED_POD, ""
        if pod is None or (pod.get("status") or {}).get("phase", "Pending") == "Pending":
            self._check_pending(pod, job, is_late)
            return None
        return pod, self._text(pod["metadata"]["name"], output.since)

    def _check_pending(self, pod: Manifest | None, job: str, is_late: bool) -> None:
        """Raise OrchestuneError with the reason if the pod cannot start, or if the timeout has passed (`is_late`)."""
        if pod is None:
            reason, is_hopeless = self._why_no_pod(job), True
            hint = f"check that the namespace allows Pod Security `baseline` and has free quota; or {_LOCAL_HINT}"
        else:
            unschedulable = unscheduled(pod)
            reason, is_hopeless = pulling(pod) or (unschedulable, False)
            hint = f"name an image of buildah that the nodes can pull in ORCHESTUNE_BUILDER; or {_LOCAL_HINT}"
            if unschedulable:
                hint = f"free half a core and 1 GiB on a node without taints; or {_LOCAL_HINT}"
        if (reason and is_hopeless) or is_late:
            raise OrchestuneError(f"the build in the cluster does not start: {reason or 'its pod is pending'}", hint)

    def _pod(self, job: str) -> Manifest | None:
        return next(self._api.items("v1", "Pod", self._namespace, f"job-name={job}"), None)

    def _text(self, pod: str, since: str | None) -> str:
        place = f"/api/v1/namespaces/{self._namespace}/pods/{pod}/log"
        try:
            return self._api.text("GET", place, query={"timestamps": "true", "sinceTime": since})
        except (NotFound, UsageError):  # the container is starting, or the pod was just deleted
            return ""

    def _why_no_pod(self, job: str) -> str:
        """Return why the Job could not create its pod (Pod Security, quota, admission webhook), from its events."""
        for event in self._api.items("v1", "Event", self._namespace):
            about = event.get("involvedObject") or {}
            if about.get("kind") == "Job" and about.get("name") == job and event.get("reason") == "FailedCreate":
                return str(event.get("message", ""))
        return ""


def _is_oom_killed(pod: Manifest) -> bool:
    """Return True if a container was OOM killed."""
    states = [status.get("state") or {} for status in pod["status"].get("containerStatuses") or ()]
    return any((state.get("terminated") or {}).get("reason") == "OOMKilled" for state in states)


def _termination_reason(pod: Manifest, seconds: float) -> str:
    """Return why the cluster terminated the build (eviction, node loss, deadline); empty if it did not."""
    reason, message = pod["status"].get("reason"), str(pod["status"].get("message", "")).strip()
    if reason:  # of the pod, not of its container: Evicted, NodeShutdown
        return f"{reason}: {message}" if message else str(reason)
    if not pod["metadata"].get("deletionTimestamp"):
        return ""
    timeout = f"it took longer than {DEADLINE // 60} minutes"
    return timeout if seconds >= DEADLINE else "its pod was deleted, or its node was lost"


def _trust_hint(connection: ConnectionSettings) -> str:
    """Return the hint on how to make builds in the cluster trust a registry's certificate."""
    command = f"`orchestune cluster connect -n {connection.name} --ca FILE`"
    replacement = ", replacing its present certificates: FILE must contain these too" if connection.certificates else ""
    return f"add the registry's CA with {command}{replacement}; or {_LOCAL_HINT}"
