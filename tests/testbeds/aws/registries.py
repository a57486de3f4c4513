"""ECR whose repositories are in a registry that exists."""

from __future__ import annotations

from typing import Any

from tests.testbeds.aws.wire import Call
from tests.testbeds.aws.world import World


class Registries:
    """Answers requests for the addresses of repositories."""

    def __init__(self, world: World) -> None:
        self._world = world

    def before(self, call: Call) -> None:
        return None

    def after(self, call: Call, result: dict[str, Any]) -> dict[str, Any] | None:
        if not self._world.behaviour.registry:
            return None
        if "repository" in result:
            return {**result, "repository": self._placed(result["repository"])}
        if "repositories" in result:
            return {**result, "repositories": [self._placed(one) for one in result["repositories"]]}
        return None

    def _placed(self, repository: dict[str, Any]) -> dict[str, Any]:
        uri = f"{self._world.behaviour.registry}/{repository['repositoryName']}"
        return {**repository, "repositoryUri": uri}
