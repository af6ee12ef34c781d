# SPDX-License-Identifier: Apache-2.0
"""A user of OpenSSL 3.5 or newer names the key in words: openssl enc and skeyutl with -skeyopt, -skeyuri from 4.0 on."""
import pathlib
import shutil
import subprocess

import pytest

from conftest import version_of
from test_documents import EMAIL, fenced, literal, session

since_3_5 = pytest.mark.since("3.5")
since_4_0 = pytest.mark.since("4.0")
pytestmark = [pytest.mark.matrix, since_3_5]

CIPHERS = ["-kms-envelope", "-kms-envelope-stream"]
SKEYUTL = ("openssl", "skeyutl", "-genkey", "-skeymgmt", "KMS-ENVELOPE")


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("size", [0, 1, 32, 33, 4096, 8193, 1 << 18])
def test_a_file_is_encrypted_under_the_key_of_that_name(site, cipher, size):
    site.create("orders")
    plaintext = bytes(i * 7 & 0xFF for i in range(size))
    enc = ("openssl", "enc", cipher, "-skeyopt", "key:orders")
    message = site.ok(*enc, input=plaintext)
    assert site.ok(*enc, "-d", input=message) == plaintext
    assert site.ok("openssl", "enc", "-d", cipher, "-K", site.enc_key("orders"), input=message) == plaintext


def test_the_key_manager_may_be_named(site):
    enc = ("openssl", "enc", "-kms-envelope", "-skeymgmt", "KMS-ENVELOPE", "-skeyopt", "key:emails")
    assert site.decrypt(site.ok(*enc, input=b"anna"), "emails") == b"anna"


def test_a_version_may_be_asked_for(site):
    enc = ("openssl", "enc", "-kms-envelope", "-skeyopt", "key:emails", "-skeyopt")
    old = site.ok(*enc, "version:1", input=b"anna")
    assert version_of(old) == 1
    site.rotate()
    assert site.ok(*enc, "version:1", "-d", input=old) == b"anna"
    assert "version is 1" in site.fails(*enc, "version:2", "-d", input=old)
    assert "version is 2" in site.fails(*enc, "version:1", input=b"anna")
    assert "version 3; the newest is 2" in site.fails(*enc, "version:3", input=b"anna")


def test_a_key_that_does_not_exist_is_named(site):
    error = site.fails("openssl", "enc", "-kms-envelope", "-skeyopt", "key:nobody", input=b"x")
    assert "nobody" in error and str(site.keys) in error and "kms-envelope create nobody" in error


def test_a_key_in_bytes_is_not_taken(site):
    error = site.fails("openssl", "enc", "-kms-envelope", "-skeyopt", "hexraw-bytes:00112233", input=b"x")
    assert "Parameter unknown" in error


def test_skeyutl_says_which_key_it_is(site):
    said = site.ok(*SKEYUTL, "-skeyopt", "key:emails").decode()
    assert "kms-envelope:emails" in said
    said = site.ok(*SKEYUTL, "-skeyopt", "key:emails", "-skeyopt", "version:1").decode()
    assert "kms-envelope:emails?version=1" in said
    assert [file.name for file in site.keys.glob("*.json")] == ["emails.json"]


def test_skeyutl_makes_a_key_with_a_master_key(site):
    making = (*SKEYUTL, "-skeyopt", "key:orders", "-skeyopt", f"master-key:local:{site.master_key}")
    assert "kms-envelope:orders" in site.ok(*making).decode()
    assert site.decrypt(site.encrypt(b"anna", "orders"), "orders") == b"anna"
    before = site.key_file("orders").read_bytes()
    assert "exists" in site.fails(*making)
    assert site.key_file("orders").read_bytes() == before


@pytest.mark.parametrize("options", [[], ["-skeyopt", "bogus:1"], ["-skeyopt", "version:1"]])
def test_skeyutl_without_a_name_makes_nothing(site, options):
    """Of a parameter that it does not know it says so, and goes on without any."""
    before = sorted(site.keys.iterdir())
    assert "the key's name is missing" in site.fails(*SKEYUTL, *options)
    assert sorted(site.keys.iterdir()) == before


def test_the_key_manager_is_listed(site):
    listed = site.ok("openssl", "list", "-skey-managers").decode()
    assert "KMS-ENVELOPE @ kms-envelope" in listed
    assert "KMS-ENVELOPE-STREAM @ kms-envelope" in listed


# Stores.


@since_4_0
@pytest.mark.parametrize("cipher", CIPHERS)
def test_a_file_is_encrypted_under_the_key_of_a_uri(site, cipher):
    enc = ("openssl", "enc", cipher, "-skeyuri")
    message = site.ok(*enc, "kms-envelope:emails", input=b"anna")
    site.rotate()
    assert site.ok(*enc, "kms-envelope:emails", "-d", input=message) == b"anna"
    assert site.ok(*enc, "kms-envelope:emails?version=1", "-d", input=message) == b"anna"
    assert "version is 1" in site.fails(*enc, "kms-envelope:emails?version=2", "-d", input=message)


@since_4_0
def test_storeutl_finds_the_key_as_both_kinds_of_object(site):
    assert b"Symmetric key" in site.ok("openssl", "storeutl", "-skeys", "kms-envelope:emails")
    other = site.ok("openssl", "storeutl", "-noout", "kms-envelope:emails")
    assert b"Pkey" in other and b"Symmetric" not in other


@since_4_0
def test_a_uri_of_no_key_is_named(site):
    error = site.fails("openssl", "enc", "-kms-envelope", "-skeyuri", "kms-envelope:nobody", input=b"x")
    assert "nobody" in error and "kms-envelope create nobody" in error


# The manual page.

PAGE = ("EVP_CIPHER-KMS-ENVELOPE.7", "EVP_SKEY")
C_AROUND = """\
#include <openssl/core_dispatch.h>
#include <openssl/evp.h>
#include <openssl/params.h>
void begin(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher, char *name);
void begin(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher, char *name)
{
%s
}
"""


def test_the_c_of_the_manual_page_compiles():
    code, _, _ = literal(*PAGE)
    headers = pathlib.Path(shutil.which("openssl")).parents[1] / "root" / "usr" / "include"
    gcc = ["gcc", "-std=c11", "-Wall", "-Wextra", "-Wno-unused-result", "-Werror", "-fsyntax-only"]
    done = subprocess.run(
        [*gcc, "-isystem", headers, "-x", "c", "-"],
        input=C_AROUND % code, capture_output=True, check=False, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def type_in(folder, block):
    return session(folder, [fenced("sh")[0][1], f"echo {EMAIL} > file", block])[-1].splitlines()


def test_the_examples_of_the_manual_page(tmp_path):
    _, options, _ = literal(*PAGE)
    printed = type_in(tmp_path, options)
    assert printed[0] == EMAIL
    assert "kms-envelope:customer-emails" in printed[1]


@since_4_0
def test_the_examples_of_the_manual_page_with_the_store(tmp_path):
    _, _, uris = literal(*PAGE)
    assert type_in(tmp_path, uris) == [EMAIL, "0: Symmetric key", "Total found: 1"]
