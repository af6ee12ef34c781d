# SPDX-License-Identifier: Apache-2.0
"""A user handles keys with openssl's own commands: genpkey, storeutl, pkey, pkeyutl."""
import re

import pytest

from conftest import Site, version_of

pytestmark = pytest.mark.matrix

EMAIL = b"anna@example.org"
BEGIN = b"-----BEGIN KMS-ENVELOPE KEY-----\n"


class KeySite(Site):
    """With the commands that know keys."""

    def genpkey(self, *options, run="ok"):
        words = [word for option in options for word in ("-pkeyopt", option)]
        return getattr(self, run)("openssl", "genpkey", "-algorithm", "KMS-ENVELOPE", *words)

    def master(self):
        return f"master-key:local:{self.master_key}"

    def pkey(self, key, *options, run="ok", **more):
        return getattr(self, run)("openssl", "pkey", "-in", key, *options, **more)

    def seal(self, key, plaintext=EMAIL, *options):
        return self.ok("openssl", "pkeyutl", "-encrypt", "-inkey", key, *options, input=plaintext)

    def open(self, key, message, *options):
        return self.ok("openssl", "pkeyutl", "-decrypt", "-inkey", key, *options, input=message)

    def open_fails(self, key, message, *options):
        done = self.run("openssl", "pkeyutl", "-decrypt", "-inkey", key, *options, input=message)
        assert done.returncode == 1 and done.stdout == b"", (done.returncode, done.stdout)
        return done.stderr.decode()

    def list(self):
        lines = self.ok("openssl", "storeutl", "-noout", "kms-envelope:").decode().splitlines()
        if not lines:  # of nothing, OpenSSL from 3.5 on does not say the total
            return []
        names = [re.fullmatch(r"\d+: Name: (kms-envelope:.*)", line) for line in lines[:-1]]
        assert lines[-1] == f"Total found: {len(names)}"
        return [name.group(1) for name in names]


@pytest.fixture
def here(site):
    return KeySite(site.folder)


@pytest.fixture
def there(here, tmp_path):
    """Another machine: its own folder without a key, the same KMS."""
    folder = tmp_path / "there"
    (folder / "keys").mkdir(parents=True)
    (folder / "keys").chmod(0o700)
    made = KeySite(folder)
    made.master_key = here.master_key
    return made


# genpkey.


def test_genpkey_makes_a_key_as_the_tool_does(here):
    reference = here.genpkey("key:orders", here.master())
    assert reference.startswith(BEGIN)
    assert here.key_file("orders").stat().st_mode & 0o777 == 0o600
    assert "orders" in here.tool("status", "--keys", here.keys)
    here.rotate("orders")
    message = here.encrypt(EMAIL, "orders")
    assert version_of(message) == 2
    assert here.open("kms-envelope:orders", message) == EMAIL


def test_genpkey_takes_the_encryption_context(here):
    here.genpkey("key:orders", here.master(), "context:app=shop", "context:stage=prod")
    text = here.key_file("orders").read_text()
    assert '"app":\t"shop"' in text and '"stage":\t"prod"' in text


def test_genpkey_wraps_under_several_master_keys(here):
    here.genpkey("key:orders", here.master(), f"master-key:local:{here.folder}/second")
    text = here.pkey("kms-envelope:orders", "-text", "-noout").decode()
    assert re.findall(r"master key: local:.*/(.*)", text) == ["master-key", "second"]
    here.master_key.unlink()
    assert here.open("kms-envelope:orders", here.seal("kms-envelope:orders")) == EMAIL


def test_an_existing_key_is_never_overwritten(here):
    message = here.encrypt(EMAIL)
    before = here.key_file().read_bytes()
    error = here.genpkey("key:emails", here.master(), run="fails")
    assert "the key exists already" in error and "kms-envelope rotate emails" in error
    assert here.key_file().read_bytes() == before
    assert here.decrypt(message) == EMAIL


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "needs key:NAME (with openssl genpkey: -pkeyopt key:NAME)"),
        (["key:orders"], "needs master-key:URI"),
        (["key:orders", "key:other"], "given twice"),
        (["key:Orders"], "beginning with a letter or a digit"),
        (["key:../orders"], "beginning with a letter or a digit"),
        (["key:orders", "colour:red"], "colour"),
        (["key:orders", "context:shop"], "NAME=VALUE"),
        (["key:orders", "copies:maybe"], "yes or no"),
        (["key:orders", "master-key:vault:x"], "vault"),
    ],
)
def test_what_genpkey_does_not_understand_makes_no_key(here, options, words):
    assert words in here.genpkey(*options, run="fails")
    assert here.list() == ["kms-envelope:emails"]


def test_there_are_no_parameters_apart_from_a_key(here):
    error = here.fails("openssl", "genpkey", "-genparam", "-algorithm", "KMS-ENVELOPE")
    assert "no parameters apart from a key" in error


# storeutl.


def test_storeutl_lists_the_keys(here):
    here.create("orders")
    (here.keys / "notes.txt").write_text("no key")
    assert here.list() == ["kms-envelope:emails", "kms-envelope:orders"]


def test_storeutl_of_an_empty_folder_finds_nothing(there):
    assert there.list() == []


def test_storeutl_loads_a_key_and_shows_it(here):
    shown = here.ok("openssl", "storeutl", "-text", "-noout", "kms-envelope:emails").decode()
    assert "KMS-ENVELOPE key: emails" in shown and "Total found: 1" in shown
    assert b"Pkey" not in here.ok("openssl", "storeutl", "-certs", "kms-envelope:emails")


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("kms-envelope:missing", "missing.json: No such file or directory"),
        ("kms-envelope:EMAILS", "not a key's name"),
        ("kms-envelope:../keys/emails", "not a key's name"),
        ("kms-envelope:emails?version=7", "key emails: version 7; the newest is 1"),
        ("kms-envelope:emails?version=seven", "not what can be asked of a key"),
        ("kms-envelope:emails?colour=red", "not what can be asked of a key"),
        ("kms-envelope:emails\x1b[2J", "kms-envelope:emails?[2J"),
    ],
)
def test_a_key_that_cannot_be_loaded_is_named(here, uri, words):
    for command in (["storeutl", uri], ["pkey", "-in", uri], ["pkeyutl", "-encrypt", "-inkey", uri]):
        error = here.run("openssl", *command, input=b"")
        assert error.returncode == 1
        assert words in error.stderr.decode()


def test_a_damaged_key_file_is_told(here):
    here.key_file().write_text("{")
    error = here.fails("openssl", "storeutl", "kms-envelope:emails")
    assert "emails.json: not JSON; restore the file from a backup" in error


def test_loading_a_key_asks_no_kms(here):
    here.master_key.unlink()
    assert b"Version 1: active, encrypts" in here.pkey("kms-envelope:emails", "-text", "-noout")
    error = here.open_fails("kms-envelope:emails", b"K\0\0\1" + bytes(40))
    assert str(here.master_key) in error


# pkey.


def test_pkey_shows_versions_states_ages_and_master_keys(here):
    here.rotate()
    here.tool("rotate", "emails", "--keys", here.keys, "--active-in", "2h")
    here.tool("revoke", "emails", "--keys", here.keys, "--version", "1", "--yes")
    text = here.pkey("kms-envelope:emails", "-text", "-noout").decode()
    assert text.startswith("KMS-ENVELOPE key: emails\n    id: ")
    assert re.findall(r"^Version (\d): (.*)$", text, re.M) == [
        ("1", "revoked"), ("2", "active, encrypts"), ("3", "pending")]  # fmt: skip
    assert len(re.findall(r"^    created: \S+Z \(\d+[sm] old\)$", text, re.M)) == 3
    assert len(re.findall(r"^    active from: 20\S+Z$", text, re.M)) == 3
    assert text.count(f"    master key: local:{here.master_key}\n") == 3
    assert "    confined to version: 2\n" in here.pkey("kms-envelope:emails?version=2", "-text", "-noout").decode()


def test_pkey_checks_that_the_key_is_there(here):
    reference = here.pkey("kms-envelope:emails")
    check = ("openssl", "pkey", "-check", "-noout")
    assert b"Key is valid" in here.ok(*check, input=reference)
    here.key_file().unlink()
    assert "emails.json is not there" in here.run(*check, input=reference).stderr.decode()


def test_pkey_has_no_public_half_and_no_password(here):
    assert "no public half" in here.pkey("kms-envelope:emails", "-pubout", run="fails")
    out = here.folder / "key.pem"
    error = here.pkey("kms-envelope:emails", "-aes256", "-passout", "pass:x", "-out", out, run="fails")
    assert "has no password" in error
    assert not out.exists() or out.read_bytes() == b""


def test_pkey_knows_other_keys_as_before(here):
    rsa = here.ok("openssl", "genpkey", "-algorithm", "ED25519")
    assert here.ok("openssl", "pkey", input=rsa) == rsa
    both = here.folder / "both.pem"
    both.write_bytes(rsa + here.pkey("kms-envelope:emails") + rsa)
    assert b"Total found: 3" in here.ok("openssl", "storeutl", "-noout", both)


# Files.


@pytest.mark.parametrize("form", ["PEM", "DER"])
@pytest.mark.parametrize("query", ["", "?version=1", "?copies=yes", "?version=1&copies=yes"])
def test_a_key_comes_back_from_its_file(here, form, query):
    file = here.folder / "key"
    here.pkey("kms-envelope:emails" + query, "-outform", form, "-out", file)
    again = here.pkey(file, "-outform", form)
    assert again == file.read_bytes()
    assert here.open(file, here.encrypt(EMAIL)) == EMAIL


def test_a_file_has_no_data_key_and_copies_only_if_asked(here):
    blob = re.search(r'"blob":\s*"([^"]+)"', here.key_file().read_text()).group(1).encode()
    plain = here.pkey("kms-envelope:emails", "-outform", "DER")
    assert b"kms-envelope:emails" in plain and blob not in plain
    assert blob in here.pkey("kms-envelope:emails?copies=yes", "-outform", "DER")


def test_a_key_with_its_copies_works_on_another_machine(here, there):
    message = here.encrypt(EMAIL)
    file = here.folder / "key.pem"
    here.pkey("kms-envelope:emails?copies=yes", "-out", file)
    assert there.open(file, message) == EMAIL
    assert here.decrypt(there.seal(file)) == EMAIL
    assert there.list() == [], "reading a file makes no key in the folder"
    assert there.pkey(file) == file.read_bytes()


def test_copies_of_old_do_not_know_a_new_version(here, there):
    file = here.folder / "key.pem"
    here.pkey("kms-envelope:emails?copies=yes", "-out", file)
    here.rotate()
    message = here.encrypt(EMAIL)
    assert "key emails has no version 2 in the key file in the key" in there.open_fails(file, message)
    assert here.open(file, message) == EMAIL, "the folder's file is newer, and counts"


def test_a_reference_says_what_is_missing_on_another_machine(here, there):
    file = here.folder / "key.pem"
    message = here.encrypt(EMAIL)
    here.pkey("kms-envelope:emails", "-out", file)
    error = there.open_fails(file, message)
    assert f"{there.keys}/emails.json is not there" in error and "?copies=yes" in error
    there.create("emails")
    assert "is another key than the one" in there.open_fails(file, message)
    there.key_file().write_bytes(here.key_file().read_bytes())
    assert there.open(file, message) == EMAIL


def test_a_damaged_file_is_told(here):
    good = here.pkey("kms-envelope:emails?copies=yes").decode()
    lines = good.splitlines(keepends=True)
    for damaged, words in (
            ("".join(lines[:5] + lines[-1:]), "not a key as a file: not its DER"),
            ("".join(lines[:5]), "it ends before its end"),
            (good.replace(lines[3], lines[3].replace(lines[3][7], "*")), "not base64"),
            (lines[0] + lines[-1], "not base64")):  # fmt: skip
        error = here.fails("openssl", "pkey", "-noout", input=damaged.encode())
        assert words in error


# pkeyutl.


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 4096, 4097, 1 << 20])
def test_pkeyutl_and_enc_open_each_other_s_messages(here, size):
    plaintext = bytes(i * 7 & 0xFF for i in range(size))
    message = here.seal("kms-envelope:emails", plaintext)
    assert len(message) == size + 32 and version_of(message) == 1
    assert here.decrypt(message) == plaintext
    assert here.open("kms-envelope:emails", here.encrypt(plaintext)) == plaintext


def test_old_messages_open_after_a_rotation_and_a_confined_key_is_told(here):
    old = here.seal("kms-envelope:emails")
    here.rotate()
    new = here.seal("kms-envelope:emails")
    assert (version_of(old), version_of(new)) == (1, 2)
    assert here.open("kms-envelope:emails", old) == here.open("kms-envelope:emails", new) == EMAIL
    assert here.open("kms-envelope:emails?version=1", old) == EMAIL
    assert "confined to version 1" in here.open_fails("kms-envelope:emails?version=1", new)
    error = here.run("openssl", "pkeyutl", "-encrypt", "-inkey", "kms-envelope:emails?version=1", input=EMAIL)
    assert error.returncode == 1 and b"confined to version 1" in error.stderr


def test_no_byte_of_a_changed_message_comes_out(here):
    plaintext = EMAIL * 1000
    message = here.seal("kms-envelope:emails", plaintext)
    for at in (0, 3, 4, 15, 16, 5000, len(message) - 17, len(message) - 1):
        changed = bytearray(message)
        changed[at] ^= 1
        here.open_fails("kms-envelope:emails", bytes(changed))
    for cut in (0, 31, 32, len(message) - 1):
        here.open_fails("kms-envelope:emails", message[:cut])
    forged = b"K\0\0\1" + bytes(28)
    here.open_fails("kms-envelope:emails", forged)
    error = here.open_fails("kms-envelope:emails", message[:-1])
    assert "key emails, version 1" in error


def test_additional_data_belong_to_the_message(here):
    aad = ("-pkeyopt", "hexaad:" + b"row 42".hex())
    message = here.seal("kms-envelope:emails", EMAIL, *aad)
    assert here.open("kms-envelope:emails", message, *aad) == EMAIL
    here.open_fails("kms-envelope:emails", message)
    here.open_fails("kms-envelope:emails", message, "-pkeyopt", "aad:row 43")


def test_an_unknown_option_of_pkeyutl_fails(here):
    message = here.encrypt(EMAIL)
    assert "colour" in here.open_fails("kms-envelope:emails", message, "-pkeyopt", "colour:red")


def test_a_signature_is_nothing_that_this_key_can_do(here):
    done = here.run("openssl", "pkeyutl", "-sign", "-inkey", "kms-envelope:emails", input=bytes(32))
    assert done.returncode == 1 and done.stdout == b""
