# SPDX-License-Identifier: Apache-2.0
"""IMDSv2, the container endpoint and STS for tests, all on one port.

What they hand out, kms_server.py accepts, until it expires.
"""
import hmac
import re
import secrets
import time
import urllib.parse
import uuid
from xml.sax.saxutils import escape

from doubles.http_double import HttpDouble
from doubles.kms_keys import ACCOUNT
from doubles.messages import Answer, json_answer
from doubles.sigv4 import Credentials, SignatureError

IMDS = "/latest/"
ROLES = IMDS + "meta-data/iam/security-credentials/"
IMDS_TOKEN = "X-aws-ec2-metadata-token"
IMDS_TTL = IMDS_TOKEN + "-ttl-seconds"
IMDS_TTL_MAX = 21600
ECS_PATH = "/v2/credentials/task"
EKS_PATH = "/v1/credentials"
STS_VERSION = "2011-06-15"
STS_NAMESPACE = f"https://sts.amazonaws.com/doc/{STS_VERSION}/"
STS_MIN_S, STS_MAX_S = 900, 43200
ROLE_ARN = re.compile(r"arn:aws:iam::\d{12}:role/([\w+=,.@/-]+)")
SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}")
# What STS calls what KMS calls otherwise.
STS_CODES = {
    "UnrecognizedClientException": ("InvalidClientTokenId", 403),
    "InvalidSignatureException": ("SignatureDoesNotMatch", 403),
    "ExpiredTokenException": ("ExpiredToken", 403),
    "MissingAuthenticationTokenException": ("MissingAuthenticationToken", 403),
    "IncompleteSignatureException": ("IncompleteSignature", 400),
}


class StsError(Exception):
    def __init__(self, code, message, status=400):
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


def iso_time(when_s):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when_s))


def as_xml(value):
    if isinstance(value, dict):
        return "".join(f"<{name}>{as_xml(part)}</{name}>" for name, part in value.items())
    return escape(str(value))


class CredentialsDouble(HttpDouble):
    """role, lifetime_s, authorization, web_identity_token and external_id may
    be changed while it runs, by POST /__control too."""

    def __init__(self, accounts, region, role="double-role", **options):
        super().__init__(accounts.clock, **options)
        self.accounts = accounts
        self.region = region
        self.role = role
        self.lifetime_s = 3600
        self.authorization = "Token " + secrets.token_urlsafe(24)
        self.web_identity_token = f"header.{secrets.token_urlsafe(24)}.signature"
        self.external_id = None
        self.imds_tokens = {}  # token: expires_s
        self.assumed = []  # what STS was asked for, without the token

    @property
    def role_arn(self):
        return f"arn:aws:iam::{ACCOUNT}:role/{self.role}"

    def control(self, orders):
        super().control(orders)
        for name in ("role", "lifetime_s", "authorization", "web_identity_token", "external_id"):
            if name in orders:
                setattr(self, name, orders.pop(name))

    def issue(self, principal, lifetime_s=None):
        """Credentials for a while; one second is the least AWS can say."""
        until_s = int(self.clock.now_s() + (self.lifetime_s if lifetime_s is None else lifetime_s))
        access_key_id = "ASIA" + secrets.token_hex(8).upper()
        token = secrets.token_urlsafe(200)
        made = Credentials(access_key_id, secrets.token_urlsafe(30), token, until_s, principal)
        return self.accounts.add(made)

    def name_of(self, request):
        if request.path != "/":
            return "role document" if request.path == ROLES + self.role else super().name_of(request)
        action = dict(urllib.parse.parse_qsl(self._form(request))).get("Action", "other")
        return f"sts {action}"

    def answer(self, request):
        if request.path.startswith(IMDS):
            return self._imds(request)
        if request.path in (ECS_PATH, EKS_PATH):
            return self._container(request)
        if request.path == "/":
            return self._sts(request)
        return Answer(404)

    # Instance metadata.

    def _imds(self, request):
        if request.header("X-Forwarded-For") is not None:
            return Answer(403)
        if request.path == IMDS + "api/token":
            return self._imds_token(request)
        if request.method != "GET":
            return Answer(405)
        with self.lock:
            until_s = self.imds_tokens.get(request.header(IMDS_TOKEN), 0)
        if until_s <= self.clock.now_s():
            return Answer(401)
        return self._metadata(request.path)

    def _imds_token(self, request):
        if request.method != "PUT":
            return Answer(405)
        ttl = request.header(IMDS_TTL, "")
        if not ttl.isdecimal() or not 1 <= int(ttl) <= IMDS_TTL_MAX or request.body:
            return Answer(400)
        token = secrets.token_urlsafe(40)
        with self.lock:
            self.imds_tokens[token] = self.clock.now_s() + int(ttl)
        return Answer(200, token.encode(), {"Content-Type": "text/plain", IMDS_TTL: ttl})

    def _metadata(self, path):
        if path in (ROLES, ROLES.rstrip("/")):
            return Answer(200, self.role.encode(), {"Content-Type": "text/plain"})
        if path == ROLES + self.role:
            return json_answer({"Code": "Success", "Type": "AWS-HMAC", **self._document()})
        if path == IMDS + "meta-data/placement/region":
            return Answer(200, self.region.encode(), {"Content-Type": "text/plain"})
        if path == IMDS + "dynamic/instance-identity/document":
            return json_answer({"accountId": ACCOUNT, "region": self.region})
        return Answer(404)

    def _document(self):
        made = self.issue(self.role_arn)
        return {
            "LastUpdated": iso_time(self.clock.now_s()),
            "AccessKeyId": made.access_key_id,
            "SecretAccessKey": made.secret_access_key,
            "Token": made.session_token,
            "Expiration": iso_time(made.expires_s),
        }

    # ECS (no authorization asked for) and EKS Pod Identity.

    def _container(self, request):
        if request.method != "GET":
            return Answer(405)
        given = request.header("Authorization", "")
        if request.path == EKS_PATH and not hmac.compare_digest(given.encode(), self.authorization.encode()):
            return json_answer({"code": "AccessDenied", "message": "invalid authorization token"}, 401)
        return json_answer({"RoleArn": self.role_arn, **self._document()})

    # STS.

    @staticmethod
    def _form(request):
        if request.method == "POST":
            return request.body.decode(errors="replace")
        return request.target.partition("?")[2]

    def _sts(self, request):
        members = dict(urllib.parse.parse_qsl(self._form(request), keep_blank_values=True))
        wants_json = request.header("Accept", "") == "application/json"
        try:
            action, result = self._sts_run(request, members)
        except StsError as error:
            self.count("error." + error.code)
            return self._sts_error(error, wants_json)
        answer = {f"{action}Result": result, "ResponseMetadata": {"RequestId": str(uuid.uuid4())}}
        if wants_json:
            return json_answer({f"{action}Response": answer})
        result["Credentials"]["Expiration"] = iso_time(result["Credentials"]["Expiration"])
        text = f'<{action}Response xmlns="{STS_NAMESPACE}">{as_xml(answer)}</{action}Response>'
        return Answer(200, text.encode(), {"Content-Type": "text/xml"})

    @staticmethod
    def _sts_error(error, wants_json):
        members = {"Type": "Sender", "Code": error.code, "Message": error.message}
        answer = {"Error": members, "RequestId": str(uuid.uuid4())}
        if wants_json:
            return json_answer(answer, error.status)
        text = f'<ErrorResponse xmlns="{STS_NAMESPACE}">{as_xml(answer)}</ErrorResponse>'
        return Answer(error.status, text.encode(), {"Content-Type": "text/xml"})

    def _sts_run(self, request, members):
        if members.get("Version") != STS_VERSION:
            raise StsError("InvalidAction", "Could not find operation for this version")
        action = members.get("Action")
        if action == "AssumeRole":
            self._check_caller(request, members)
        elif action == "AssumeRoleWithWebIdentity":
            self._check_identity(request, members)
        else:
            raise StsError("InvalidAction", f"Could not find operation {action}")
        result = self._assume(members)
        if action == "AssumeRoleWithWebIdentity":
            result["Provider"] = "https://oidc.example.org"
            result["SubjectFromWebIdentityToken"] = "system:serviceaccount:default:app"
        return action, result

    def _check_caller(self, request, members):
        try:
            _, caller = self.accounts.authenticate(request, ("sts",))
        except SignatureError as error:
            code, status = STS_CODES[error.code]
            raise StsError(code, error.message, status) from None
        external = members.get("ExternalId")
        if not self.accounts.may(caller, "AssumeRole") or external != self.external_id:
            who = caller.principal or caller.access_key_id
            why = f"User: {who} is not authorized to perform: sts:AssumeRole"
            raise StsError("AccessDenied", why, 403)

    def _check_identity(self, request, members):
        if request.header("Authorization") is not None:
            raise StsError("ValidationError", "AssumeRoleWithWebIdentity is not signed")
        given = members.get("WebIdentityToken", "")
        if not hmac.compare_digest(given.encode(), self.web_identity_token.encode()):
            raise StsError("InvalidIdentityToken", "The ID Token provided is not a valid JWT.")

    def _assume(self, members):
        role = ROLE_ARN.fullmatch(members.get("RoleArn", ""))
        session = members.get("RoleSessionName", "")
        seconds = members.get("DurationSeconds", str(STS_MIN_S))
        if not role or not SESSION_NAME.fullmatch(session):
            raise StsError("ValidationError", "RoleArn or RoleSessionName is invalid")
        if not seconds.isdecimal() or not STS_MIN_S <= int(seconds) <= STS_MAX_S:
            raise StsError("ValidationError", f"DurationSeconds must be {STS_MIN_S} to {STS_MAX_S}")
        if members["RoleArn"] != self.role_arn:
            why = f"not authorized to perform: sts:AssumeRole on resource: {members['RoleArn']}"
            raise StsError("AccessDenied", why, 403)
        arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role.group(1)}/{session}"
        made = self.issue(self.role_arn)
        self.assumed.append({name: text for name, text in members.items() if name != "WebIdentityToken"})
        return {
            "Credentials": {
                "AccessKeyId": made.access_key_id,
                "SecretAccessKey": made.secret_access_key,
                "SessionToken": made.session_token,
                "Expiration": float(made.expires_s),
            },
            "AssumedRoleUser": {"AssumedRoleId": f"AROADOUBLE:{session}", "Arn": arn},
        }
