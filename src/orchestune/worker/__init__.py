"""The worker: leases attempts, runs their commands and reports results. Standard library and Python 3.8 only."""

VERSION = "0.1.0"  # the version of all of Orchestune, the only place of it
PROTOCOL = 2
