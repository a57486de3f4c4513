from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestune.domain.specification.notify import Hook
from orchestune.errors import BadInput, Denied
from orchestune.server.settings import Settings, load


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "ORCHESTUNE_HOME": str(tmp_path / "state")}


def test_without_anything_the_defaults_hold(home: dict[str, str], tmp_path: Path) -> None:
    settings = load([], home)
    assert settings.state == tmp_path / "state"
    assert settings.database_url == f"sqlite:///{tmp_path}/state/orchestune.db"
    assert settings.files == f"{tmp_path}/state/files"
    assert (settings.host, settings.port, settings.home, settings.owners) == ("127.0.0.1", None, "hosted", {})


def test_a_flag_beats_the_environment_which_beats_the_file(home: dict[str, str], tmp_path: Path) -> None:
    config = tmp_path / "server.toml"
    config.write_text('host = "file"\nport = 1\nlog_level = "debug"\nidle_seconds = "5m"\nlease_seconds = 30\n')
    environ = {**home, "ORCHESTUNE_HOST": "environment", "ORCHESTUNE_PORT": "2", "ORCHESTUNE_BEAT_SECONDS": "3s"}
    settings = load(["--config", str(config), "--host", "flag"], environ)
    assert (settings.host, settings.port, settings.log_level) == ("flag", 2, "debug")
    assert (settings.idle_seconds, settings.lease_seconds, settings.beat_seconds) == (300.0, 30.0, 3.0)
    assert load([], {**environ, "ORCHESTUNE_CONFIG": str(config)}).log_level == "debug"


def test_files_of_secrets_that_everybody_can_read_are_known(home: dict[str, str], tmp_path: Path) -> None:
    tokens, cert, key = (tmp_path / name for name in ("tokens", "cert.pem", "key.pem"))
    for path in (tokens, cert, key):
        path.write_text("ada 0123456789abcdef\n")
        path.chmod(0o644)
    settings = load(["--token-file", str(tokens), "--tls-cert", str(cert), "--tls-key", str(key)], home)
    assert settings.readable_by_all == [tokens, key]
    tokens.chmod(0o640)
    key.chmod(0o600)
    assert settings.readable_by_all == []
    assert load([], home).readable_by_all == []


def test_files_of_secrets_that_others_can_read_or_change_are_known(home: dict[str, str], tmp_path: Path) -> None:
    tokens, config = tmp_path / "tokens", tmp_path / "server.toml"
    tokens.write_text("ada 0123456789abcdef\n")
    tokens.chmod(0o602)
    config.write_text('notify_url = "https://hooks.example/s3cr3t"\n')
    config.chmod(0o644)
    settings = load(["--token-file", str(tokens), "--config", str(config)], home)
    assert settings.readable_by_all == [config]
    assert settings.changeable_by_others == {tokens: "every user of this machine can write to it"}
    config.write_text('log_level = "debug"\n')
    tokens.chmod(0o600)
    settings = load(["--token-file", str(tokens), "--config", str(config)], home)
    assert settings.readable_by_all == [] and settings.changeable_by_others == {}, "there is no secret in the file"
    if os.geteuid() == 0:
        os.chown(tokens, 65534, 65534)
        assert list(settings.changeable_by_others) == [tokens]


def test_a_state_folder_brings_database_and_files_with_it(home: dict[str, str], tmp_path: Path) -> None:
    settings = load(["--embedded", "--state", str(tmp_path / "x")], home)
    assert (settings.database_url, settings.home) == (f"sqlite:///{tmp_path}/x/orchestune.db", "embedded")


@pytest.mark.parametrize(
    ("argv", "environ", "text", "expected"),
    [
        (["--port", "many"], {}, "", "--port: port: invalid port: 'many' (expected a number from 0 to 65535)"),
        (["--port", "65536"], {}, "", "--port: port: invalid port: '65536'"),
        ([], {"ORCHESTUNE_LOG_LEVEL": "loud"}, "", "ORCHESTUNE_LOG_LEVEL: log_level: invalid value: 'loud'"),
        ([], {}, "idle_seconds = -1", "server.toml: idle_seconds: invalid duration: -1"),
        ([], {}, "port = true", "server.toml: port: invalid port: True"),
        ([], {}, "host = 7", "server.toml: host: invalid value (expected a non-empty text in quotes"),
        (["--database-url", "sqlite"], {}, "", "--database-url: database_url: invalid URL of a database"),
        (["--database-url", "sqlite:///:memory:"], {}, "", "--database-url: database_url: no file in the URL"),
        (["--files", __file__], {}, "", f"--files: files: not a folder: {__file__}"),
        (["--state", "~nobody-at-all/x"], {}, "", "--state: state: cannot expand '~nobody-at-all/x': no such user"),
        (["--public-url", "http://example.org:a"], {}, "", "--public-url: public_url: invalid URL: 'http://example.org:a'"),
        ([], {}, 'hots = "x"', "server.toml: hots: unknown setting (did you mean host?)"),
        ([], {}, "host = ", "server.toml: invalid TOML"),
        (["--public-url", "example.org"], {}, "", "--public-url: public_url: invalid URL: 'example.org'"),
        (["--tls-cert", __file__], {}, "", "--tls-cert: tls_cert: needs tls_key as well"),
        (["--token-file", "/nowhere"], {}, "", "--token-file: token_file: no such file: /nowhere"),
        (["--beat-seconds", "10"], {}, "", "--beat-seconds: beat_seconds: the heartbeat interval is too long: 10 s"),
        (["--notify-url", "ada"], {}, "", "--notify-url: notify_url: invalid URL (expected something like https"),
        ([], {"ORCHESTUNE_DOCKER_ALLOW": "/srv:/"}, "", "docker_allow: cannot allow '/' (expected an absolute folder"),
        ([], {"ORCHESTUNE_OUTGOING_ALLOW": "10.0.0.0/99"}, "", "ORCHESTUNE_OUTGOING_ALLOW: outgoing_allow: '10.0.0.0"),
        (["--lease-seconds", "5"], {}, "", "--lease-seconds: lease_seconds: the heartbeat interval is too long: 2 s"),
        (["--lease-seconds", "0.01"], {}, "", "--lease-seconds: lease_seconds: too short: 0.01 s (expected"),
        ([], {"ORCHESTUNE_BEAT_SECONDS": "0.1"}, "", "BEAT_SECONDS: beat_seconds: too short: 0.1 s (expected"),
    ],
)  # fmt: skip
def test_a_mistake_names_the_key_and_where_it_came_from(
    home: dict[str, str], tmp_path: Path, argv: list[str], environ: dict[str, str], text: str, expected: str
) -> None:
    (tmp_path / "server.toml").write_text(text)
    with pytest.raises(BadInput) as caught:
        load([*argv, "--config", str(tmp_path / "server.toml")], {**home, **environ})
    assert expected in caught.value.message


@pytest.mark.parametrize("secret", ["s3c/ret", "s3c@ret", "s3c:ret@h:port/d"])
def test_a_mistake_in_an_address_of_a_database_shows_none_of_its_password(home: dict[str, str], secret: str) -> None:
    with pytest.raises(BadInput, match="invalid URL of a database") as caught:
        load(["--database-url", f"postgresql://ada:{secret}@db.example.org:5432/orchestune"], home)
    assert "s3c" not in caught.value.message and "ret" not in caught.value.message


def test_a_secret_that_is_no_text_is_not_shown(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text("notify_secret = 123456789")
    with pytest.raises(BadInput, match="notify_secret: invalid value") as caught:
        load(["--config", str(tmp_path / "server.toml")], home)
    assert "123456789" not in caught.value.message


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgresql:///orchestune?host=/run/postgresql",
        "postgresql://ada:a%40b%2F@db,other/orchestune",
        "postgresql://ada@[::1]:5432/orchestune",
        "sqlite:////var/lib/orchestune.db",
        "sqlite:///orchestune.db",
    ],
)
def test_every_spelling_of_a_databases_address_is_taken(home: dict[str, str], url: str) -> None:
    assert load(["--database-url", url], home).database_url == url


def test_several_mistakes_are_reported_together(home: dict[str, str]) -> None:
    with pytest.raises(BadInput) as caught:
        load(["--port", "x"], {**home, "ORCHESTUNE_LOG_FORMAT": "y"})
    assert {problem.key for problem in caught.value.problems} == {"port", "log_format"}


def test_a_file_that_is_not_there_is_named(home: dict[str, str]) -> None:
    with pytest.raises(BadInput, match="/nowhere: config: cannot read it: No such file"):
        load(["--config", "/nowhere"], home)


def test_neither_passwords_nor_tokens_are_shown(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("ada 0123456789abcdef-token\n")
    url = "postgresql://orchestune:hunter2@db/orchestune"
    settings = load(["--database-url", url, "--token-file", str(tmp_path / "tokens")], home)
    assert settings.owners == {"0123456789abcdef-token": "ada"}
    assert "hunter2" not in repr(settings)
    assert "0123456789abcdef" not in repr(settings)
    with pytest.raises(BadInput) as caught:
        load(["--database-url", url.replace("postgresql", "mysql")], home)
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    ("flags", "exposed"),
    [
        (["--database-url", "postgresql://ada:hunter2@db/o"], ["DATABASE_URL"]),
        (["--database-url", "postgresql://ada@/o?host=db&password=hunter2"], ["DATABASE_URL"]),
        (["--database-url", "postgresql://ada@db/o", "--mlflow-tracking-uri", "https://mlflow.example.org"], []),
        (["--notify-url", "https://hooks.example.org/key"], ["NOTIFY_URL"]),
        (["--notify-secret", "s", "--mlflow-tracking-token", "t"], ["NOTIFY_SECRET", "MLFLOW_TRACKING_TOKEN"]),
    ],
)
def test_what_a_list_of_processes_should_not_show_is_known(
    home: dict[str, str], flags: list[str], exposed: list[str]
) -> None:
    exposed_names = load(flags, home).exposed
    assert [name.removeprefix("ORCHESTUNE_") for name in exposed_names] == exposed
    pairs = zip(flags[::2], flags[1::2], strict=True)
    environ = {f"ORCHESTUNE_{flag[2:].upper().replace('-', '_')}": value for flag, value in pairs}
    assert load([], home | environ).exposed == []


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        (Settings(), "http://127.0.0.1:80"),
        (Settings(host="0.0.0.0"), "http://127.0.0.1:80"),
        (Settings(host="::"), "http://[::1]:80"),
        (Settings(host="fe80::1"), "http://[fe80::1]:80"),
        (Settings(tls_cert=Path("c"), tls_key=Path("k")), "https://127.0.0.1:80"),
        (Settings(public_url="https://o.example.org"), "https://o.example.org"),
    ],
)
def test_the_address_is_one_that_others_can_use(settings: Settings, address: str) -> None:
    assert settings.address(80) == address


def test_the_help_shows_an_example_and_every_flag(home: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        load(["--help"], home)
    help_text = capsys.readouterr().out
    assert ended.value.code == 0
    assert "example: orchestune server" in help_text
    assert "--token-file" in help_text


def test_a_server_of_several_people_sends_to_the_internet_and_what_is_allowed_one_of_a_user_anywhere(
    home: dict[str, str],
) -> None:
    environ = {**home, "ORCHESTUNE_NOTIFY_URL": "https://example.org/very-secret", "ORCHESTUNE_NOTIFY_STUCK": "1h"}
    hosted = load(["--outgoing-allow", "chat.example.org, 10.0.0.0/8"], environ)
    assert hosted.outgoing.hook == Hook("https://example.org/very-secret", stuck=3600.0)
    hosted.outgoing.reach.check("http://10.1.1.1/", "url")
    with pytest.raises(Denied):
        hosted.outgoing.reach.check("http://127.0.0.1/", "url")
    load(["--embedded"], environ).outgoing.reach.check("http://127.0.0.1/", "url")
    assert "very-secret" not in repr(hosted)
    assert "https://example.org/very-secret" in hosted.secrets


OIDC = {
    "ORCHESTUNE_OIDC_ISSUER": "https://id.example.org/realms/lab",
    "ORCHESTUNE_OIDC_CLIENT_ID": "orchestune",
    "ORCHESTUNE_OIDC_ROLES": "ml-team=editor, ml-leads=owner, *=viewer",
}


def test_an_identity_provider_has_roles_for_its_groups(home: dict[str, str], tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cr3t\n")
    secret.chmod(0o644)
    settings = load(["--oidc-client-secret-file", str(secret)], {**home, **OIDC})
    assert settings.oidc is not None
    assert (settings.oidc.name, settings.oidc.client_secret) == ("id.example.org", "s3cr3t")
    assert settings.oidc.rules.roles == {"ml-team": "editor", "ml-leads": "owner", "*": "viewer"}
    assert settings.readable_by_all == [secret] and "s3cr3t" in settings.secrets and "s3cr3t" not in repr(settings)
    assert load([], home).oidc is None


def test_roles_may_be_a_table_with_any_names_of_groups(home: dict[str, str], tmp_path: Path) -> None:
    config = tmp_path / "server.toml"
    config.write_text('[oidc_roles]\n"CN=ML, OU=Lab" = "editor"\n')
    settings = load(["--config", str(config)], {**home, **OIDC, "ORCHESTUNE_OIDC_ROLES": ""})
    assert settings.oidc is not None and settings.oidc.rules.roles == {"CN=ML, OU=Lab": "editor"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ISSUER": ""}, "ORCHESTUNE_OIDC_CLIENT_ID: oidc_client_id: needs oidc_issuer as well"),
        ({"CLIENT_ID": ""}, "ORCHESTUNE_OIDC_ISSUER: oidc_issuer: needs oidc_client_id as well"),
        ({"ROLES": ""}, "ORCHESTUNE_OIDC_ISSUER: oidc_issuer: needs oidc_roles as well"),
        ({"ISSUER": "http://id.example.org"}, "invalid issuer: 'http://id.example.org'"),
        ({"ROLES": "ml-team=admin"}, "ORCHESTUNE_OIDC_ROLES: oidc_roles: invalid role of 'ml-team': 'admin'"),
        ({"ROLES": "ml-team"}, "invalid role of ''"),
        ({"SCOPES": "email"}, "ORCHESTUNE_OIDC_SCOPES: oidc_scopes: lacks the scope openid"),
        ({"CLIENT_SECRET_FILE": "/nowhere"}, "oidc_client_secret_file: no such file: /nowhere"),
        ({"ISSUER": "https://accounts.google.com"}, "* would admit every Google account"),
    ],
)
def test_settings_of_an_identity_provider_that_do_not_fit_are_named(
    home: dict[str, str], changes: dict[str, str], message: str
) -> None:
    with pytest.raises(BadInput) as refused:
        load([], {**home, **OIDC, **{f"ORCHESTUNE_OIDC_{key}": text for key, text in changes.items()}})
    assert message in str(refused.value)


def test_an_embedded_server_has_no_identity_provider(home: dict[str, str]) -> None:
    with pytest.raises(BadInput, match="an embedded server has a single user"):
        load(["--embedded"], {**home, **OIDC})
