# SPDX-License-Identifier: Apache-2.0
"""A host with the drop-in, whose data key is known: the formulas of format.h.

The databases refuse to run as root, so all of it may belong to another user,
who has copies of the module and the tool.
"""
import base64
import hashlib
import hmac
import json
import os
import shutil
import subprocess
import tempfile

from conftest import MODULE, TIMEOUT_S, TOOL, Site

NOBODY = 65534
PROPERTY = "?provider=kms-envelope"
DATA_KEY = bytes(range(7, 39))

# docs/drop-in.md has the same lines.
CONFIGURATION = """\
openssl_conf = init
nodejs_conf = init
[init]
providers = providers
alg_section = algorithms
random = random
[algorithms]
{property}
[random]
random = CTR-DRBG
cipher = AES-256-CTR
properties = provider=default
[providers]
default = default_section
kms-envelope = kms_envelope_section
[default_section]
activate = 1
[kms_envelope_section]
"""


def hkdf(data_key, info):
    """RFC 5869, without a salt, one block of SHA-256."""
    key = hmac.digest(bytes(32), data_key, "sha256")
    return hmac.digest(key, info + b"\1", "sha256")


def make_handle(data_key, key_id, version):
    label, which = b"kms-envelope/1 handle", key_id + version.to_bytes(4, "big")
    secret = hkdf(data_key, label + which)[:16]
    check = hashlib.sha256(label + secret + which).digest()[:5]
    return "kmsh" + base64.urlsafe_b64encode(secret + check).decode()


def derive(data_key, key_id, version, handle):
    """The key that AES gets."""
    return hkdf(data_key, b"kms-envelope/1 drop-in" + key_id + version.to_bytes(4, "big") + handle.encode())


class DropInSite(Site):
    """prefix: the words that make a command another user's."""

    def __init__(self, folder, prefix=(), module=MODULE, tool=TOOL):
        self.prefix, self.module, self.tool_path = list(prefix), module, tool
        super().__init__(folder)

    def configure(self, default_properties=PROPERTY, **settings):
        """openssl.cnf anew; a setting of None is left out."""
        section = {"activate": 1, "module": self.module, "keys": self.keys, "drop-in": "yes"}
        section |= {name.replace("_", "-"): value for name, value in settings.items()}
        lines = [f"{name} = {value}" for name, value in section.items() if value is not None]
        chosen = f"default_properties = {default_properties}" if default_properties else ""
        self.conf.write_text(CONFIGURATION.format(property=chosen) + "\n".join(lines) + "\n")
        self.conf.chmod(0o644)

    def run(self, *command, **options):
        return super().run(*self.prefix, *command, **options)

    def tool(self, *words):
        return self.ok(self.tool_path, *words).decode()

    def adopt(self, name="emails", data_key=DATA_KEY):
        """A key whose first data key we know."""
        self.ok(
            self.tool_path, "create", name, "--keys", self.keys,
            "--master-key", f"local:{self.master_key}", "--from-plaintext", "-", input=data_key,
        )  # fmt: skip

    def rotate(self, name="emails", *more):
        return self.tool("rotate", name, "--keys", self.keys, *more)

    def revoke(self):
        """Version 1, which has a successor then."""
        self.tool("revoke", "emails", "--keys", self.keys, "--version", "1", "--rotate", "--yes")

    def handle(self, *more, name="emails"):
        return self.tool("handle", name, "--keys", self.keys, *more).strip()

    def key_id(self, name="emails"):
        return bytes.fromhex(json.loads(self.key_file(name).read_text())["id"])

    def aes_key(self, handle):
        """Of version 1."""
        return derive(DATA_KEY, self.key_id(), 1, handle)

    def without(self):
        """An environment in which nothing is configured."""
        return {**self.environment, "OPENSSL_CONF": "/dev/null"}

    def check(self, handle, **options):
        """kms-envelope check: what it ends with, and says."""
        done = self.run(self.tool_path, "check", input=f"{handle}\n".encode(), **options)
        return done.returncode, (done.stdout + done.stderr).decode()

    def serve(self, log, *command, **options):
        """A server, whose output goes to a file."""
        options.setdefault("env", self.environment)
        with open(log, "ab") as out:
            return subprocess.Popen(
                [*self.prefix, *(str(word) for word in command)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.folder, **options,
            )  # fmt: skip


def stop(process, signal):
    """By its own id, and to its end."""
    if process.poll() is None:
        process.send_signal(signal)
    process.wait(timeout=TIMEOUT_S)


class OtherUser:
    """A folder of an ordinary user: ours if we are one."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="kmse-", dir="/tmp")  # short: it holds sockets
        prefix = []
        for path in (MODULE, TOOL):
            shutil.copy(path, self.folder)
        if os.geteuid() == 0:
            prefix = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
            os.chown(self.folder, NOBODY, NOBODY)
        place = type(MODULE)(self.folder)
        site = DropInSite(place, prefix, place / MODULE.name, place / TOOL.name)
        site.adopt()
        return site

    def __exit__(self, *_):
        shutil.rmtree(self.folder)
