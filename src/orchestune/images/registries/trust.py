"""Additional certificate authorities of a registry, from Docker's `certs.d`, whatever the environment configures."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests.adapters
import urllib3.util

from orchestune.errors import UsageError


def trust(session: requests.Session, folder: Path) -> None:
    """Make a session trust also the certificates (`*.crt`) in a folder. Raises UsageError for an invalid one.

    Does not use `session.verify`: REQUESTS_CA_BUNDLE would override it, and if the registry redirects a blob request to
    an object store, that would not be trusted.
    """
    files = sorted(folder.glob("*.crt"))
    if files:
        session.mount("https://", _TrustAdapter(files))


class _TrustAdapter(requests.adapters.HTTPAdapter):
    def __init__(self, files: Sequence[Path]) -> None:
        self._context = urllib3.util.create_urllib3_context()
        for file in files:
            try:
                self._context.load_verify_locations(file)
            except OSError as exc:  # includes ssl.SSLError
                reason = "it contains no PEM certificate" if isinstance(exc, ssl.SSLError) else exc.strerror
                raise UsageError(f"{file} cannot be used: {reason}", "correct it, or remove it") from exc
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options, ssl_context=self._context)

    def proxy_manager_for(self, proxy: Any, **options: Any) -> Any:
        return super().proxy_manager_for(proxy, **options, ssl_context=self._context)
