"""AWS Signature Version 4, for requests with an empty query: what every S3-compatible server checks.

canonical request ──> string to sign ──> HMAC with a key derived from secret, day, region and service
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "s3"


@dataclass(frozen=True, slots=True)
class Credentials:
    key_id: str
    secret: str = field(repr=False)
    region: str


def signed_headers(
    credentials: Credentials, method: str, path: str, headers: Mapping[str, str], *, payload_sha256: str, at: datetime
) -> dict[str, str]:
    """The headers to send. `path` is as it goes over the wire, `headers` have lower-case names and hold `host`."""
    moment = at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    signed = {**headers, "x-amz-content-sha256": payload_sha256, "x-amz-date": moment}
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{signed[name].strip()}\n" for name in sorted(signed))
    canonical = f"{method}\n{path}\n\n{lines}\n{names}\n{payload_sha256}"
    scope = f"{moment[:8]}/{credentials.region}/{SERVICE}/aws4_request"
    to_sign = f"{ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = mac(signing_key(credentials, moment[:8]), to_sign).hex()
    authorization = f"{ALGORITHM} Credential={credentials.key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {**signed, "authorization": authorization}


def signing_key(credentials: Credentials, day: str) -> bytes:
    key = f"AWS4{credentials.secret}".encode()
    for part in (day, credentials.region, SERVICE, "aws4_request"):
        key = mac(key, part)
    return key


def mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
