"""Where a cluster stores the settings of its server."""

from __future__ import annotations

CONFIG_MAP = "orchestune-config"
BACKEND_SETTINGS = "kubernetes.json"
"""key of the entry with the backend's settings, the allow-list among them; mounted as a file into the server's pods"""
