"""TLS context for an API server: trusted authorities, and the client certificate."""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Pair = tuple[bytes, bytes]
"""certificate and key, as PEM"""


def content(values: Mapping[str, Any], key: str, folder: Path) -> bytes | None:
    """Return the content of `key-data`, or of the file that `key` names."""
    if values.get(f"{key}-data"):
        return base64.b64decode(values[f"{key}-data"])
    return (folder / os.path.expanduser(values[key])).read_bytes() if values.get(key) else None


def trusting(cluster: Mapping[str, Any], folder: Path, certificate: Pair | None = None) -> ssl.SSLContext:
    """Return a TLS context for a kubeconfig's cluster, with the client certificate.

    Raises OSError or ValueError if a certificate is invalid.
    """
    authority = content(cluster, "certificate-authority", folder)
    context = ssl.create_default_context(cadata=authority.decode() if authority else None)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # certificates of many clusters lack fields that it requires
    skips_verification = cluster.get("insecure-skip-tls-verify")
    if not isinstance(skips_verification, bool | None):
        raise ValueError(f"insecure-skip-tls-verify: invalid value {skips_verification!r} (expected true or false)")
    if skips_verification:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate:
        # the ssl module accepts only files
        with tempfile.NamedTemporaryFile(prefix="orchestune-", suffix=".pem") as file:
            file.write(b"\n".join(certificate))
            file.flush()
            context.load_cert_chain(file.name)
    return context
