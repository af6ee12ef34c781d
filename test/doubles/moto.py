# SPDX-License-Identifier: Apache-2.0
"""moto_server, an AWS written by others, with its check of signatures on.

A proxy of ours stands before it: it counts calls, refuses, and has the faults
of faults.py. moto itself is never imported here.
"""
import http.client
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request

from doubles.http_double import HttpDouble
from doubles.credentials_server import STS_VERSION
from doubles.kms_server import TARGET
from doubles.messages import AWS_JSON, Answer
from doubles.sigv4 import AUTHORIZATION, Credentials, sign

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_S = 60
CALL_S = 60
REGION = "eu-west-1"
USER = ROLE = "kmse-test"
ALIAS = "alias/kmse-test"
IAM_VERSION = "2010-05-08"
HOP_BY_HOP = ("connection", "content-length", "date", "server", "transfer-encoding")
RUNNING = re.compile(r"Running on http://127\.0\.0\.1:(\d+)")
MISSING = "moto is missing: pip install moto flask flask-cors in a virtual environment, or set MOTO_SERVER"
ALLOW = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["kms:*", "sts:*"], "Resource": "*"}]}


def answers(command):
    """A file of that name may be there and yet not run: pyenv's shims."""
    try:
        done = subprocess.run([*command, "--help"], capture_output=True, timeout=START_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def find():
    """The command that starts moto_server; $MOTO_SERVER is not second-guessed."""
    told = os.environ.get("MOTO_SERVER")
    beside = pathlib.Path(sys.executable).parent / "moto_server"
    ours = ROOT / "build" / "moto" / "bin" / "moto_server"
    on_path = shutil.which("moto_server")
    candidates = [[told]] if told else [[str(path)] for path in (beside, ours, on_path) if path]
    if not told:
        candidates += [[python, "-m", "moto.server"] for python in (sys.executable, shutil.which("python3")) if python]
    for command in candidates:
        if answers(command):
            return command
    raise RuntimeError(MISSING)


def botocore_python():
    """A Python that has botocore, which moto needs: the one beside moto."""
    command = find()
    folder = pathlib.Path(command[0]).parent
    first = pathlib.Path(command[0]).read_bytes()[:200].split(b"\n")[0].decode(errors="replace")
    shebang = first[2:].split() if first.startswith("#!") else []
    named = [path for path in (str(folder / "python3"), command[0], *shebang[:1]) if "python" in path]
    for python in named:
        done = subprocess.run([python, "-c", "import botocore"], capture_output=True, timeout=START_S, check=False)
        if done.returncode == 0:
            return python
    raise RuntimeError(f"no Python with botocore beside {command}")


class Proxy(HttpDouble):
    """Counts by X-Amz-Target, and passes on as it came, Host too."""

    def __init__(self, upstream_port):
        super().__init__()
        self.upstream_port = upstream_port

    def name_of(self, request):
        target = request.header("X-Amz-Target", "")
        return target.removeprefix(TARGET) or f"{request.method} {request.path}"

    def kinds_of(self, request):
        claim = AUTHORIZATION.fullmatch(request.header("Authorization", ""))
        by = (f"by.{claim[1]}",) if claim else ()
        return (self.name_of(request), *by)

    def answer(self, request):
        upstream = http.client.HTTPConnection("127.0.0.1", self.upstream_port, timeout=CALL_S)
        try:
            upstream.request(request.method, request.target, request.body, dict(request.headers))
            response = upstream.getresponse()
            body = response.read()
        finally:
            upstream.close()
        kept = {name: value for name, value in response.getheaders() if name.lower() not in HOP_BY_HOP}
        return Answer(response.status, body, kept)

    def refuse(self):
        """The port is closed until start()."""
        self.stop()


class Moto:
    """url is the proxy's. credentials, and others, are of an IAM user that may
    use KMS."""

    def __init__(self, folder):
        self.log = pathlib.Path(folder) / "moto.log"
        self.process = None
        self.proxy = None
        self.region = REGION
        self.alias = ALIAS
        self.credentials = self.others = Credentials("AKIANOTYET", "not-yet")

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.proxy is not None:
            self.proxy.stop()
        if self.process is not None:
            self.process.terminate()
            self.process.wait(START_S)

    @property
    def url(self):
        return self.proxy.url

    def _start(self):
        environment = {**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "inf", "MOTO_PORT": "0"}
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [*find(), "-H", "127.0.0.1", "-p", "0"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.log.parent,
                env=environment,
            )
        self.proxy = Proxy(self._port()).start()
        self._create()
        self._check_signatures()
        self.proxy.reset()

    def _port(self):
        until = time.monotonic() + START_S
        while time.monotonic() < until and self.process.poll() is None:
            found = RUNNING.search(self.log.read_text(errors="replace"))
            if found:
                return int(found[1])
            time.sleep(0.02)
        raise RuntimeError(f"moto_server did not start: {self.log.read_text(errors='replace')}")

    def _create(self):
        user_arn = self.iam("CreateUser", "Arn", UserName=USER)
        self.iam("PutUserPolicy", UserName=USER, PolicyName="kms", PolicyDocument=json.dumps(ALLOW))
        self.role_arn = self.iam("CreateRole", "Arn", RoleName=ROLE, AssumeRolePolicyDocument=trust(user_arn))
        self.iam("PutRolePolicy", RoleName=ROLE, PolicyName="kms", PolicyDocument=json.dumps(ALLOW))
        self.credentials, self.others = self._access_key(), self._access_key()
        self.key_arn = self.kms("CreateKey")["KeyMetadata"]["Arn"]
        self.kms("CreateAlias", AliasName=ALIAS, TargetKeyId=self.key_arn)

    def _access_key(self):
        made = self.iam("CreateAccessKey", UserName=USER)
        return Credentials(member(made, "AccessKeyId"), member(made, "SecretAccessKey"))

    def _check_signatures(self):
        # With another Content-Type it fails, and the check stays off unsaid.
        order = urllib.request.Request(
            f"{self.url}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"}, method="POST"
        )
        urllib.request.urlopen(order, timeout=CALL_S).read()

    def call(self, service, headers, body, credentials=None):
        """The status and the body of a signed request."""
        who = credentials or self.credentials
        signed = sign(who, self.region, service, "POST", self.url + "/", headers, body, time.time())
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.port, timeout=CALL_S)
        try:
            connection.request("POST", "/", body, signed)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def kms(self, action, credentials=None, **members):
        headers = {"X-Amz-Target": TARGET + action, "Content-Type": AWS_JSON}
        status, body = self.call("kms", headers, json.dumps(members).encode(), credentials)
        if status != 200:
            raise MotoError(action, status, body)
        return json.loads(body or b"null")

    def iam(self, action, wanted=None, **members):
        body = self._query("iam", IAM_VERSION, action, members)
        return member(body, wanted) if wanted else body

    def session(self):
        """Temporary credentials, with their token, from moto's STS."""
        members = {"RoleArn": self.role_arn, "RoleSessionName": "test"}
        body = self._query("sts", STS_VERSION, "AssumeRole", members)
        return Credentials(*(member(body, name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")))

    def _query(self, service, version, action, members):
        form = urllib.parse.urlencode({"Action": action, "Version": version, **members})
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        status, body = self.call(service, headers, form.encode())
        if status != 200:
            raise MotoError(action, status, body)
        return body.decode()


def trust(user_arn):
    statement = {"Effect": "Allow", "Principal": {"AWS": user_arn}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


class MotoError(Exception):
    def __init__(self, action, status, body):
        super().__init__(f"{action}: {status} {body.decode(errors='replace')}")
        self.status = status
        self.body = body.decode(errors="replace")


def member(xml, name):
    return re.search(f"<{name}>([^<]+)</{name}>", xml)[1]
