from __future__ import annotations

import pytest

from orchestune.errors import BadInput, Denied, Unreachable
from orchestune.outgoing.destinations import AllowedDestinations, allowing, parse

INSIDE = ["127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
          "224.0.0.1", "255.255.255.255", "[::1]", "[::]", "[fe80::1]", "[fd00:ec2::254]", "[ff02::1]",
          "168.63.129.16", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::1]",
          "[64:ff9b:1::a9fe:a9fe]", "[fec0::1]", "[::127.0.0.1]"]  # fmt: skip


@pytest.mark.parametrize("host", INSIDE)
def test_a_server_of_several_people_calls_no_address_inside(host: str) -> None:
    with pytest.raises(Denied, match="may not call"):
        AllowedDestinations().check(f"http://{host}/latest/meta-data", "url")
    with pytest.raises(Denied, match="may not call"):
        AllowedDestinations().addresses(parse(f"http://{host}/"))


@pytest.mark.parametrize("host", INSIDE)
def test_a_server_of_one_user_calls_what_that_user_may(host: str) -> None:
    AllowedDestinations(everywhere=True).check(f"http://{host}/", "url")


@pytest.mark.parametrize("spelling", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost"])
def test_other_spellings_of_an_address_inside_are_found_out_when_it_is_called(spelling: str) -> None:
    with pytest.raises((Denied, Unreachable)):
        AllowedDestinations().addresses(parse(f"http://{spelling}/"))


def test_the_internet_may_be_called() -> None:
    for host in ("93.184.215.14", "[2606:2800:21f:cb07:6820:80da:af6b:8b2c]"):
        AllowedDestinations().check(f"https://{host}/hook", "url")
    assert AllowedDestinations().addresses(parse("https://93.184.215.14/"))[0][1] == ("93.184.215.14", 443)


def test_what_is_allowed_by_name_or_network_may_be_called_and_nothing_beside_it() -> None:
    reach = allowing(["10.0.0.0/8", "localhost", "fd00::/8"])
    reach.check("http://10.9.9.9/", "url")
    reach.check("http://[fd00::7]/", "url")
    assert reach.addresses(parse("http://LOCALHOST:81/"))
    for host in ("127.0.0.1", "169.254.169.254", "192.168.0.1"):
        with pytest.raises(Denied):
            reach.check(f"http://{host}/", "url")


def test_what_is_neither_a_host_nor_a_network_is_refused() -> None:
    with pytest.raises(ValueError, match="neither a host name nor a network"):
        allowing(["10.0.0.0/99"])


@pytest.mark.parametrize(
    "url", ["", "example.org", "ftp://example.org/", "http://", "http:///x", "http://a:99999/", "http://[::1/",
            "https://a b/", "http://a/\r\nX: y", "file:///etc/passwd", "http://u:secret@example.org/"]
)  # fmt: skip
def test_what_is_no_address_of_a_web_server_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse(url, "notify.0.url")
    assert str(caught.value).startswith("notify.0.url: ")
    assert "secret" not in str(caught.value)


def test_a_path_goes_over_the_wire_in_ascii_and_what_is_escaped_already_stays() -> None:
    assert parse("https://example.org/größe/a%20b?x=ü&y=~1").path == "/gr%C3%B6%C3%9Fe/a%20b?x=%C3%BC&y=~1"
