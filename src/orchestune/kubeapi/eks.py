"""Login to an EKS cluster: a presigned STS URL that proves the caller's identity to this cluster.

Created by botocore from whatever credentials it finds (profile, SSO, role, environment, instance); no other program is
run, and nothing is stored. docs.aws.amazon.com/eks/latest/userguide/cluster-auth.html
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from typing import Any

from orchestune.errors import Denied, UsageError
from orchestune.kubeapi.tls import Pair

_TOKEN_PREFIX = "k8s-aws-v1."
_CLUSTER_HEADER = "x-k8s-aws-id"
_URL_LIFETIME_SECONDS = 900
"""the maximum that EKS accepts"""
_RENEWAL_SECONDS = 14 * 60.0
"""age at which a URL is replaced, before it expires"""
REMEDY = (
    "whoever made the cluster names you under `access` in its file, and runs `orchestune cluster update -f FILE`;"
    " or log in at AWS as somebody who is named there"
)
"""hint for users whom an EKS cluster does not know"""


class Presigned:
    """Login to one cluster. `clock` is wall time: the token expires while a machine sleeps, when other clocks stop."""

    def __init__(self, user: Mapping[str, Any], *, clock: Callable[[], float] = time.time) -> None:
        self._cluster, self._region = str(user["cluster"]), str(user["region"])
        self._profile = str(user.get("profile") or "")
        self._clock, self._token, self._renew_at = clock, "", 0.0

    def headers(self) -> Mapping[str, str]:
        if not self._token or self._clock() >= self._renew_at:
            self._token, self._renew_at = self._presigned_token(), self._clock() + _RENEWAL_SECONDS
        return {"Authorization": f"Bearer {self._token}"}

    def certificate(self) -> Pair | None:
        return None

    def _presigned_token(self) -> str:
        try:
            import botocore.exceptions  # takes a fifth of a second, so only for such a login
            import botocore.session
            from botocore.signers import RequestSigner
        except ModuleNotFoundError as exc:
            if (exc.name or "").split(".")[0] != "botocore":
                raise
            raise UsageError("the login at EKS needs the package boto3, which is not installed",
                             "pip install 'orchestune[aws]'") from exc  # fmt: skip
        try:
            session = botocore.session.Session(profile=self._profile or None)
            client = session.create_client("sts", region_name=self._region)
            credentials = session.get_credentials()
            if credentials is None:
                raise botocore.exceptions.NoCredentialsError
            signer = RequestSigner(
                client.meta.service_model.service_id, self._region, "sts", "v4", credentials,
                session.get_component("event_emitter"),
            )  # fmt: skip
            query_url = f"{client.meta.endpoint_url.rstrip('/')}/?Action=GetCallerIdentity&Version=2011-06-15"
            request = {
                "method": "GET",
                "url": query_url,
                "body": {},
                "headers": {_CLUSTER_HEADER: self._cluster},
                "context": {},
            }
            url = signer.generate_presigned_url(
                request, region_name=self._region, expires_in=_URL_LIFETIME_SECONDS, operation_name=""
            )
        except botocore.exceptions.BotoCoreError as exc:
            profile = f" --profile {self._profile}" if self._profile else ""
            raise Denied(
                f"the login at AWS for the cluster '{self._cluster}' fails: {exc}",
                f"set AWS_PROFILE, run `aws sso login{profile}`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            ) from exc
        return _TOKEN_PREFIX + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
