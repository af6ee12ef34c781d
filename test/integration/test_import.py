# SPDX-License-Identifier: Apache-2.0
"""A data key that a user has already: adopted with its blob, or imported."""
import base64
import fcntl
import hashlib
import hmac
import json
import os
import pathlib
import pty
import struct
import termios
import time

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from conftest import TIMEOUT_S, TOOL, version_of

KEY = bytes((7 * i + 3) % 256 for i in range(32))
OWN = {"app": "crm", "ours": "1"}


@pytest.fixture
def master(empty_site):
    """A local master key, made with a key that is not looked at again."""
    empty_site.create("first")
    return empty_site


def blob_of(site, key=KEY, context=None):
    """A wrapped data key as docs/kms-local.md describes it, made elsewhere."""
    master = json.loads(site.master_key.read_text())
    newest = master["backing-keys"][-1]
    head = b"KEL1" + struct.pack(">I", newest["number"]) + bytes.fromhex(master["id"])
    encoded = struct.pack(">I", len(context or {}))
    for name, value in sorted((context or {}).items()):
        encoded += struct.pack(">I", len(name)) + name.encode() + struct.pack(">I", len(value)) + value.encode()
    nonce = os.urandom(12)
    return head + nonce + AESGCM(base64.b64decode(newest["key"])).encrypt(nonce, key, head + encoded)


def hkdf(key, info):
    """RFC 5869 without salt; 32 bytes are one block."""
    extracted = hmac.digest(bytes(32), key, hashlib.sha256)
    return hmac.digest(extracted, info + b"\1", hashlib.sha256)


def open_by_hand(site, message, key, number=1):
    """docs/format.md, with the data key that the test knows."""
    content = json.loads(site.key_file().read_text())
    key_id = bytes.fromhex(content["id"])
    message_key = hkdf(key, b"kms-envelope/1 message" + key_id + struct.pack(">I", number))
    return AESGCM(message_key).decrypt(message[4:16], message[16:], b"kms-envelope" + key_id + message[:4])


def create(site, *more, **options):
    """The result of create, which must work."""
    words = ["create", "emails", "--keys", site.keys, "--master-key", f"local:{site.master_key}", *more]
    done = site.run(TOOL, *words, **options)
    assert done.returncode == 0, done.stderr
    return done.stderr.decode()


def create_fails(site, *more, code=1, **options):
    words = ["create", "emails", "--keys", site.keys, "--master-key", f"local:{site.master_key}", *more]
    done = site.run(TOOL, *words, **options)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert done.stdout == b"" and not site.key_file().exists()
    for form in (KEY.hex(), KEY.hex().upper(), base64.b64encode(KEY).decode()):
        assert form not in done.stderr.decode()
    return done.stderr.decode()


def copy_of(site, version=1, copy=0):
    return json.loads(site.key_file().read_text())["versions"][version - 1]["copies"][copy]


# Adopting.


@pytest.mark.parametrize("form", ["binary", "base64", "lines"])
def test_a_blob_is_adopted_as_it_stands(master, form):
    site, blob = master, blob_of(master)
    text = base64.b64encode(blob)
    content = {"binary": blob, "base64": text + b"\n", "lines": text[:76] + b"\n" + text[76:] + b"\n"}
    file = site.folder / "data-key.blob"
    file.write_bytes(content[form])
    said = create(site, "--from-ciphertext", file)
    assert f"{file} was read as {'binary' if form == 'binary' else 'base64'}: a blob of 84 bytes" in said
    assert "kms-envelope rewrap emails" in said and "kms-envelope rotate emails" in said
    assert base64.b64decode(copy_of(site)["blob"]) == blob
    assert copy_of(site)["adopted"] is True and copy_of(site)["context"] == {}
    message = site.encrypt(b"anna")
    assert open_by_hand(site, message, KEY) == b"anna"
    assert site.decrypt(message) == b"anna"
    site.tool("doctor")


def test_rewrap_binds_it_and_the_data_stays(master):
    site = master
    file = site.folder / "data-key.blob"
    file.write_bytes(blob_of(site, context=OWN))
    create(site, "--from-ciphertext", file, "--blob-context", "ours=1", "--blob-context", "app=crm")
    assert copy_of(site)["context"] == OWN
    message = site.encrypt(b"anna")
    table = site.tool("status", "emails", "--keys", site.keys)
    assert f"local:{site.master_key} (adopted)\n" in table
    status = json.loads(site.tool("status", "emails", "--keys", site.keys, "--json"))
    assert status["keys"][0]["versions"][0]["copies"] == [{"master-key": f"local:{site.master_key}", "adopted": True}]
    site.tool("rewrap", "emails", "--keys", site.keys)
    assert "adopted" not in copy_of(site)
    assert copy_of(site)["context"] == {"kms-envelope:key": "emails", "kms-envelope:version": "1"}
    assert "adopted" not in site.tool("status", "emails", "--keys", site.keys)
    assert site.decrypt(message) == b"anna"
    site.rotate()
    assert version_of(site.encrypt(b"anna")) == 2
    assert site.decrypt(message) == b"anna"


def test_more_master_keys_wrap_an_adopted_data_key(master):
    site, other = master, master.folder / "other"
    file = site.folder / "data-key.blob"
    file.write_bytes(blob_of(site))
    create(site, "--from-ciphertext", file, "--master-key", f"local:{other}", "--context", "purpose=crm")
    assert "adopted" not in copy_of(site, copy=1)
    assert copy_of(site, copy=1)["context"]["purpose"] == "crm"
    message = site.encrypt(b"anna")
    site.master_key.unlink()
    assert site.decrypt(message) == b"anna"


def test_a_blob_that_does_not_open_makes_no_key(master):
    site = master
    file = site.folder / "data-key.blob"
    file.write_bytes(blob_of(site, context=OWN))
    assert "--blob-context NAME=VALUE" in create_fails(site, "--from-ciphertext", file)
    assert "--blob-context NAME=VALUE" in create_fails(site, "--from-ciphertext", file, "--blob-context", "app=crm")
    file.write_bytes(b"{}")
    assert "text, but not base64" in create_fails(site, "--from-ciphertext", file)
    file.write_bytes(b"")
    assert "empty" in create_fails(site, "--from-ciphertext", file)
    assert "nowhere" in create_fails(site, "--from-ciphertext", site.folder / "nowhere")
    file.write_bytes(blob_of(site, key=bytes(32)))
    assert "32 times" in create_fails(site, "--from-ciphertext", file)


def test_no_master_key_is_made_to_open_a_blob(master):
    site = master
    file = site.folder / "data-key.blob"
    file.write_bytes(blob_of(site))
    away = site.master_key.rename(site.folder / "away")
    assert str(site.master_key) in create_fails(site, "--from-ciphertext", file)
    assert not site.master_key.exists()
    away.rename(site.master_key)
    create(site, "--from-ciphertext", file)


# Of AWS KMS: test/doubles.


@pytest.fixture
def aws(aws_site, kms):
    """A site that knows its key; seal() makes a blob as AWS would."""
    master = kms.store.create("eu-west-1")
    aws_site.secrets.add(KEY)

    def seal(key, context):
        return master.material.seal(master.key_id, context, key)

    return aws_site, f"aws-kms:{master.arn}", seal


def adopt_words(site, uri, file):
    return ["create", "emails", "--keys", site.keys, "--master-key", uri, "--from-ciphertext", file]


def test_a_ciphertextblob_of_aws_is_adopted_and_bound(aws):
    site, uri, seal = aws
    file = site.folder / "data-key.blob"
    file.write_bytes(base64.b64encode(seal(KEY, OWN)) + b"\n")
    words = adopt_words(site, uri, file)
    assert "--blob-context NAME=VALUE" in site.fails(TOOL, *words)
    assert not site.key_file().exists()
    site.tool(*words, "--blob-context", "app=crm", "--blob-context", "ours=1")
    message = site.encrypt(b"anna")
    assert open_by_hand(site, message, KEY) == b"anna"
    assert copy_of(site)["kms"] == uri and copy_of(site)["context"] == OWN
    site.tool("rewrap", "emails", "--keys", site.keys)
    assert "adopted" not in copy_of(site)
    assert site.decrypt(message) == b"anna"


def test_a_data_key_of_16_bytes_is_not_for_us(aws):
    site, uri, seal = aws
    file = site.folder / "data-key.blob"
    file.write_bytes(seal(KEY[:16], {}))
    error = site.fails(TOOL, *adopt_words(site, uri, file))
    assert "only a data key of 32 bytes (AES_256)" in error
    assert not site.key_file().exists()


def test_a_plain_key_goes_to_aws_and_nowhere_else(aws):
    site, uri, _ = aws
    site.ok(
        TOOL, "create", "emails", "--keys", site.keys, "--master-key", uri, "--from-plaintext", "-", input=KEY
    )
    assert open_by_hand(site, site.encrypt(b"anna"), KEY) == b"anna"


# Importing.


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        KEY.hex().encode(),
        KEY.hex().upper().encode() + b"\r\n",
        base64.b64encode(KEY),
        base64.b64encode(KEY) + b"\n",
    ],
)
def test_a_data_key_is_imported_from_standard_input(master, text):
    said = create(master, "--from-plaintext", "-", input=text)
    form = "binary" if text == KEY else "hex" if len(text) > 60 else "base64"
    assert f"standard input was read as {form}" in said
    assert "kms-envelope rotate emails" in said and "rewrap" not in said
    message = master.encrypt(b"anna")
    assert open_by_hand(master, message, KEY) == b"anna"
    assert "adopted" not in copy_of(master)
    assert KEY not in master.key_file().read_bytes()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "0 bytes"),
        (KEY[:31], "31 bytes"),
        (KEY + b"\n", "33 bytes"),
        (KEY[:16].hex().encode(), "16 bytes"),
        (KEY[:24].hex().encode(), "48 bytes"),
        (base64.b64encode(KEY)[:43], "43 bytes"),
        (base64.b64encode(KEY[:30] + b"\1") + b"=", "45 bytes"),
        (KEY.hex().encode()[:-1] + b"g", "64 bytes"),
        (KEY * 1000, "longer than a data key"),
        (bytes(32), "32 times"),
        (b"ff" * 32, "32 times"),
    ],
)
def test_what_is_no_data_key_is_refused(master, text, words):
    assert words in create_fails(master, "--from-plaintext", "-", input=text)


def test_a_key_is_no_argument_and_no_file(master):
    for word in (KEY.hex(), base64.b64encode(KEY).decode(), "data-key.bin", "/dev/stdin"):
        error = create_fails(master, "--from-plaintext", word, code=2, input=KEY)
        assert "only -" in error and word not in error
        create_fails(master, f"--from-plaintext={word}", code=2, input=KEY)


def test_a_terminal_is_refused(master):
    ours, theirs = pty.openpty()
    error = create_fails(master, "--from-plaintext", "-", stdin=theirs)
    assert "terminal" in error
    os.close(theirs)
    os.close(ours)


def test_it_is_refused_before_anything_is_made(empty_site):
    create_fails(empty_site, "--from-plaintext", "-", input=KEY[:5])
    assert not empty_site.keys.exists() and not empty_site.master_key.exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--from-plaintext", "-", "--from-ciphertext", "x"],
        ["--blob-context", "a=b"],
        ["--from-plaintext", "-", "--blob-context", "a=b"],
        ["--from-ciphertext", "x", "--blob-context", "kms-envelope:key=emails"],
        ["--from-ciphertext", ""],
    ],
)
def test_options_that_do_not_go_together(master, words):
    assert "usage" in create_fails(master, *words, code=2, input=KEY)


def test_an_imported_key_is_as_any_other(master):
    site, other = master, master.folder / "other"
    create(site, "--from-plaintext", "-", "--master-key", f"local:{other}", input=KEY)
    first = site.encrypt(b"1")
    site.rotate()
    second = site.encrypt(b"2")
    site.tool("rewrap", "emails", "--keys", site.keys, "--to", f"local:{other}")
    site.master_key.unlink()
    assert [site.decrypt(first), site.decrypt(second)] == [b"1", b"2"]
    with pytest.raises(InvalidTag):  # a data key that nobody had before
        open_by_hand(site, second, KEY, 2)


def test_importing_is_clean(master, program):
    valgrind = (
        program("valgrind"), "-q", "--error-exitcode=9", "--leak-check=full",
        "--show-leak-kinds=definite,indirect", "--errors-for-leak-kinds=definite,indirect", TOOL,
    )  # fmt: skip
    file = master.folder / "data-key.blob"
    file.write_bytes(base64.b64encode(blob_of(master, context=OWN)))
    words = ("--keys", master.keys, "--master-key", f"local:{master.master_key}")
    adopt = ("--from-ciphertext", file, "--blob-context", "app=crm")
    master.ok(*valgrind, "create", "one", *words, "--from-plaintext", "-", input=KEY.hex().encode())
    master.fails(*valgrind, "create", "two", *words, "--from-plaintext", "-", input=b"nothing")
    master.ok(*valgrind, "create", "two", *words, *adopt, "--blob-context", "ours=1")
    master.fails(*valgrind, "create", "three", *words, *adopt)
    master.ok(*valgrind, "rewrap", "two", "--keys", master.keys, "--add", f"local:{master.folder}/other")
    master.fails(*valgrind, "rewrap", "two", "--keys", master.keys, "--drop", f"local:{master.folder}/nowhere")


# Who reads the memory of the tool later finds no key: SECURITY.md.


def test_the_key_is_in_no_ordinary_memory_while_it_runs(master, program):
    """Its core, while it waits for the end of its input, which it has read."""
    control = b"a control that the search must find"
    process = master.start(
        TOOL, "create", "emails", "--keys", master.keys, "--master-key", f"local:{master.master_key}",
        "--from-plaintext", "-", "--context", f"note={control.decode()}",
    )  # fmt: skip
    process.stdin.write(KEY.hex().encode())
    process.stdin.flush()
    wait_until_read(process)
    core = master.folder / "core"
    master.ok(program("gcore"), "-o", core, str(process.pid))
    dump = (master.folder / f"core.{process.pid}").read_bytes()
    process.stdin.close()
    assert process.wait(timeout=10) == 0, process.stderr.read()
    assert control in dump, "the search finds nothing: it proves nothing"
    assert KEY.hex().encode() not in dump and KEY not in dump
    assert KEY[8:24] not in dump and KEY.hex().encode()[20:44] not in dump


def wait_until_read(process):
    """Until its pipe is empty and it sleeps in read(2) for more."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        state = pathlib.Path(f"/proc/{process.pid}/syscall").read_text().split()
        if state[:2] == ["0", "0x0"] and pipe_is_empty(process.stdin):
            return
    raise AssertionError("it does not read its input")


def pipe_is_empty(pipe):
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0] == 0
