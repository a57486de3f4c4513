"""The worker: leases attempts, runs their commands and reports results. Standard library and Python 3.8 only."""

from orchestune import __version__

VERSION = __version__
PROTOCOL = 2
