"""The way to an API server, where it leads nowhere."""

from __future__ import annotations

from typing import Any

import pytest
import urllib3

from orchestune.kubeapi.endpoint import cause
from tests.testbeds.ports import free_port


@pytest.mark.parametrize("retries", [False, 1])
def test_what_went_wrong_is_told_without_the_names_of_objects(retries: Any) -> None:
    with pytest.raises(urllib3.exceptions.HTTPError) as caught:
        urllib3.PoolManager().request("GET", f"http://127.0.0.1:{free_port()}/", retries=retries)
    assert cause(caught.value) == "[Errno 111] Connection refused"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("<urllib3.connection.HTTPSConnection object at 0x7f>: Failed to establish a new connection: no", "no"),
        (
            "HTTPSConnection(host='lab', port=443): Failed to resolve 'lab' (unknown)",
            "Failed to resolve 'lab' (unknown)",
        ),
        ("Read timed out.", "Read timed out."),
        ("", "OSError"),
    ],
)
def test_so_it_is_with_older_versions_of_the_library_and_whatever_else_it_says(message: str, expected: str) -> None:
    assert cause(OSError(message) if message else OSError()) == expected
