"""The places that are always there, under the server of the user's own machine."""

from __future__ import annotations

OWN = {
    "local": "this machine",
    "docker": "this machine, in containers",
    "slurm": "jobs of Slurm that this machine submits",
}
"""their names, which no other cluster can have, and what each means"""
