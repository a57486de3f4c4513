"""Built-in clusters of the server on the user's own machine."""

from __future__ import annotations

LOCAL = "local"
"""the cluster whose workers are processes of the server's own user"""
BUILTIN_CLUSTERS = {
    LOCAL: "this machine",
    "docker": "this machine, in containers",
    "slurm": "jobs of Slurm that this machine submits",
}
"""descriptions by name; other clusters cannot use these names"""
