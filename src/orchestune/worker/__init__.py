"""The program beside the user's command: leases attempts, runs them, reports. Standard library and Python 3.8 only."""

VERSION = "0.1.0"
PROTOCOL = 2
