import pytest
from pydantic import ValidationError

from orchestune.server import requests


def test_many_unknown_keys_are_refused_with_the_names_of_the_known_ones() -> None:
    document = {f"k{number}": 0 for number in range(1000)}
    with pytest.raises(ValidationError) as refused:
        requests.Pause.model_validate(document)
    (problem,) = refused.value.errors()
    fields = ", ".join(requests.Pause.model_fields)
    assert problem["msg"] == f"has more than 20 unknown keys, such as 'k0' (expected {fields})"
