"""Deployment package for Lambda: the part of this installation that removes clusters."""

from __future__ import annotations

import io
import zipfile

from orchestune.images.runtime.distribution import own_files

_TAKEN = ("orchestune/__init__.py", "orchestune/errors.py", "orchestune/domain/", "orchestune/clusters/__init__.py",
          "orchestune/clusters/aws/", "orchestune/kubeapi/__init__.py", "orchestune/kubeapi/labels.py")  # fmt: skip
_WHEN = (1980, 1, 1, 0, 0, 0)


def parcel() -> bytes:
    """Return a reproducible zip of the modules, which depend only on boto3."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as packed:
        for name, file in own_files():
            if name.endswith(".py") and name.startswith(_TAKEN):
                entry = zipfile.ZipInfo(name, _WHEN)
                entry.external_attr = 0o644 << 16
                packed.writestr(entry, file.read_bytes())
    return made.getvalue()
