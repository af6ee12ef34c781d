# SPDX-License-Identifier: Apache-2.0
"""Memory that is given back, and data keys that no core dump has."""
import base64
import json
import struct

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from conftest import TOOL

LEAKS = (
    "-q", "--error-exitcode=9", "--leak-check=full",
    "--show-leak-kinds=definite,indirect", "--errors-for-leak-kinds=definite,indirect",
)  # fmt: skip


@pytest.fixture
def valgrind(program):
    return (program("valgrind"), *LEAKS)


# Nothing lost, nothing read or written where it must not be.


def test_openssl_enc_is_clean(site, valgrind):
    enc = (*valgrind, "openssl", "enc", "-kms-envelope", "-K", "0")
    message = site.ok(*enc, input=b"anna" * 3000)
    assert site.ok(*enc, "-d", input=message) == b"anna" * 3000


def test_a_refused_message_is_clean(site, valgrind):
    message = site.encrypt(b"anna")
    bad = message[:-1] + bytes([message[-1] ^ 1])
    error = site.fails(*valgrind, "openssl", "enc", "-d", "-kms-envelope", "-K", "0", input=bad)
    assert "not made with this key" in error


def test_a_provider_that_does_not_load_is_clean(site, valgrind):
    site.configure(activate=None, max_age="0")
    error = site.fails(
        *valgrind, "openssl", "enc", "-provider", "kms-envelope", "-provider", "default",
        "-kms-envelope", "-K", "0", input=b"x",
    )  # fmt: skip
    assert "max-age = 0: must be" in error


def test_a_bad_key_file_is_clean(site, valgrind):
    content = json.loads(site.key_file().read_text())
    content["versions"][0]["copies"][0]["colour"] = "red"
    site.key_file().write_text(json.dumps(content))
    error = site.fails(*valgrind, "openssl", "enc", "-kms-envelope", "-K", "0", input=b"x")
    assert "colour" in error


def test_the_tool_is_clean(site, valgrind):
    keys = ("--keys", site.keys)
    site.ok(*valgrind, TOOL, "create", "orders", *keys, "--master-key", f"local:{site.folder}/other")
    site.ok(*valgrind, TOOL, "rotate", "emails", *keys)
    site.ok(*valgrind, TOOL, "rewrap", "emails", *keys, "--to", f"local:{site.folder}/other")
    site.ok(*valgrind, TOOL, "rotate-master", f"local:{site.master_key}")
    site.ok(*valgrind, TOOL, "status", "--json", *keys)
    file = site.folder / "message"
    file.write_bytes(site.encrypt(b"anna"))
    site.ok(*valgrind, TOOL, "inspect", file)
    site.ok(*valgrind, TOOL, "doctor")
    site.fails(*valgrind, TOOL, "create", "orders", *keys, "--master-key", f"local:{site.folder}/other")


# Data keys: docs/kms-local.md says how they are wrapped.


def unwrap(site, number):
    """The data key of a version, as somebody with all files would get it."""
    master = json.loads(site.master_key.read_text())
    version = json.loads(site.key_file().read_text())["versions"][number - 1]
    copy = version["copies"][0]
    blob = base64.b64decode(copy["blob"])
    (backing,) = [key for key in master["backing-keys"] if key["number"] == struct.unpack(">I", blob[4:8])[0]]
    context = struct.pack(">I", len(copy["context"]))
    for name, value in sorted(copy["context"].items()):
        context += struct.pack(">I", len(name)) + name.encode() + struct.pack(">I", len(value)) + value.encode()
    return AESGCM(base64.b64decode(backing["key"])).decrypt(blob[24:36], blob[36:], blob[:24] + context)


WORKER = r"""
$control = strrev(base64_decode(fgets(STDIN)));
while (($line = fgets(STDIN)) !== false) {
    echo bin2hex(openssl_encrypt($line, 'kms-envelope', 'emails', OPENSSL_RAW_DATA)), "\n";
}
"""


def traces(data_key):
    """What a data key looks like, whole or in part."""
    return {
        "raw": data_key,
        "the middle": data_key[12:20],
        "hex": data_key.hex().encode(),
        "base64": base64.b64encode(data_key)[:40],
    }


def test_no_core_dump_of_a_process_in_use_has_a_data_key(site, program):
    site.rotate()
    old, new = (unwrap(site, number) for number in (1, 2))
    message = site.encrypt(b"anna")
    assert message[3] == 2
    control = bytes(range(100, 132))
    process = site.start(program("php"), "-r", WORKER)
    # A secret that PHP itself holds in its heap: the search must find that.
    process.stdin.write(base64.b64encode(control[::-1]) + b"\n")
    for _ in range(10):
        process.stdin.write(b"anna\n")
        process.stdin.flush()
        process.stdout.readline()
    core = site.folder / "core"
    site.ok(program("gcore"), "-o", core, str(process.pid))
    process.stdin.close()
    assert process.wait(timeout=10) == 0
    dump = (site.folder / f"core.{process.pid}").read_bytes()
    assert control in dump, "the search finds nothing: it proves nothing"
    for data_key in (old, new):
        for form, trace in traces(data_key).items():
            assert trace not in dump, f"a data key is in the core dump: {form}"


def test_the_master_key_stays_out_of_it_too(site, program):
    master = json.loads(site.master_key.read_text())
    backing = base64.b64decode(master["backing-keys"][0]["key"])
    process = site.start(program("php"), "-r", WORKER)
    process.stdin.write(base64.b64encode(b"x" * 32) + b"\nanna\n")
    process.stdin.flush()
    process.stdout.readline()
    site.ok(program("gcore"), "-o", site.folder / "core", str(process.pid))
    process.stdin.close()
    assert process.wait(timeout=10) == 0
    dump = (site.folder / f"core.{process.pid}").read_bytes()
    for form, trace in traces(backing).items():
        assert trace not in dump, f"the master key is in the core dump: {form}"
