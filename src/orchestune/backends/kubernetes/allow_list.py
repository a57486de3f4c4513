"""The allow-list in the cluster, which an administrator may have changed since this server was started."""

from __future__ import annotations

import json

from orchestune.domain.access.allowances import Allowances
from orchestune.errors import Denied, NotFound, TemporaryError
from orchestune.kubeapi.client import ApiServer
from orchestune.kubeapi.stored_settings import BACKEND_SETTINGS, CONFIG_MAP


def stored(api: ApiServer, namespace: str) -> Allowances:
    """Return the allow-list that `cluster connect` has stored for the server in `namespace`. One request, not cached.

    Raises TemporaryError if it cannot be read or parsed: no worker may start by an allow-list that is out of date.
    """
    try:
        document = api.call("GET", f"/api/v1/namespaces/{namespace}/configmaps/{CONFIG_MAP}")
        return Allowances.of(json.loads(document["data"][BACKEND_SETTINGS]).get("allow") or ())
    except (Denied, NotFound) as exc:
        raise _unreadable(exc.message) from exc
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise _unreadable(f"invalid {BACKEND_SETTINGS}: {exc}") from exc


def _unreadable(why: str) -> TemporaryError:
    return TemporaryError(
        f"cannot read the allow-list in the ConfigMap {CONFIG_MAP}: {why}",
        "an administrator can restore the ConfigMap and the server's Role with: orchestune cluster connect",
    )
