"""Errors of AWS's services, in the words and the form of each protocol."""

from __future__ import annotations

import json
from typing import Any
from xml.sax.saxutils import escape


class Refused(Exception):
    """An error that the caller gets: `code` as botocore shows it, `message` as the service says it."""

    def __init__(self, code: str, message: str, status: int = 400, **details: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status, self.details = code, message, status, details


class Cut(Exception):
    """The connection ends without an answer."""


def body_of(error: Refused, protocol: str, request_id: str) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body of the error for a client of this protocol."""
    if protocol in ("json", "rest-json"):
        document = {"__type": error.code, "message": error.message, **error.details}
        headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-errortype": error.code}
        return headers, json.dumps(document).encode()
    inside = f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
    if protocol == "ec2":
        text = f"<Response><Errors><Error>{inside}</Error></Errors><RequestID>{request_id}</RequestID></Response>"
    elif protocol == "query":
        text = (
            f"<ErrorResponse><Error><Type>Sender</Type>{inside}</Error><RequestId>{request_id}</RequestId>"
            "</ErrorResponse>"
        )
    else:
        text = f"<Error>{inside}<RequestId>{request_id}</RequestId></Error>"
    return {"Content-Type": "text/xml"}, text.encode()
