# SPDX-License-Identifier: Apache-2.0
"""A user encrypts files and pipes with the unmodified openssl command."""
import pytest

from conftest import version_of

pytestmark = pytest.mark.matrix

SIZES = [0, 1, 15, 16, 31, 32, 33, 4095, 4096, 4097, 8191, 8192, 8193, 1 << 20]


@pytest.mark.parametrize("size", SIZES)
def test_a_file_of_any_size_comes_back(site, size):
    plaintext = bytes(i * 7 & 0xFF for i in range(size))
    message = site.encrypt(plaintext)
    assert len(message) == size + 32
    assert version_of(message) == 1
    assert site.decrypt(message) == plaintext


def test_base64_and_odd_buffer_sizes(site):
    plaintext = b"0123456789abcdef" * 1000 + b"x"
    for bufsize in ("1", "17", "4096", "65536"):
        text = site.ok("openssl", "enc", "-kms-envelope", "-K", "0", "-a", "-bufsize", bufsize, input=plaintext)
        back = site.ok("openssl", "enc", "-d", "-kms-envelope", "-K", "0", "-a", "-bufsize", bufsize, input=text)
        assert back == plaintext


def test_the_key_is_named_in_hex(site):
    site.create("orders")
    message = site.encrypt(b"anna", "orders")
    assert site.decrypt(message, "orders") == b"anna"
    assert "not made with this key and AAD" in site.decrypt_fails(message, "emails")


def test_a_key_that_does_not_exist_is_named(site):
    error = site.fails("openssl", "enc", "-kms-envelope", "-K", site.enc_key("nobody"), input=b"x")
    assert "nobody" in error and str(site.keys) in error and "kms-envelope create" in error


def test_a_password_is_refused_and_not_used_as_a_key(site):
    error = site.fails("openssl", "enc", "-kms-envelope", "-pass", "pass:secret", "-pbkdf2", input=b"x")
    assert "-K" in error and "not a password" in error


def test_a_real_aes_key_is_refused_and_not_printed(site):
    key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
    error = site.fails("openssl", "enc", "-kms-envelope", "-K", key, input=b"x")
    assert "must be a key's name" in error
    assert key[4:20] not in error.lower()


def test_every_byte_that_is_changed_makes_it_fail(site):
    message = site.encrypt(b"anna@example.org")
    for i in range(len(message)):
        bad = bytearray(message)
        bad[i] ^= 1
        done = site.run("openssl", "enc", "-d", "-kms-envelope", "-K", "0", input=bytes(bad))
        assert done.returncode == 1
        assert done.stdout == b"", "a short field is never released unverified"


def test_a_message_of_an_unknown_version_says_so(site):
    message = bytearray(site.encrypt(b"anna"))
    message[3] = 9
    error = site.decrypt_fails(bytes(message))
    assert "emails" in error and "version 9" in error


def test_plain_text_is_told_from_a_message(site):
    error = site.decrypt_fails(b"this was never encrypted by anybody at all")
    assert "not a message" in error or "format" in error


def test_the_cipher_is_listed(site):
    assert b"KMS-ENVELOPE @ kms-envelope" in site.ok("openssl", "list", "-cipher-algorithms")
    listed = site.ok("openssl", "list", "-providers", "-verbose").decode()
    assert "kms-envelope" in listed and "status: active" in listed


def test_other_algorithms_go_on_working(site):
    assert site.ok("openssl", "dgst", "-sha256", input=b"x").strip().endswith(b"4881")
