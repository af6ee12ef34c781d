# SPDX-License-Identifier: Apache-2.0
"""A site whose master keys are in an AWS that runs on loopback."""
import base64
import json
import os
import re
import time

from conftest import BUILD, TIMEOUT_S, TOOL, Site
from doubles.kms_keys import blob_material_id

LOOP = BUILD / "test" / "integration" / "evp_loop"
STORM = BUILD / "test" / "integration" / "evp_storm"
# A failed unwrap is not tried again within a second; the rest is the machine's.
RECOVERY_S = 5
# No exit code of a failure that is meant, which 1 is.
SANITIZER_OPTIONS = {
    name: f"{os.environ.get(name, '')}:exitcode=99".lstrip(":")
    for name in ("ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS")
}
AWS_NAMES = re.compile(r"AWS_|(HTTPS?|ALL|NO)_PROXY$", re.IGNORECASE)


def sanitizers():
    """What the build is instrumented with: "address,undefined", "thread", ""."""
    cache = (BUILD / "CMakeCache.txt").read_text()
    return re.search(r"^KMSE_SANITIZE:\w+=(.*)$", cache, re.MULTILINE)[1]


def forms(secret):
    """What a secret looks like in an output."""
    data = secret if isinstance(secret, bytes) else secret.encode()
    words = {data, data.hex().encode(), data.hex().upper().encode()}
    return words | {base64.b64encode(data).rstrip(b"="), base64.urlsafe_b64encode(data).rstrip(b"=")}


class AwsSite(Site):
    """Nothing of the machine's own AWS settings, and what a test sets.

    Whatever a program prints is searched for the secrets that are known.
    """

    def __init__(self, folder, kms=None, region="eu-west-1"):
        super().__init__(folder)
        self.home = folder / "home"
        self.home.mkdir()
        self.kms = kms
        self.region = region
        self.secrets = set()
        self.aws = {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(self.home)}
        if kms is not None:
            self.at(kms.url)

    def at(self, url):
        self.aws["AWS_ENDPOINT_URL_KMS"] = url

    def use(self, credentials):
        """Credentials in the environment."""
        self.aws["AWS_ACCESS_KEY_ID"] = credentials.access_key_id
        self.aws["AWS_SECRET_ACCESS_KEY"] = credentials.secret_access_key
        self.aws.pop("AWS_SESSION_TOKEN", None)
        if credentials.session_token:
            self.aws["AWS_SESSION_TOKEN"] = credentials.session_token
        self.knows(credentials)

    def forget(self):
        """No credentials in the environment."""
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            self.aws.pop(name, None)

    def knows(self, credentials):
        self.secrets |= {credentials.secret_access_key, credentials.session_token} - {None}

    @property
    def environment(self):
        ours = {name: value for name, value in super().environment.items() if not AWS_NAMES.match(name)}
        return {**ours, **SANITIZER_OPTIONS, **self.aws}

    def run(self, *command, **options):
        done = super().run(*self.runnable(command), **options)
        self.check_secrets(done.stdout + done.stderr)
        return done

    def start(self, *command, **options):
        return super().start(*self.runnable(command), **options)

    @staticmethod
    def runnable(command):
        # The thread sanitizer maps its shadow where ASLR may have put things.
        return ("setarch", "-R", *command) if sanitizers() == "thread" else command

    def check_secrets(self, output):
        known = set(self.secrets)
        if self.kms is not None:
            known |= self.kms.actions.plaintexts | self.kms.accounts.secrets()
        for secret in known:
            for form in forms(secret):
                assert form not in output, f"a secret was printed: {output!r}"

    # The tool.

    def create_at(self, *master_keys, name="emails", options=()):
        uris = [word for key in master_keys for word in ("--master-key", f"aws-kms:{key}")]
        return self.tool("create", name, "--keys", self.keys, *uris, *options)

    def create_fails(self, *master_keys, name="emails"):
        uris = [word for key in master_keys for word in ("--master-key", f"aws-kms:{key}")]
        error = self.fails(TOOL, "create", name, "--keys", self.keys, *uris)
        assert not self.key_file(name).exists(), "a key that no master key wrapped"
        return error

    def rewrap(self, *options, name="emails"):
        return self.tool("rewrap", name, "--keys", self.keys, *options)

    def source(self):
        """Where doctor says that the credentials come from."""
        out = self.tool("doctor")
        return re.search(r"^ok .*, credentials from (.*)$", out, re.MULTILINE)[1]

    def doctor_fails(self):
        done = self.run(TOOL, "doctor")
        assert done.returncode == 1, (done.stdout, done.stderr)
        return done.stdout.decode() + done.stderr.decode()

    def content(self, name="emails"):
        return json.loads(self.key_file(name).read_text())

    def copies(self, name="emails"):
        """Of each version, the copies: (URI, material that made it)."""
        return [
            [(copy["kms"], blob_material_id(base64.b64decode(copy["blob"]))) for copy in version["copies"]]
            for version in self.content(name)["versions"]
        ]

    def kms_key(self, name="emails"):
        """The ARN of the first copy's master key."""
        return self.copies(name)[0][0][0].removeprefix("aws-kms:")

    def loop(self, name=None):
        return Loop(self, name)

    def loop_once(self, text, name=None):
        """One message, by a program of this build, sanitizers and all."""
        with self.loop(name) as loop:
            return loop.encrypt(text)


class Loop:
    """A program that stays: programs/evp_loop.c."""

    def __init__(self, site, name=None):
        self.site = site
        self.process = site.start(LOOP, *([name] if name else []))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        """It must end well: no crash, and no leak where that is looked for."""
        out, err = self.process.communicate(timeout=TIMEOUT_S)
        self.site.check_secrets(out + err)
        if error[0] is None:
            assert self.process.returncode == 0, err.decode()

    def ask(self, line):
        """(whether it worked, what it says)."""
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        self.site.check_secrets(answer)
        word, _, rest = answer.decode().rstrip("\n").partition(" ")
        assert word in ("ok", "error"), f"it ended: {self.process.stderr.read().decode()}"
        return word == "ok", rest

    def encrypt(self, text="anna"):
        worked, message = self.ask(f"encrypt {text}")
        assert worked, message
        return bytes.fromhex(message)

    def decrypt(self, message):
        worked, text = self.ask(f"decrypt {message.hex()}")
        assert worked, text
        return text

    def encrypt_fails(self, text="anna"):
        worked, error = self.ask(f"encrypt {text}")
        assert not worked, "it encrypted"
        return error

    def decrypt_fails(self, message):
        worked, error = self.ask(f"decrypt {message.hex()}")
        assert not worked, "it decrypted"
        return error

    def recovers(self, text="anna"):
        """Once the fault has ended, within RECOVERY_S."""
        until = time.monotonic() + RECOVERY_S
        worked, said = self.ask(f"encrypt {text}")
        while not worked:
            assert time.monotonic() < until, f"it did not recover: {said}"
            time.sleep(0.05)
            worked, said = self.ask(f"encrypt {text}")
        message = bytes.fromhex(said)
        assert self.decrypt(message) == text
        return message


def elapsed(call):
    """What a call gave, and how many seconds it took."""
    start = time.monotonic()
    made = call()
    return made, time.monotonic() - start
