"""Which way leads to an API server: what a kubeconfig says, then what the environment says, like kubectl."""

from __future__ import annotations

import pytest

from orchestune.errors import UsageError
from orchestune.kubeapi.proxies import proxy_for

PROXY = "http://proxy.lab:3128"


@pytest.mark.parametrize(
    ("host", "exceptions", "goes_by_it"),
    [
        ("https://k8s.lab:6443", "", True),
        ("https://k8s.lab:6443", "*", False),
        ("https://k8s.lab:6443", "lab", False),
        ("https://k8s.lab:6443", ".lab", False),
        ("https://k8s.lab:6443", "*.lab", False),
        ("https://lab", ".lab", True),
        ("https://k8s.lab:6443", "other, K8S.lab ", False),
        ("https://k8s.lab:6443", "8s.lab", True),
        ("https://k8s.lab:6443", "k8s.lab:6443", False),
        ("https://k8s.lab:6443", "k8s.lab:443", True),
        ("https://10.1.2.3:6443", "10.0.0.0/8", False),
        ("https://10.1.2.3:6443", "10.1.2.3", False),
        ("https://10.1.2.3:6443", "10.2.0.0/16", True),
        ("https://[fd00::1]:6443", "fd00::/8", False),
        ("https://127.0.0.1:6443", "", False),
        ("https://localhost:6443", "", False),
    ],
)
def test_a_proxy_of_the_environment_is_taken_unless_an_exception_names_the_host(
    host: str, exceptions: str, *, goes_by_it: bool
) -> None:
    proxy = proxy_for(host, environ={"HTTPS_PROXY": PROXY, "NO_PROXY": exceptions})
    assert proxy == (PROXY if goes_by_it else None)


def test_small_letters_count_too_and_an_address_needs_no_scheme() -> None:
    assert proxy_for("https://k8s.lab", environ={"https_proxy": "proxy.lab:3128"}) == PROXY
    assert proxy_for("https://k8s.lab", environ={"https_proxy": PROXY, "no_proxy": "lab"}) is None
    assert proxy_for("http://k8s.lab", environ={"HTTPS_PROXY": PROXY}) is None
    assert proxy_for("https://k8s.lab", environ={}) is None


def test_what_the_kubeconfig_says_is_taken_whatever_the_environment_says() -> None:
    environ = {"HTTPS_PROXY": "http://other:1", "NO_PROXY": "*"}
    assert proxy_for("https://k8s.lab", PROXY, environ) == PROXY


@pytest.mark.parametrize("wrong", ["socks5://ada:secret@proxy.lab", "http://", "http://proxy.lab:many"])
def test_what_is_no_http_proxy_is_refused_without_its_password(wrong: str) -> None:
    with pytest.raises(UsageError, match="proxy-url in the kubeconfig is") as caught:
        proxy_for("https://k8s.lab", wrong, {})
    assert "secret" not in caught.value.message
