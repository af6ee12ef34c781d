# SPDX-License-Identifier: Apache-2.0
"""The tool's verbs, as scripts and people call them."""
import json
import os
import re
import stat
import subprocess

import pytest

from conftest import TOOL

VERBS = [
    "create", "rotate", "rewrap", "policy", "revoke", "census", "retire", "undo", "destroy",
    "rotate-master", "status", "inspect", "index", "doctor",
]  # fmt: skip
USAGE = 2


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_help_names_every_verb_and_every_verb_helps(empty_site):
    general = empty_site.tool("--help")
    assert "Exit codes: 0 done; 1 failed, or doctor has findings; 2 usage." in general
    for verb in VERBS:
        assert re.search(rf"^  {verb} ", general, flags=re.MULTILINE)
        assert empty_site.tool(verb, "--help") == empty_site.tool("help", verb)
        assert empty_site.tool("help", verb).startswith(f"usage: kms-envelope {verb}")
    assert re.match(r"kms-envelope \d+\.\d+\.\d+ \(OpenSSL 3", empty_site.tool("--version"))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "a verb is missing"),
        (["nope"], "no such verb: nope"),
        (["create"], "--keys DIR is missing"),
        (["create", "--keys", "k", "--master-key", "local:m"], "NAME is missing"),
        (["create", "a", "b", "--keys", "k", "--master-key", "local:m"], "too many arguments"),
        (["create", "a", "--keys", "k"], "--master-key"),
        (["create", "a", "--master-key", "local:m"], "--keys"),
        (["create", "a", "--keys"], "--keys"),
        (["create", "a", "--colour", "red"], "colour"),
        (["rotate", "a", "--keys", "k", "--active-in", "soon"], "soon"),
        (["rotate", "a", "--keys", "k", "--active-in", "-5"], "-5"),
        (["rotate", "a", "--keys", "k", "--to", "local:m"], "to"),
        (["create", "a", "--keys", "k", "--master-key", "local:m", "--max-messages", "0"], "max-messages"),
        (["create", "a", "--keys", "k", "--master-key", "local:m", "--context", "nothing"], "context"),
        (["inspect"], "FILE"),
        (["doctor", "x"], "too many arguments"),
        (["help", "nope"], "nope"),
    ],
)
def test_bad_usage_is_exit_code_2_and_says_what(empty_site, words, complaint):
    done = empty_site.run(TOOL, *words)
    assert done.returncode == USAGE
    assert done.stdout == b""
    assert complaint in done.stderr.decode() and "kms-envelope help" in done.stderr.decode()
    assert not (empty_site.folder / "k").exists()


# create


def test_create_makes_what_is_missing_and_keeps_it_to_its_owner(empty_site):
    site = empty_site
    done = site.run(
        "sh", "-c", 'umask 0; exec "$@"', "sh", TOOL, "create", "emails",
        "--keys", site.keys, "--master-key", f"local:{site.master_key}",
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stdout == b"emails: version 1 encrypts from now on\n"
    assert f"made the master key local:{site.master_key}: back it up" in done.stderr.decode()
    assert [mode(path) for path in (site.keys, site.key_file(), site.master_key)] == [0o700, 0o600, 0o600]


def test_create_takes_limits_and_context(site):
    site.create("orders", "--max-messages", "3", "--max-bytes", "1000", "--context", "purpose=billing")
    content = json.loads(site.key_file("orders").read_text())
    assert content["policy"] == {"max-messages": 3, "max-bytes": 1000}
    assert content["context"] == {"purpose": "billing"}
    assert content["versions"][0]["copies"][0]["context"] == {
        "kms-envelope:key": "orders",
        "kms-envelope:version": "1",
        "purpose": "billing",
    }
    assert site.decrypt(site.encrypt(b"anna", "orders"), "orders") == b"anna"


@pytest.mark.parametrize("name", ["Emails", "-x", ".x", "a/b", "a" * 32, "ä", "a b"])
def test_create_refuses_a_bad_name(empty_site, name):
    error = empty_site.fails(
        TOOL, "create", "--keys", empty_site.keys, "--master-key", f"local:{empty_site.master_key}", "--", name
    )
    assert "a-z" in error
    assert not empty_site.master_key.exists() and not empty_site.keys.exists()


def test_create_does_not_replace_a_key(site):
    before = site.key_file().read_bytes()
    error = site.fails(TOOL, "create", "emails", "--keys", site.keys, "--master-key", f"local:{site.folder}/other")
    assert "exists already" in error and "kms-envelope rotate emails" in error
    assert site.key_file().read_bytes() == before
    assert not (site.folder / "other").exists(), "no master key is made for nothing"


@pytest.mark.parametrize("uri", ["local:", "file:/x", "nothing", "aws-kms:"])
def test_a_bad_master_key_uri_is_refused(empty_site, uri):
    error = empty_site.fails(TOOL, "create", "emails", "--keys", empty_site.keys, "--master-key", uri)
    assert "local:" in error or "aws-kms:" in error
    assert not empty_site.key_file().exists()


def test_several_master_keys_and_any_of_them_opens(empty_site):
    site = empty_site
    other = site.folder / "other"
    site.create("emails", "--master-key", f"local:{other}")
    message = site.encrypt(b"anna")
    for gone in (site.master_key, other):
        away = gone.rename(site.folder / "away")
        assert site.decrypt(message) == b"anna"
        away.rename(gone)


# rotate and rewrap


@pytest.mark.parametrize("verb", ["rotate", "rewrap"])
def test_a_key_that_does_not_exist_is_named(site, verb):
    error = site.fails(TOOL, verb, "nobody", "--keys", site.keys)
    assert "nobody" in error and "kms-envelope create nobody" in error


def test_a_full_disk_leaves_the_old_file(site):
    before = site.key_file().read_bytes()
    # SIGXFSZ is ignored: write fails as it does on a full disk.
    error = site.fails(
        "sh", "-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh", TOOL, "rotate", "emails", "--keys", site.keys
    )
    assert str(site.keys) in error
    assert site.key_file().read_bytes() == before
    site.rotate()
    assert sorted(path.name for path in site.keys.iterdir()) == [".emails.lock", "emails.json"]


def test_a_folder_that_may_not_be_written(site, program):
    site.keys.chmod(0o500)
    # Root writes anywhere: not without that right.
    plain = [program("setpriv"), "--bounding-set=-dac_override", "--"] if os.geteuid() == 0 else []
    error = site.fails(*plain, TOOL, "rotate", "emails", "--keys", site.keys)
    assert str(site.keys) in error
    site.keys.chmod(0o700)
    assert site.decrypt(site.encrypt(b"anna")) == b"anna"


# status and inspect


def test_status_is_a_table_or_json(site):
    site.create("orders")
    site.rotate("orders", "--active-in", "1h")
    table = site.tool("status", "--keys", site.keys)
    assert re.search(r"^emails +\*1 +active ", table, flags=re.MULTILINE)
    assert re.search(r"^orders +2 +pending ", table, flags=re.MULTILINE)
    assert site.tool("status") == table, "without --keys: the folder of openssl.cnf"
    assert "emails" not in site.tool("status", "orders", "--keys", site.keys)

    status = json.loads(site.tool("status", "--json"))
    assert status["folder"] == str(site.keys)
    orders = status["keys"][1]
    assert [key["name"] for key in status["keys"]] == ["emails", "orders"]
    assert list(orders) == [
        "name", "id", "created", "context", "rotate-after-seconds", "rotation-due", "rotation-due-in-seconds",
        "used",
        "max-messages", "max-bytes", "destroy-after-seconds", "census-fence-seconds", "censuses", "versions",
    ]  # fmt: skip
    assert list(orders["versions"][1]) == [
        "number", "state", "encrypts", "created", "active-from", "age-seconds", "retired", "held-until", "destroyed",
        "master-keys", "copies",
    ]  # fmt: skip
    assert [version["encrypts"] for version in orders["versions"]] == [True, False]
    assert orders["versions"][0]["master-keys"] == [f"local:{site.master_key}"]
    assert orders["versions"][0]["copies"] == [{"master-key": f"local:{site.master_key}", "adopted": False}]


def test_status_needs_no_kms_and_shows_what_it_can(site):
    site.create("orders")
    site.master_key.unlink()
    site.key_file("orders").write_text("{")
    done = site.run(TOOL, "status", "--keys", site.keys)
    assert done.returncode == 1
    assert b"emails" in done.stdout
    assert str(site.key_file("orders")) in done.stderr.decode()


def test_status_of_nothing(empty_site):
    empty_site.keys.mkdir(mode=0o700)
    assert f"no keys in {empty_site.keys}" in empty_site.tool("status", "--keys", empty_site.keys)
    error = empty_site.fails(TOOL, "status", "--keys", empty_site.folder / "nowhere")
    assert "nowhere" in error


def test_inspect_reads_the_header_alone(site):
    site.rotate()
    file = site.folder / "message"
    file.write_bytes(site.encrypt(b"anna"))
    site.master_key.unlink()
    site.key_file().unlink()
    out = site.tool("inspect", file)
    assert "key version  2\n" in out and "message      36 bytes\n" in out and "plaintext    4 bytes\n" in out
    assert file.read_bytes()[4:16].hex() in out


def test_inspect_knows_streams(site):
    file = site.folder / "stream"
    for size in (0, 1, 4067, 4068, 100000):
        file.write_bytes(site.ok("openssl", "enc", "-kms-envelope-stream", "-K", "0", input=bytes(size)))
        out = site.tool("inspect", file)
        assert "format       0xD3 (KMS-ENVELOPE-STREAM, AES-256-GCM)\nkey version  1\n" in out
        assert f"salt         {file.read_bytes()[4:16].hex()}\n" in out
        assert f"plaintext    {size} bytes\n" in out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xd3\0\0\1" + bytes(4092), "no stream has 4096 bytes: its end is lost"),
        (b"\xd3\0\0\1" + bytes(12), "no stream has 16 bytes"),
        (b"\xd3\0\0\1", "4 bytes, a header has 16"),
        (b"\xd3\0\0\0" + bytes(40), "version"),
        (b"", "ends before its header"),
        (b"K\0\0\1" + bytes(20), "truncated"),
        (b"plain text that nobody encrypted, really", "format"),
        (b"K\0\0\0" + bytes(40), "version"),
    ],
)
def test_inspect_says_what_is_no_message(empty_site, content, words):
    file = empty_site.folder / "file"
    file.write_bytes(content)
    error = empty_site.fails(TOOL, "inspect", file)
    assert words in error and str(file) in error


def test_inspect_of_a_file_that_is_not_there(empty_site):
    assert "nowhere" in empty_site.fails(TOOL, "inspect", empty_site.folder / "nowhere")


# no secret


def test_no_output_has_a_secret_in_it(site):
    site.rotate()
    backing = re.findall(r'"[^"]*"', site.master_key.read_text())
    secrets = {text.strip('"') for text in backing if len(text) >= 40}
    assert secrets, "the master key file has its key in some string"
    said = b""
    for words in (
        ["status", "--json"], ["doctor"], ["rotate", "emails", "--keys", site.keys],
        ["rewrap", "emails", "--keys", site.keys], ["rotate-master", f"local:{site.master_key}"],
        ["create", "emails", "--keys", site.keys, "--master-key", f"local:{site.master_key}"],
    ):  # fmt: skip
        done = site.run(TOOL, *words)
        said += done.stdout + done.stderr
    for secret in secrets:
        assert secret.encode() not in said


def test_a_closed_pipe_is_no_crash(site):
    done = subprocess.run(
        ["sh", "-c", '"$0" status --json | true', str(TOOL)],
        env=site.environment, capture_output=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0 and done.stderr == b""
