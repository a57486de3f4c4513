"""Lambda: functions that really run, each in a process of its own with nothing but what was uploaded and boto3."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.testbeds.aws.eks.trust import trusted
from tests.testbeds.aws.identities import ACCOUNT
from tests.testbeds.aws.refusals import Refused
from tests.testbeds.aws.wire import Call
from tests.testbeds.aws.world import Becoming, World

_RUN = """
import importlib, os, sys
sys.path.insert(0, sys.argv[1])
module, _, name = sys.argv[2].rpartition(".")
class Context:
    function_name = sys.argv[3]
    @staticmethod
    def get_remaining_time_in_millis():
        return 900_000
print(getattr(importlib.import_module(module), name)({}, Context))
import orchestune
assert orchestune.__file__.startswith(sys.argv[1]), orchestune.__file__
"""


@dataclass
class Function:
    """One of them."""

    document: dict[str, Any]
    tags: dict[str, str]
    code: bytes
    state: Becoming = field(default_factory=lambda: Becoming({}))


@dataclass
class Run:
    """One run that is over."""

    name: str
    code: int
    said: str


class Functions:
    """The service. Runs use the fake at `url`."""

    def __init__(self, world: World, url: Callable[[], str]) -> None:
        self._world, self._url = world, url
        self.known: dict[tuple[str, str], Function] = {}
        self.runs: list[Run] = []
        self.invoked: list[str] = []
        self._threads: list[threading.Thread] = []

    def handler(self, call: Call) -> Callable[[Call], dict[str, Any]] | None:
        return {
            "CreateFunction": self._create, "GetFunction": self._get, "UpdateFunctionCode": self._update,
            "TagResource": self._tag, "Invoke": self._invoke, "DeleteFunction": self._delete,
        }.get(call.operation)  # fmt: skip

    def join(self, seconds: float = 120.0) -> list[Run]:
        """Wait until nothing runs any more; every run that there was."""
        while self._threads:
            thread = self._threads.pop()
            thread.join(seconds)
            assert not thread.is_alive(), "a function runs on and on"
        return self.runs

    def _of(self, call: Call) -> Function:
        name = call.parameters["FunctionName"]
        function = self.known.get((call.region, name))
        if function is None:
            arn = f"arn:aws:lambda:{call.region}:{ACCOUNT}:function:{name}"
            raise Refused("ResourceNotFoundException", f"Function not found: {arn}", 404)
        return function

    def _create(self, call: Call) -> dict[str, Any]:
        parameters, name = call.parameters, call.parameters["FunctionName"]
        if (call.region, name) in self.known:
            raise Refused("ResourceConflictException", f"Function already exist: {name}", 409)
        runtimes = self._world.behaviour.runtimes
        if parameters["Runtime"] not in runtimes:
            text = (
                f"Value {parameters['Runtime']} at 'runtime' failed to satisfy constraint: Member must satisfy"
                f" enum value set: [{', '.join(runtimes)}] or be a valid ARN"
            )
            raise Refused("InvalidParameterValueException", text)
        role = self._world.role(parameters["Role"])
        unsure = self._world.unsure_roles.get(parameters["Role"], 0)
        if role is None or unsure or "lambda.amazonaws.com" not in trusted(role.assume_role_policy_document):
            self._world.unsure_roles[parameters["Role"]] = max(unsure - 1, 0)
            text = "The role defined for the function cannot be assumed by Lambda."
            raise Refused("InvalidParameterValueException", text)
        copied_keys = ("FunctionName", "Runtime", "Role", "Handler", "Description", "Timeout", "MemorySize")
        document = {key: parameters[key] for key in copied_keys if key in parameters}
        document |= {
            "FunctionArn": f"arn:aws:lambda:{call.region}:{ACCOUNT}:function:{name}", "State": "Pending",
            "Environment": {"Variables": dict(parameters.get("Environment", {}).get("Variables", {}))},
            "LastUpdateStatus": "Successful", "PackageType": "Zip", "Version": "$LATEST",
        }  # fmt: skip
        function = Function(document, dict(parameters.get("Tags", {})), parameters["Code"]["ZipFile"])
        self._put(function, function.code)
        self.known[call.region, name] = function
        function.state = Becoming(document, self._world.behaviour.polls, lambda: document.update(State="Active"))
        return document

    def _put(self, function: Function, code: bytes) -> None:
        function.code = code
        digest = base64.b64encode(hashlib.sha256(code).digest()).decode()
        function.document |= {"CodeSha256": digest, "CodeSize": len(code)}

    def _get(self, call: Call) -> dict[str, Any]:
        function = self._of(call)
        function.state.look()
        return {"Configuration": function.document, "Code": {"RepositoryType": "S3"}, "Tags": function.tags}

    def _update(self, call: Call) -> dict[str, Any]:
        function = self._of(call)
        if function.document["State"] != "Active" or function.document["LastUpdateStatus"] == "InProgress":
            text = f"The operation cannot be performed at this time. An update is in progress for resource: {function}"
            raise Refused("ResourceConflictException", text, 409)
        self._put(function, call.parameters["ZipFile"])
        document = function.document
        document["LastUpdateStatus"] = "InProgress"
        function.state = Becoming(
            document, self._world.behaviour.polls, lambda: document.update(LastUpdateStatus="Successful")
        )
        return document

    def _tag(self, call: Call) -> dict[str, Any]:
        name = call.parameters["Resource"].rpartition(":")[2]
        function = self.known.get((call.region, name))
        if function is None:
            raise Refused("ResourceNotFoundException", f"Function not found: {call.parameters['Resource']}", 404)
        function.tags |= call.parameters["Tags"]
        return {}

    def _delete(self, call: Call) -> dict[str, Any]:
        self._of(call)
        del self.known[call.region, call.parameters["FunctionName"]]
        return {}

    def _invoke(self, call: Call) -> dict[str, Any]:
        function = self._of(call)
        assert call.parameters.get("InvocationType") == "Event", "this fake runs functions later"
        self.invoked.append(call.parameters["FunctionName"])
        if self._world.behaviour.runs:
            thread = threading.Thread(target=self._run, args=(function, call.region), daemon=True)
            self._threads.append(thread)
            thread.start()
        return {"StatusCode": 202}

    def _run(self, function: Function, region: str) -> None:
        who = self._world.take_on(function.document["Role"], function.document["FunctionName"])
        environ = {
            "PATH": os.environ["PATH"], "AWS_REGION": region, "AWS_DEFAULT_REGION": region,
            "AWS_ENDPOINT_URL": self._url(), "AWS_ACCESS_KEY_ID": who.access_key, "AWS_SECRET_ACCESS_KEY": who.secret,
            "AWS_SESSION_TOKEN": who.token, "AWS_EC2_METADATA_DISABLED": "true",
            **function.document["Environment"]["Variables"],
        }  # fmt: skip
        name = function.document["FunctionName"]
        with tempfile.TemporaryDirectory() as folder:
            code = Path(folder, "code.zip")
            code.write_bytes(function.code)
            command = [sys.executable, "-I", "-c", _RUN, str(code), function.document["Handler"], name]
            done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300, check=False)
        self.runs.append(Run(name, done.returncode, done.stdout + done.stderr))
