"""A cluster in memory: objects by their paths, and those of other owners."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, cast

from orchestune.clusters.existing.client import ContextClient
from orchestune.clusters.existing.objects import collection, path
from orchestune.errors import Conflict, NotFound
from orchestune.kubeapi.errors import Changed

Manifest = dict[str, Any]


class World:
    """Fulfils what the code needs of `ContextClient`, without a network; `logs` is what any container has written."""

    def __init__(self, *documents: Manifest, logs: str = "", denied: frozenset[str] = frozenset()) -> None:
        self.objects: dict[str, Manifest] = {}
        self.logs = logs
        self.denied = denied
        """`verb resource` that this user may not"""
        self.groups: tuple[str, ...] = ()
        self.created: list[str] = []
        self.applied: list[str] = []
        self.patched: list[str] = []
        self.deleted: dict[str, Mapping[str, object]] = {}
        """path → options"""
        for document in documents:
            self.put(document)

    @property
    def api(self) -> ContextClient:
        return cast(ContextClient, self)

    def put(self, document: Manifest) -> None:
        self.objects[path(document)] = copy.deepcopy(document)

    def get(self, version: str, kind: str, name: str, namespace: str | None = None) -> Manifest | None:
        return copy.deepcopy(self.objects.get(f"{collection(version, kind, namespace)}/{name}"))

    def items(
        self, version: str, kind: str, namespace: str | None = None, selector: str | None = None
    ) -> Iterator[Manifest]:
        required_labels = dict(pair.split("=") for pair in selector.split(",")) if selector else {}
        place = collection(version, kind, namespace)
        for key, document in list(self.objects.items()):
            labels = document["metadata"].get("labels") or {}
            if key.rpartition("/")[0] == place and required_labels.items() <= labels.items():
                yield copy.deepcopy(document)

    def apply(self, document: Manifest) -> Manifest:
        current = self.objects.get(path(document), {"metadata": {"uid": path(document), "resourceVersion": "1"}})
        version = current["metadata"].get("resourceVersion")
        if document["metadata"].get("resourceVersion", version) != version:
            raise Changed("the object has been modified")
        metadata = {**current["metadata"], **document["metadata"]}
        self.objects[path(document)] = {**current, **copy.deepcopy(document), "metadata": metadata}
        self.applied.append(path(document))
        return document

    def create(self, document: Manifest) -> Manifest:
        if path(document) in self.objects:
            raise Conflict(f"{path(document)} already exists")
        metadata = {"uid": path(document), "resourceVersion": "1", **document["metadata"]}
        self.put({**document, "metadata": metadata})
        self.created.append(path(document))
        return document

    def delete(self, document: Manifest) -> bool:
        return self.objects.pop(path(document), None) is not None

    def delete_object(self, place: str, options: Mapping[str, object]) -> bool:
        self.deleted[place] = options
        return self.objects.pop(place, None) is not None

    def has_group(self, group: str) -> bool:
        return group in self.groups

    def text(self, method: str, place: str, body: Any = None, *, query: Any = None) -> str:
        return self.logs

    def call(self, method: str, place: str, body: Any = None, content_type: str = "", *, query: Any = None) -> Manifest:
        if place.endswith("selfsubjectaccessreviews"):
            attributes = body["spec"]["resourceAttributes"]
            return {"status": {"allowed": f"{attributes['verb']} {attributes['resource']}" not in self.denied}}
        if method == "PATCH":
            if place not in self.objects:
                raise NotFound(place)
            self.patched.append(place)
            if "annotations" in body.get("metadata", {}):
                metadata = self.objects[place]["metadata"]
                changed = {**(metadata.get("annotations") or {}), **body["metadata"]["annotations"]}
                metadata["annotations"] = {key: value for key, value in changed.items() if value is not None}
            self.objects[place]["spec"] = {**self.objects[place].get("spec", {}), **body.get("spec", {})}
            return self.objects[place]
        matching = [item for key, item in self.objects.items() if key.rpartition("/")[0] == place]
        field = str((query or {}).get("fieldSelector", ""))
        if field:
            matching = [item for item in matching if item["involvedObject"]["uid"] == field.partition("=")[2]]
        return {"items": copy.deepcopy(matching)}
