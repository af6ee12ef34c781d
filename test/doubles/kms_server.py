# SPDX-License-Identifier: Apache-2.0
"""A strict AWS KMS for tests: what moto does not do, and faults.

Several Regions on one port: the Region is that of the credential scope.
"""
import base64
import json
import threading
import uuid

from doubles.http_double import HttpDouble
from doubles.kms_actions import Actions
from doubles.kms_keys import KmsError, Store
from doubles.messages import AWS_JSON, Answer, aws_error
from doubles.sigv4 import AUTHORIZATION, Claim, SignatureError

REGIONS = ("eu-central-1", "eu-west-1", "us-east-1")
TARGET = "TrentService."
ANY = "*"
# What a policy must allow for an action that is not called the same.
PERMISSIONS = {"ReEncrypt": ("ReEncryptFrom", "ReEncryptTo")}


class Accounts:
    """Access keys, those handed out too, and what each principal may do.

    policy: {access key id or role ARN: [action, ...]}; "*" is any action, and
    a principal that is not in it may do all.
    """

    def __init__(self, clock, policy=None):
        self.clock = clock
        self.lock = threading.Lock()  # guards what follows
        self.keys = {}
        self.policy = {name: set(actions) for name, actions in (policy or {}).items()}
        self.denied = set()

    def add(self, credentials):
        with self.lock:
            self.keys[credentials.access_key_id] = credentials
        return credentials

    def remove(self, access_key_id):
        with self.lock:
            del self.keys[access_key_id]

    def secrets(self):
        """All that nobody may ever print."""
        with self.lock:
            return {
                secret
                for made in self.keys.values()
                for secret in (made.secret_access_key, made.session_token)
                if secret
            }

    def deny(self, name, action, denied=True):
        with self.lock:
            (self.denied.add if denied else self.denied.discard)((name, action))

    def may(self, credentials, action):
        names = (credentials.access_key_id, credentials.principal, ANY)
        with self.lock:
            if any((name, word) in self.denied for name in names for word in (action, ANY)):
                return False
            allowed = [self.policy[name] for name in names if name in self.policy]
        return not allowed or any(actions & {action, ANY} for actions in allowed)

    def authenticate(self, request, services):
        """The claim and the credentials of a signed request."""
        claim = Claim(request.headers)
        if claim.service not in services:
            why = f"Credential should be scoped to correct service: '{services[0]}'."
            raise SignatureError("InvalidSignatureException", why)
        with self.lock:
            credentials = self.keys.get(claim.access_key_id)
        if credentials is None or (credentials.session_token or "") != claim.token:
            raise SignatureError(
                "UnrecognizedClientException", "The security token included in the request is invalid."
            )
        claim.check_time(request.shown_s)
        claim.check_signature(credentials, request.method, request.target, request.headers, request.body)
        if credentials.expires_s is not None and credentials.expires_s <= self.clock.now_s():
            raise SignatureError(
                "ExpiredTokenException", "The security token included in the request is expired"
            )
        return claim, credentials


class KmsDouble(HttpDouble):
    def __init__(self, accounts, regions=REGIONS, trap=None, **options):
        super().__init__(accounts.clock, **options)
        self.accounts = accounts
        self.store = Store(regions, self.clock)
        self.actions = Actions(self.store)
        self.store_lock = threading.Lock()  # guards store
        self.trap = trap

    def trap_url(self):
        return self.trap.url + "/"

    def name_of(self, request):
        target = request.header("X-Amz-Target", "")
        return target.removeprefix(TARGET) or "other"

    def kinds_of(self, request):
        claim = AUTHORIZATION.fullmatch(request.header("Authorization", ""))
        who = (f"by.{claim[1]}", f"region.{claim[3]}") if claim else ()
        return (self.name_of(request), *who)

    def answer(self, request):
        try:
            answer = self._success(self._run(request))
        except (KmsError, SignatureError) as error:
            self.count("error." + error.code)
            spelling = "Message" if error.code == "AccessDeniedException" else "message"
            answer = aws_error(error.code, error.message, getattr(error, "status", 400), spelling)
        answer.headers["x-amzn-RequestId"] = str(uuid.uuid4())
        return answer

    @staticmethod
    def _success(members):
        body = b"" if members is None else json.dumps(members).encode()
        return Answer(200, body, {"Content-Type": AWS_JSON})

    def _run(self, request):
        if request.method != "POST" or request.target != "/":
            raise KmsError("UnknownOperationException", status=404)
        claim, credentials = self.accounts.authenticate(request, ("kms",))
        if claim.region not in self.store.regions:
            why = f"Credential should be scoped to a valid region, not '{claim.region}'."
            raise SignatureError("InvalidSignatureException", why)
        if request.header("Content-Type", "") != AWS_JSON:
            raise KmsError("UnknownOperationException", "Content-Type", 404)
        action = self._action(request)
        for permission in PERMISSIONS.get(action, (action,)):
            self._check_allowed(credentials, permission)
        with self.store_lock:
            return self.actions.run(action, claim.region, request.body)

    @staticmethod
    def _action(request):
        target = request.header("X-Amz-Target", "")
        if not target.startswith(TARGET):
            raise KmsError("UnknownOperationException")
        return target.removeprefix(TARGET)

    def _check_allowed(self, credentials, action):
        if not self.accounts.may(credentials, action):
            who = credentials.principal or credentials.access_key_id
            raise KmsError(
                "AccessDeniedException",
                f"User: {who} is not authorized to perform: kms:{action} on this resource "
                "because no identity-based policy allows it",
            )

    def told(self):
        with self.store_lock:
            return {"data_keys": [base64.b64encode(key).decode() for key in self.actions.plaintexts]}

    def control(self, orders):
        super().control(orders)
        for word in ("deny", "allow"):
            if word in orders:
                order = orders.pop(word)
                name = order.get("access_key_id", ANY)
                self.accounts.deny(name, order.get("action", ANY), word == "deny")
        if "revoke" in orders:
            self.accounts.remove(orders.pop("revoke"))
