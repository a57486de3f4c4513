"""An experiment cannot have Docker's daemon, which is root, mount files that its author may not read."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from orchestune.backends.docker import plan
from orchestune.backends.docker.backend import DockerBackend
from orchestune.backends.docker.mounts import MountPolicy
from orchestune.backends.docker.plan import ContainerDefaults, DockerHost
from orchestune.domain.resources.placement import Placement, Volume
from orchestune.errors import PolicyRefused
from orchestune.ports.backend import WorkerOrder
from tests.contract.world import SPACE
from tests.testbeds.seed import TOKEN, core_of
from tests.unit.server.harness import live

HOST = DockerHost("lab", 4.0, 2**34, "amd64")
REMOTE_HOST = replace(HOST, here=False)
SYSTEM = (
    "/",
    "//",
    "/.",
    "/etc",
    "/etc/shadow",
    "/var/run/docker.sock",
    "/var/run",
    "/run",
    "/proc",
    "/dev/sda",
    "/usr",
)
LOGINS = (
    ".git-credentials",
    ".pgpass",
    ".npmrc",
    ".bash_history",
    ".kaggle/kaggle.json",
    ".azure/tokens",
    ".mozilla/firefox/logins.json",
    ".local/share/keyrings/login.keyring",
    ".cache/huggingface/token",
    "snap/firefox/common/.mozilla/firefox/logins.json",
    "Library/Keychains/login.keychain-db",
)


class Folders:
    """A user's project, the state folder of the server, and folders of others."""

    def __init__(self, root: Path) -> None:
        self.project, self.state, self.others = (root / name for name in ("project", "state", "others"))
        for folder in (self.project, self.project / "data", self.state / "docker", self.others / "deep"):
            folder.mkdir(parents=True)
        (self.project / "data" / "x").touch()

    def hosted(self, *allow: str) -> MountPolicy:
        return MountPolicy(self.state, allow)

    def own(self, *allow: str) -> MountPolicy:
        return MountPolicy(self.state, allow, own_projects=True)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


def mounts(policy: MountPolicy, *volumes: Volume, host: DockerHost = HOST, **launch: Any) -> list[dict[str, Any]]:
    """Return the mounts of a worker's container beside those of Orchestune itself."""
    placement = Placement("image", volumes=volumes)
    order = WorkerOrder("w-1", "e-1", "a-token", 1, launch=launch, placement=placement)
    site = ContainerDefaults("5a7e", host, "/runtime", "http://tune.lab:80", mounts=policy)
    return cast("list[dict[str, Any]]", plan.container(order, site)["HostConfig"]["Mounts"])[2:]


def is_refused(policy: MountPolicy, path: str, **options: Any) -> bool:
    try:
        mounts(policy, Volume("/mnt", path=path), **options)
    except PolicyRefused as exc:
        return exc.problems[0].key == "volumes[0].path"
    return False


@pytest.mark.parametrize("path", SYSTEM)
@pytest.mark.parametrize("root", ["/", "/etc", "/usr/..", "/run", "/proc/self/root", "project"])
def test_files_of_the_system_are_refused_whatever_the_request_calls_its_project(
    folders: Folders, path: str, root: str
) -> None:
    root = str(folders.project) if root == "project" else root
    assert is_refused(folders.hosted(), path, root=root)
    assert is_refused(folders.own(), path, root=root)


def test_a_hosted_server_believes_no_project_that_a_request_names(folders: Folders) -> None:
    assert is_refused(folders.hosted(), str(folders.project / "data"), root=str(folders.project))
    assert mounts(folders.hosted(), root=str(folders.project), links=["data"]) == []
    assert is_refused(folders.hosted(str(folders.others)), str(folders.others / "deep"))
    [mount] = mounts(folders.hosted(str(folders.others)), Volume("/mnt", path=f"{folders.others}/"))
    assert mount["Source"] == str(folders.others)


def test_what_is_in_the_own_project_is_mounted_and_nothing_beside_it(folders: Folders) -> None:
    data = str(folders.project / "data")
    [mount] = mounts(folders.own(), Volume("/mnt", path=data), root=str(folders.project))
    assert mount["Source"] == data
    assert is_refused(folders.own(), str(folders.others), root=str(folders.project))
    assert is_refused(folders.own(), f"{data}/../../others", root=str(folders.project))
    assert is_refused(folders.own(), str(folders.project) + "-2", root=str(folders.project))
    assert not is_refused(folders.own(str(folders.others)), str(folders.others / "deep"), root=str(folders.project))


def test_a_link_is_what_it_leads_to(folders: Folders) -> None:
    for name, target in {"out": folders.others, "top": Path("/"), "etc": Path("/etc"), "in": Path("data")}.items():
        (folders.project / name).symlink_to(target)
    root = str(folders.project)
    refused = {name: is_refused(folders.own(), f"{root}/{name}", root=root) for name in ("out", "top", "etc", "in")}
    assert refused == {"out": True, "top": True, "etc": True, "in": False}
    assert is_refused(folders.own(), f"{root}/top/etc", root=root)
    names = ["top", "etc", "top/etc", "../state", "data", "out"]
    mounted = {each["Source"] for each in mounts(folders.own(), root=root, links=names)}
    assert mounted == {f"{root}/data", str(folders.others)}, "data may lie on another disk, the system is no data"


def test_a_link_of_a_project_leads_to_no_keys_of_its_user(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    """The project may come from another person, and its trials run in a container for that reason."""
    home = folders.others / "ada"
    monkeypatch.setenv("HOME", str(home))
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "id_ed25519").touch()
    (home / ".netrc").touch()
    (home / "sets").mkdir()
    targets = {"keys": home / ".ssh", "key": home / ".ssh" / "id_ed25519", "login": home / ".netrc", "home": home}
    for name, target in {**targets, "above": home.parent, "sets": home / "sets"}.items():
        (folders.project / name).symlink_to(target)
    names = [*targets, "above", "sets", "keys/id_ed25519", "home/.ssh/id_ed25519"]
    mounted = [each["Source"] for each in mounts(folders.own(), root=str(folders.project), links=names)]
    assert mounted == [str(home / "sets")]
    assert mounts(folders.own(), root=str(home / ".ssh"), links=["id_ed25519"]) == []


@pytest.mark.parametrize("where", ["repo", ".local/src/repo"])
def test_a_link_with_a_harmless_name_leads_to_no_login_of_the_home_folder(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    home = folders.others / "ada"
    project = home / where
    project.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    for number, login in enumerate(LOGINS):
        (home / login).parent.mkdir(parents=True, exist_ok=True)
        (home / login).touch()
        (project / f"file-{number}").symlink_to(home / login)
        if (home / login).parent != home:
            (project / f"folder-{number}").symlink_to((home / login).parent)
    (project / ".env").touch()
    (project / "settings").symlink_to(".env")
    (home / "sets").mkdir()
    (project / "sets").symlink_to(home / "sets")
    if where == "repo":
        (project / "twice").symlink_to("sets/again")
        (home / "sets" / "again").symlink_to(home / ".git-credentials")
    names = [path.name for path in project.iterdir()]
    mounted = [each["Source"] for each in mounts(folders.own(), root=str(project), links=names)]
    assert mounted == [str(home / "sets")]


def test_a_project_may_lie_in_a_hidden_folder_or_one_of_applications(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = folders.others / "ada"
    monkeypatch.setenv("HOME", str(home))
    for where in (".cache/repo", "Library/repo", "snap/repo"):
        (home / where / ".dvc" / "cache" / "ab").mkdir(parents=True)
        (home / where / "data").symlink_to(".dvc/cache/ab")
        [mount] = mounts(folders.own(), root=str(home / where), links=["data"])
        assert mount["Source"] == str(home / where / ".dvc" / "cache" / "ab")


@pytest.mark.parametrize("root", ["/", "/etc", "/.."])
def test_links_of_a_project_that_is_none_are_not_mounted(folders: Folders, root: str) -> None:
    for policy in (folders.own(), folders.hosted()):
        assert mounts(policy, root=root, links=["etc", "shadow", "var/run/docker.sock", "root"]) == []


def test_a_path_is_resolved_again_when_the_container_is_created(folders: Folders) -> None:
    changing, volume = folders.project / "changing", Volume("/mnt", path=str(folders.project / "changing"))
    changing.mkdir()
    launch: dict[str, Any] = {"root": str(folders.project)}
    folders.own().refuse(Placement("image", volumes=(volume,)), launch, here=True)
    changing.rmdir()
    changing.symlink_to("/")
    with pytest.raises(PolicyRefused):
        mounts(folders.own(), volume, **launch)


def test_the_servers_state_and_sockets_are_never_mounted_even_if_they_are_allowed(folders: Folders) -> None:
    root = folders.state.parent
    held = root / "held.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(held))
        policy = replace(folders.own(str(root), str(held)), sockets=[str(folders.others / "docker.sock")])
        (folders.others / "docker.sock").touch()
        paths = [root, folders.state, folders.state / "docker", held, folders.others, folders.others / "docker.sock"]
        assert [path for path in paths if not is_refused(policy, str(path), root=str(root))] == []
        hosted = replace(folders.hosted(*map(str, paths)), sockets=policy.sockets)
        assert [path for path in paths if not is_refused(hosted, str(path))] == []


def test_volumes_of_docker_are_those_of_the_user_or_of_the_allow_list(folders: Folders) -> None:
    def allowed(policy: MountPolicy, name: str) -> bool:
        try:
            return bool(mounts(policy, Volume("/mnt", claim=name)))
        except PolicyRefused:
            return False

    assert allowed(folders.own(), "cache") and allowed(folders.hosted("cache"), "cache")
    assert not allowed(folders.hosted("cache"), "postgres")
    for name in ("orchestune-runtime-1", "../x", "/etc", ""):
        assert not allowed(folders.own(name), name), name


@pytest.mark.parametrize("target", ["/", "/orchestune/worker", "/x/../orchestune/runtime", "/proc", "/dev", "relative"])
def test_nothing_is_mounted_over_what_is_orchestunes(folders: Folders, target: str) -> None:
    with pytest.raises(PolicyRefused, match=r"volumes\[0\].mount"):
        mounts(folders.own("cache"), Volume(target, claim="cache"))
    assert mounts(folders.own("cache"), Volume("/dev/shm", claim="cache"))


def test_of_a_daemon_elsewhere_only_the_allowed_folders_themselves_are_mounted(folders: Folders) -> None:
    root = str(folders.project)
    assert is_refused(folders.own(), f"{root}/data", host=REMOTE_HOST, root=root)
    assert is_refused(folders.own("/srv/sets"), "/srv/sets/../..", host=REMOTE_HOST)
    assert is_refused(folders.own("/"), "/", host=REMOTE_HOST)
    assert mounts(folders.own("/srv/sets"), Volume("/mnt", path="/srv/sets"), host=REMOTE_HOST)


@pytest.mark.parametrize("owns", [True, False], ids=["embedded", "hosted"])
def test_an_editor_is_refused_over_http_with_the_key(folders: Folders, owns: bool) -> None:
    policy = MountPolicy(own_projects=owns)
    backend = DockerBackend(folders.state, "http://tune.lab:80", mounts=policy)
    backend._host = HOST
    core = replace(core_of(folders.others), backends={"docker": backend}, default_cluster="docker")
    with live(core) as server:
        token = server.ask("POST", "/api/v1/tokens", {"name": "eve", "role": "editor"}, token=TOKEN).json()["token"]
        for path in (*SYSTEM, str(folders.state)):
            placement = {"image": "x", "volumes": [{"mount": "/mnt", "path": path}]}
            specification: dict[str, Any] = {"name": "a", "run": "id", "parameters": SPACE, "placement": placement}
            specification |= {"metrics": [{"name": "loss", "goal": "minimize"}], "budget": 1, "parallelism": 1}
            body = {"specification": specification, "launch": {"root": "/"}}
            reply = server.ask("POST", "/api/v1/experiments", body, token=token)
            assert (reply.status, reply.json()["error"]["code"]) == (403, "policy_refused"), path
            assert reply.json()["error"]["problems"][0]["key"] == "volumes[0].path"
    core.store.close()


def test_an_allowed_folder_that_a_trial_could_replace_by_a_link_is_not_mounted(folders: Folders) -> None:
    """A user who mounts the outer folder makes the inner one a link to /etc, and mounts that next."""
    outer, inner = folders.others, folders.others / "deep"
    policy = folders.hosted(str(outer), str(inner))
    assert not is_refused(policy, str(outer))
    assert is_refused(policy, str(inner))
    inner.rmdir()
    inner.symlink_to("/etc")
    assert is_refused(policy, str(inner)) and is_refused(policy, "/etc")
    assert mounts(policy, root=str(outer), links=["deep"]) == []
    assert is_refused(policy, str(inner), host=REMOTE_HOST)
    assert not is_refused(policy, str(outer), host=REMOTE_HOST)


def test_a_link_to_the_outer_folder_does_not_hide_that_one_lies_in_the_other(folders: Folders, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(folders.others)
    assert is_refused(folders.hosted(str(folders.others), f"{tmp_path}/data/deep"), f"{tmp_path}/data/deep")
    assert is_refused(folders.hosted(f"{tmp_path}/data", str(folders.others / "deep")), str(folders.others / "deep"))


@pytest.mark.parametrize(("gpus", "expected"), [((), True), (("GPU-1",), False)])
def test_images_for_gpus_see_none_that_was_not_requested(gpus: tuple[str, ...], expected: bool) -> None:
    order = WorkerOrder("w-1", "e-1", "a-token", 1, gpus=gpus, placement=Placement("image"))
    body = plan.container(order, ContainerDefaults("5a7e", HOST, "/runtime", "http://tune.lab:80"))
    assert ("NVIDIA_VISIBLE_DEVICES=void" in body["Env"]) is expected
