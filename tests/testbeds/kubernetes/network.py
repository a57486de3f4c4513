"""The network: host, control plane and nodes share one local network, each node routes its own pods.

    host .254 ── uplink ─┐
    control plane .1 ── lan (bridge) ── node .11, .12, …  ── pods 10.244.INDEX.0/24

Only the host's end of the uplink is outside of the machines; it goes when the control plane goes.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.testbeds.machine import Broken, Machine, checked

PODS, SERVICES = "10.244.0.0/16", "10.96.0.0/16"
DNS, API = "10.96.0.10", "10.96.0.1"
INSTANCES = range(1, 250)


@dataclass(frozen=True)
class Network:
    """The addresses of one cluster; `number` distinguishes clusters on the same host."""

    number: int

    @property
    def uplink(self) -> str:
        """The host's network device."""
        return f"orchestune{self.number}"

    @property
    def host(self) -> str:
        """Under which nodes and pods reach what listens on the host."""
        return f"10.213.{self.number}.254"

    @property
    def control(self) -> str:
        """The control plane's address."""
        return f"10.213.{self.number}.1"

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://{self.control}:6443"

    def node(self, index: int) -> str:
        """A node's address."""
        return f"10.213.{self.number}.{10 + index}"

    def pods(self, index: int) -> str:
        """The addresses of a node's pods."""
        return f"10.244.{index}.0/24"


def claim(control: Machine) -> Network:
    """Take a number that no other cluster on this host has, and lay the cable from the host to the control plane."""
    init = control.init
    if init is None:
        raise Broken("the control plane is off")
    ip_in(control, "link add lan type bridge", "link set lan up")
    for number in INSTANCES:
        network = Network(number)
        try:  # the name of a device belongs to one cluster: the kernel refuses the second
            checked(
                ["ip", "link", "add", network.uplink, "type", "veth", "peer", "name", "uplink", "netns", str(init.pid)]
            )
        except Broken as broken:
            if "exists" in str(broken):
                continue
            raise
        checked(["ip", "address", "add", f"{network.host}/24", "dev", network.uplink])
        checked(["ip", "link", "set", network.uplink, "up"])
        ip_in(control, f"address add {network.control}/24 dev lan", "link set uplink master lan", "link set uplink up")
        return network
    raise Broken(f"{len(INSTANCES)} clusters run on this host already")


def join(control: Machine, node: Machine, network: Network, index: int, nodes: int) -> None:
    """Connect a node that was just switched on, and let it route and masquerade its pods."""
    init = node.init
    if init is None:
        raise Broken(f"{node.name} is off")
    cable = f"node{index}"
    ip_in(
        control, f"link add {cable} type veth peer name eth0 netns {init.pid}", f"link set {cable} master lan up",
        f"route replace {network.pods(index)} via {network.node(index)} onlink dev lan",
    )  # fmt: skip
    others = [other for other in range(1, nodes + 1) if other != index]
    ip_in(
        node, f"address add {network.node(index)}/24 dev eth0", "link set eth0 up",
        f"route add default via {network.host}",
        *(f"route add {network.pods(other)} via {network.node(other)}" for other in others),
    )  # fmt: skip
    node.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    outside = ["-s", network.pods(index), "!", "-d", PODS, "!", "-o", "veth+"]
    node.run("iptables", "-t", "nat", "-A", "POSTROUTING", *outside, "-j", "MASQUERADE")


def cut(control: Machine, index: int, *, off: bool) -> None:
    """Unplug a node's network cable, or plug it in again; the node itself keeps running."""
    ip_in(control, f"link set node{index} {'down' if off else 'up'}")


def ip_in(machine: Machine, *commands: str) -> None:
    """`ip` commands in a machine's network; processes are named by the host's numbers."""
    init = machine.init
    if init is None:
        raise Broken(f"{machine.name} is off")
    checked(["nsenter", "--target", str(init.pid), "--net", "ip", "-batch", "-"], "\n".join(commands) + "\n")
