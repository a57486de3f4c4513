"""Makes this Python look as on macOS: its name, without what only Linux has in the standard library, and without /proc.

Python imports this module at its start if the folder is on PYTHONPATH. It shows what an import or a missing attribute
would break; not how macOS itself behaves.
"""

from __future__ import annotations

import fcntl
import os
import resource
import select
import signal
import socket
import sys
import sysconfig
import time
from types import ModuleType

_LINUX_ONLY: dict[ModuleType, str] = {
    os: "sched_getaffinity sched_setaffinity sched_getscheduler sched_setscheduler pidfd_open memfd_create waitid"
    " getxattr setxattr listxattr removexattr posix_fadvise posix_fallocate copy_file_range splice fdatasync"
    " getresuid getresgid setresuid setresgid eventfd unshare setns pipe2 preadv2 pwritev2"
    " O_TMPFILE O_PATH O_DIRECT O_NOATIME O_LARGEFILE",
    socket: "SO_PEERCRED SO_BINDTODEVICE SO_MARK SO_DOMAIN SO_PROTOCOL AF_NETLINK AF_PACKET AF_VSOCK SOCK_CLOEXEC"
    " SOCK_NONBLOCK MSG_NOSIGNAL TCP_USER_TIMEOUT TCP_KEEPIDLE TCP_INFO TCP_DEFER_ACCEPT TCP_QUICKACK",
    select: " ".join(name for name in dir(select) if name.lower().startswith("epoll")),
    signal: "pidfd_send_signal sigtimedwait sigwaitinfo SIGRTMIN SIGRTMAX SIGPOLL SIGPWR SIGSTKFLT",
    fcntl: "F_SETPIPE_SZ F_GETPIPE_SZ F_ADD_SEALS F_OFD_SETLK F_OFD_SETLKW F_NOTIFY F_SETLEASE",
    resource: "prlimit RLIMIT_OFILE RUSAGE_THREAD",
    time: "CLOCK_BOOTTIME CLOCK_TAI",
}


def _refuse_proc(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("open", "os.listdir", "os.scandir") and str(arguments[0]).startswith(("/proc", "/sys/")):
        raise FileNotFoundError(2, "No such file or directory", arguments[0])


# What the standard library itself looks up for its platform.
os.environ["_PYTHON_SYSCONFIGDATA_NAME"] = sysconfig._get_sysconfigdata_name()  # type: ignore[attr-defined]
_proxies = ModuleType("_scproxy")
vars(_proxies).update(_get_proxy_settings=dict, _get_proxies=dict)
sys.modules["_scproxy"] = _proxies
sys.platform = "darwin"
for _module, _names in _LINUX_ONLY.items():
    for _name in _names.split():
        if hasattr(_module, _name):
            delattr(_module, _name)
sys.addaudithook(_refuse_proc)
