# SPDX-License-Identifier: Apache-2.0
"""AWS Signature Version 4, for a client that signs and a server that checks."""
import dataclasses
import datetime
import hashlib
import hmac
import re
import urllib.parse

ALGORITHM = "AWS4-HMAC-SHA256"
TIME_FORMAT = "%Y%m%dT%H%M%SZ"
UNRESERVED = "-_.~"
TOLERANCE_S = 300

AUTHORIZATION = re.compile(
    ALGORITHM + r" Credential=([^/, ]+)/(\d{8})/([^/, ]+)/([^/, ]+)/aws4_request, ?"
    r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})"
)


@dataclasses.dataclass
class Credentials:
    access_key_id: str
    secret_access_key: str = dataclasses.field(repr=False)
    session_token: str | None = dataclasses.field(default=None, repr=False)
    expires_s: float | None = None
    principal: str = ""


class SignatureError(Exception):
    """What KMS would call it, and its words."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code
        self.message = message


def amz_date(now_s):
    return datetime.datetime.fromtimestamp(now_s, datetime.timezone.utc).strftime(TIME_FORMAT)


def parse_amz_date(text):
    try:
        when = datetime.datetime.strptime(text, TIME_FORMAT)
    except ValueError:
        raise SignatureError("IncompleteSignatureException", f"X-Amz-Date is no date: {text!r}") from None
    return when.replace(tzinfo=datetime.timezone.utc).timestamp()


def canonical_query(query):
    pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
    quoted = [tuple(urllib.parse.quote(part, safe=UNRESERVED) for part in pair) for pair in pairs]
    return "&".join(f"{name}={value}" for name, value in sorted(quoted))


def canonical_headers(headers, names):
    """headers: pairs as they came; one that came twice is joined by a comma."""
    lines = []
    for wanted in names:
        values = [" ".join(value.split()) for name, value in headers if name.lower() == wanted]
        lines.append(f"{wanted}:{','.join(values)}\n")
    return "".join(lines)


def canonical_request(method, target, headers, names, body):
    path, _, query = target.partition("?")
    return "\n".join(
        (
            method,
            urllib.parse.quote(path or "/", safe="/" + UNRESERVED),
            canonical_query(query),
            canonical_headers(headers, names),
            ";".join(names),
            hashlib.sha256(body).hexdigest(),
        )
    )


def signature(secret, date, region, service, request):
    scope = f"{date[:8]}/{region}/{service}/aws4_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = b"AWS4" + secret.encode()
    for word in (date[:8], region, service, "aws4_request"):
        key = hmac.digest(key, word.encode(), "sha256")
    return hmac.new(key, f"{ALGORITHM}\n{date}\n{scope}\n{digest}".encode(), "sha256").hexdigest()


def sign(credentials, region, service, method, url, headers, body, now_s):
    """The headers, with Host, X-Amz-Date, the token, and Authorization."""
    parts = urllib.parse.urlsplit(url)
    date = amz_date(now_s)
    signed = {**headers, "Host": parts.netloc, "X-Amz-Date": date}
    if credentials.session_token:
        signed["X-Amz-Security-Token"] = credentials.session_token
    names = sorted(name.lower() for name in signed)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    request = canonical_request(method, target, list(signed.items()), names, body)
    mac = signature(credentials.secret_access_key, date, region, service, request)
    scope = f"{credentials.access_key_id}/{date[:8]}/{region}/{service}/aws4_request"
    signed["Authorization"] = f"{ALGORITHM} Credential={scope}, SignedHeaders={';'.join(names)}, Signature={mac}"
    return signed


class Claim:
    """What a request says of its signature, not believed yet."""

    def __init__(self, headers):
        given = [value for name, value in headers if name.lower() == "authorization"]
        if not given:
            raise SignatureError("MissingAuthenticationTokenException", "Missing Authentication Token")
        found = AUTHORIZATION.fullmatch(given[0])
        if len(given) != 1 or not found:
            raise SignatureError("IncompleteSignatureException", "Authorization header is not understood")
        self.access_key_id, self.day, self.region, self.service, names, self.signature = found.groups()
        self.names = names.split(";")
        self.date = one_header(headers, "x-amz-date")
        self.token = one_header(headers, "x-amz-security-token", "")
        self._check_names(headers)

    def _check_names(self, headers):
        if self.names != sorted(set(self.names)):
            raise SignatureError("IncompleteSignatureException", "SignedHeaders is not sorted")
        sent = {name.lower() for name, _ in headers}
        must = {name for name in sent if name.startswith("x-amz-")} | {"host"}
        loose = must - set(self.names)
        if loose:
            raise SignatureError("InvalidSignatureException", f"these headers must be signed: {sorted(loose)}")
        if set(self.names) - sent:
            raise SignatureError("InvalidSignatureException", "a signed header was not sent")

    def check_time(self, now_s):
        then_s = parse_amz_date(self.date)
        if self.day != self.date[:8]:
            raise SignatureError("InvalidSignatureException", "Date in Credential scope does not match X-Amz-Date")
        now, limit = amz_date(now_s), f"{TOLERANCE_S // 60} min."
        if then_s > now_s + TOLERANCE_S:
            edge = amz_date(now_s + TOLERANCE_S)
            why = f"Signature not yet current: {self.date} is still later than {edge} ({now} + {limit})"
            raise SignatureError("InvalidSignatureException", why)
        if then_s < now_s - TOLERANCE_S:
            edge = amz_date(now_s - TOLERANCE_S)
            why = f"Signature expired: {self.date} is now earlier than {edge} ({now} - {limit})"
            raise SignatureError("InvalidSignatureException", why)

    def check_signature(self, credentials, method, target, headers, body):
        hashed = one_header(headers, "x-amz-content-sha256", hashlib.sha256(body).hexdigest())
        request = canonical_request(method, target, headers, self.names, body)
        mac = signature(credentials.secret_access_key, self.date, self.region, self.service, request)
        same_body = hashed == hashlib.sha256(body).hexdigest()
        if not same_body or not hmac.compare_digest(mac, self.signature):
            raise SignatureError(
                "InvalidSignatureException",
                "The request signature we calculated does not match the signature you provided.",
            )


def one_header(headers, wanted, default=None):
    values = [value for name, value in headers if name.lower() == wanted]
    if not values and default is not None:
        return default
    if len(values) != 1:
        raise SignatureError("IncompleteSignatureException", f"{wanted} must come exactly once")
    return values[0]
