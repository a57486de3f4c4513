"""The worker: leases attempts, runs their commands and reports results. Standard library and Python 3.8 only."""

VERSION = "0.1.0"
PROTOCOL = 2
