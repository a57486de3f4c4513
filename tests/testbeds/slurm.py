"""A private Slurm: Debian's slurmctld with two nodes of four cores and one with four pretended GPUs, on this machine.

    with slurm_cluster() as slurm: slurm.environment()   # with this in its environment `sbatch` finds it

Its nodes are programs of one machine (`tests.testbeds.machine`), so that one signal ends all of it. They listen on
loopback ports. Where control groups of version 1 are mounted, its jobs are kept in them, and to their memory.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.testbeds import cgroups
from tests.testbeds.machine import SYSTEM_PATH, Broken, Machine, checked
from tests.testbeds.owned import owned_folder
from tests.testbeds.ports import free_port
from tests.testbeds.waiting import until

KIND = "slurms"
PROGRAMS = ("munged", "slurmctld", "slurmd", "squeue")
GPUS = 4
_MAJOR = 240  # of device files that no driver has
_CONFIGURATION = """\
ClusterName={cluster}
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdSpoolDir={folder}/spool/%n
SlurmdLogFile={folder}/slurmd-%n.log
MailProg=/bin/true
ProctrackType={proctrack}
TaskPlugin={task}
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
GresTypes=gpu
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SlurmctldTimeout=10
SlurmdTimeout=10
MessageTimeout=10
KillWait=2
MinJobAge=3600
ReturnToService=1
JobRequeue=1
SlurmdParameters=config_overrides
{nodes}
PartitionName=cpu Nodes={cpus} Default=YES DefaultTime=10 MaxTime=1-0 DefMemPerCPU=100 PriorityTier=10
PartitionName=gpu Nodes={gpu} DefaultTime=10 MaxTime=1-0 DefMemPerCPU=100 PriorityTier=10
PartitionName=high Nodes={cpus} DefaultTime=10 MaxTime=1-0 DefMemPerCPU=100 PriorityTier=100
"""


class Slurm:
    """A cluster in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.machine = Machine(folder / "machine", "slurm", network=False)
        tag = folder.name.rpartition("-")[2]  # control groups are named after nodes, and several clusters may be there
        self.cpus, self.gpu = (f"cpu1-{tag}", f"cpu2-{tag}"), f"gpu1-{tag}"
        self.grouped = any(group.name == "freezer" for group in cgroups.hierarchies())

    @property
    def configuration(self) -> Path:
        """The file that `SLURM_CONF` names."""
        return self.folder / "slurm.conf"

    def environment(self) -> dict[str, str]:
        """The environment with which commands find it."""
        return {"SLURM_CONF": str(self.configuration)}

    def up(self) -> None:
        """Start from nothing. Broken says what is missing."""
        for program in PROGRAMS:
            if not shutil.which(program, path=f"{os.environ['PATH']}:{SYSTEM_PATH}"):
                raise Broken(f"a Slurm takes {program}: apt-get install slurmctld slurmd slurm-client munge")
        if os.geteuid() != 0:
            raise Broken("a Slurm of one's own takes root")
        self._write()
        self.machine.on()
        self.machine.start(
            "munged",
            ["munged", "--foreground", "--force", "--num-threads=2", f"--key-file={self.folder}/munge.key",
             f"--socket={self.folder}/munge.sock", f"--pid-file={self.folder}/munged.pid",
             f"--log-file={self.folder}/munged.log", f"--seed-file={self.folder}/munge.seed"],
        )  # fmt: skip
        until("munge", (self.folder / "munge.sock").exists, describe=lambda: self.machine.tail("munged"))
        self.start()
        for node in (*self.cpus, self.gpu):
            self.join(node)
        until("the nodes", lambda: len(self.idle()) == 3, describe=self._log_tails)

    def start(self) -> None:
        """Start the controller, with the jobs it had before `stop`."""
        self.machine.start("slurmctld", ["slurmctld", "-D", "-f", str(self.configuration), "-i"])
        until("the controller", self.answers, describe=self._log_tails)

    def stop(self) -> None:
        """Stop the controller; jobs continue."""
        self.machine.stop("slurmctld")

    def join(self, node: str) -> None:
        """Let a node be there."""
        self.machine.start(f"slurmd-{node}", ["slurmd", "-D", "-f", str(self.configuration), "-N", node])

    def answers(self) -> bool:
        """Return True if the controller answers."""
        return self._run("scontrol", "ping").returncode == 0

    def idle(self) -> set[str]:
        """The nodes on which nothing runs."""
        return set(self.say("sinfo", "--noheader", "--Node", "--states=idle", "--format=%N").split())

    def jobs(self, states: str = "all") -> dict[str, tuple[str, str]]:
        """State and name of each job by its number."""
        lines = self.say("squeue", "--noheader", f"--states={states}", "--format=%i %T %j").splitlines()
        return {number: (state, name) for number, state, name in (line.split(maxsplit=2) for line in lines)}

    def say(self, *command: str) -> str:
        """Return the output of a command of Slurm. Raises Broken, with its errors, unless it exits with 0."""
        return checked(command, env={**os.environ, **self.environment()})

    def clear(self) -> None:
        """End every job at once."""
        for number in self.jobs("pending,running,configuring,completing,suspended"):
            for words in (("--signal=KILL", "--full"), ()):
                self._run("scancel", "--quiet", *words, number)  # which fails where it has just ended

    def down(self) -> None:
        """End everything and remove the folder. Idempotent."""
        self.machine.off()
        for node in (*self.cpus, self.gpu):
            cgroups.remove(f"slurm_{node}")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, **self.environment()}
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)

    def _log_tails(self) -> str:
        logs = [self.folder / f"{name}.log" for name in ("slurmctld", *(f"slurmd-{node}" for node in self.cpus))]
        return "\n".join(log.read_text(errors="replace")[-2000:] for log in logs if log.exists())

    def _write(self) -> None:
        for name in ("state", "spool", "dev"):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(1024))
        cards = [self.folder / "dev" / f"nvidia{index}" for index in range(GPUS)]
        for minor, card in enumerate(cards):
            os.mknod(card, stat.S_IFCHR | 0o600, os.makedev(_MAJOR, minor))
        nodes = [self._node(name, "CPUs=4 RealMemory=4000") for name in self.cpus]
        nodes.append(self._node(self.gpu, f"CPUs=8 RealMemory=8000 Gres=gpu:a100:{GPUS} Feature=a100"))
        grouped = self.grouped
        self.configuration.write_text(
            _CONFIGURATION.format(
                cluster=self.folder.name.replace("-", ""),
                port=free_port(),
                folder=self.folder,
                proctrack="proctrack/cgroup" if grouped else "proctrack/linuxproc",
                task="task/cgroup" if grouped else "task/none",
                nodes="\n".join(nodes),
                cpus=",".join(self.cpus),
                gpu=self.gpu,
            )
        )
        (self.folder / "cgroup.conf").write_text(
            "CgroupPlugin=cgroup/v1\nCgroupMountpoint=/sys/fs/cgroup\nConstrainCores=no\nConstrainRAMSpace=yes\n"
            if grouped
            else "CgroupPlugin=disabled\n"
        )
        (self.folder / "gres.conf").write_text(
            f"AutoDetect=off\nNodeName={self.gpu} Name=gpu Type=a100 Flags=nvidia_gpu_env"
            f" File={self.folder}/dev/nvidia[0-{GPUS - 1}]\n"
        )

    @staticmethod
    def _node(name: str, has: str) -> str:
        return f"NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={free_port()} {has}"


def down(folder: Path) -> None:
    """Take down the cluster in a folder."""
    Slurm(folder).down()


@contextmanager
def slurm_cluster() -> Iterator[Slurm]:
    """A cluster of this process; nothing of it is left when the block, or the process, ends."""
    with owned_folder(KIND, __name__) as folder:
        slurm = Slurm(folder)
        slurm.up()
        yield slurm
