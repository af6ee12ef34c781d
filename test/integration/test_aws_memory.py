# SPDX-License-Identifier: Apache-2.0
"""What lies in the memory of a program whose master key is in AWS KMS, as a
core dump has it: libcurl, TLS and JSON had the data key in their hands."""
import base64
import os
import secrets
import subprocess

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from doubles.kms_server import KmsDouble
from doubles.sigv4 import Credentials

# Random: a part of theirs is nowhere else.
SECRET = secrets.token_urlsafe(30)
TOKEN = secrets.token_urlsafe(300)
CONTROL = secrets.token_urlsafe(30)


@pytest.fixture
def kms(accounts, authority):
    issued = authority.issue("memory")
    started = KmsDouble(accounts, certificate=issued.certificate, key=issued.key).start()
    yield started
    started.stop()


@pytest.fixture
def site(aws_site, accounts, authority, kms):
    """The credentials are in a file: what the environment has, every dump has."""
    temporary = accounts.add(Credentials("AKIADOUBLE0000000009", SECRET, TOKEN))
    aws_site.aws["AWS_CA_BUNDLE"] = str(authority.bundle)
    aws_site.create_at(kms.store.create("eu-west-1").arn)
    aws_site.forget()
    folder = aws_site.home / ".aws"
    folder.mkdir()
    (folder / "credentials").write_text(
        f"[default]\naws_access_key_id = {temporary.access_key_id}\n"
        f"aws_secret_access_key = {SECRET}\naws_session_token = {TOKEN}\n"
    )
    aws_site.knows(temporary)
    aws_site.aws["CONTROL"] = CONTROL
    return aws_site


def forms(secret):
    """A secret whole, and a part of its middle, however it is written."""
    half = len(secret) // 2
    yield "raw", secret
    yield "the middle", secret[half - 4 : half + 4]
    yield "hex", secret.hex().encode()
    yield "capital hex", secret.hex().upper().encode()
    yield "base64", base64.b64encode(secret).rstrip(b"=")
    yield "the middle of base64", base64.b64encode(secret)[16:28]


def core(site, program, pid):
    file = site.folder / f"core.{pid}"
    site.ok(program("gcore"), "-o", site.folder / "core", str(pid))
    dump = file.read_bytes()
    file.unlink()
    # The search finds what is there: the environment is.
    assert CONTROL.encode() in dump
    return dump


def data_keys(kms):
    assert kms.actions.plaintexts
    return [plaintext for plaintext in kms.actions.plaintexts if len(plaintext) == 32]


def check_absent(dump, what, secret):
    for form, trace in forms(secret):
        assert trace not in dump, f"{what} is in the core dump: {form}"


def message_key(site, data_key):
    """Derived, and in ordinary memory while it is used: SECURITY.md."""
    key_id = bytes.fromhex(site.content()["id"])
    info = b"kms-envelope/1 message" + key_id + (1).to_bytes(4, "big")
    return HKDF(SHA256(), 32, salt=None, info=info).derive(data_key)


def test_no_data_key_in_a_core_dump_of_a_process_in_use(site, kms, program):
    with site.loop() as loop:
        message = loop.encrypt("anna")
        assert loop.decrypt(message) == "anna"
        dump = core(site, program, loop.process.pid)
    assert kms.counts["Decrypt"] >= 1
    for data_key in data_keys(kms):
        check_absent(dump, "a data key", data_key)


def test_a_derived_key_in_use_is_found_so_the_search_can_fail(site, kms, program):
    with site.loop() as loop:
        loop.encrypt("anna")
        dump = core(site, program, loop.process.pid)
    assert any(message_key(site, data_key) in dump for data_key in data_keys(kms))


def test_once_released_nothing_is_left(site, kms, program):
    with site.loop() as loop:
        loop.encrypt("anna")
        worked, _ = loop.ask("release")
        assert worked
        dump = core(site, program, loop.process.pid)
    for data_key in data_keys(kms):
        check_absent(dump, "a data key", data_key)
        check_absent(dump, "a derived key", message_key(site, data_key))
    check_absent(dump, "the secret access key", SECRET.encode())
    check_absent(dump, "the session token", TOKEN.encode())


def test_no_secret_in_an_argument_list(site, kms):
    with site.loop() as loop:
        loop.encrypt("anna")
        listed = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(loop.process.pid)], capture_output=True, check=True)
    assert os.path.basename(loop.process.args[0]).encode() in listed.stdout
    for secret in (SECRET, TOKEN):
        assert secret.encode() not in listed.stdout
