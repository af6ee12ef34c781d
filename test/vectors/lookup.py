#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An independent reader of KMS-ENVELOPE-SIV messages and maker of
KMS-ENVELOPE-INDEX values, from docs/format.md, over the AES-SIV, HKDF and HMAC
of python3-cryptography.

Run as a program it opens and makes all of lookup.json, and sees that every
invalid message is refused for the reason that the file gives.
"""
import json
import pathlib
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.constant_time import bytes_eq
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def derive(label, data_key, key_id, version, length):
    info = label + key_id + version.to_bytes(4, "big")
    return HKDF(SHA256(), length, salt=None, info=info).derive(data_key)


def tag_of_nothing(key, associated):
    """S2V(associated, ""): python3-cryptography refuses to encrypt nothing."""
    def cmac(data):
        made = CMAC(algorithms.AES(key[:32]))
        made.update(data)
        return int.from_bytes(made.finalize(), "big")

    def double(n):
        return (n << 1) % (1 << 128) ^ (0x87 if n >> 127 else 0)

    d = double(double(cmac(bytes(16))) ^ cmac(associated))
    made = CMAC(algorithms.AES(key[:32]))
    made.update((d ^ 1 << 127).to_bytes(16, "big"))
    return made.finalize()


def decrypt(data_key, key_id, message, aad=b""):
    """The plaintext, or a ValueError: "short", "format", "version", "tag"."""
    if len(message) < 20:
        raise ValueError("short")
    bound, body = message[:4], message[4:]
    if bound[0] != 0xC4:
        raise ValueError("format")
    if bound[1:] == bytes(3):
        raise ValueError("version")
    key = derive(b"kms-envelope/1 siv", data_key, key_id,
                 int.from_bytes(bound[1:], "big"), 64)
    associated = b"kms-envelope" + key_id + bound + aad
    if len(body) == 16:
        if not bytes_eq(tag_of_nothing(key, associated), body):
            raise ValueError("tag")
        return b""
    try:
        return AESSIV(key).decrypt(body, [associated])
    except InvalidTag:
        raise ValueError("tag") from None


def index(data_key, key_id, version, data, size=16):
    made = HMAC(derive(b"kms-envelope/1 index", data_key, key_id, version, 32),
                SHA256())
    made.update(data)
    return made.finalize()[:size]


def outcome(entry):
    try:
        return decrypt(*(bytes.fromhex(entry[field]) for field in
                         ("data_key", "id", "message", "aad"))).hex()
    except ValueError as error:
        return f"refused: {error}"


def value(entry):
    return index(bytes.fromhex(entry["data_key"]), bytes.fromhex(entry["id"]),
                 entry["version"], bytes.fromhex(entry["data"]),
                 entry["size"]).hex()


def main(path=pathlib.Path(__file__).with_name("lookup.json")):
    vectors = json.loads(pathlib.Path(path).read_text())
    good, bad = vectors["siv"], vectors["siv-invalid"]
    values = vectors["index"]
    wrong = [e["name"] for e in good if outcome(e) != e["plaintext"]]
    wrong += [e["name"] for e in bad
              if outcome(e) != f"refused: {e['refusal']}"]
    wrong += [e["name"] for e in values if value(e) != e["value"]]
    print(f"{len(good)} messages opened, {len(bad)} refused, {len(values)} "
          "values made" if not wrong else
          f"{len(wrong)} are not as lookup.json says: {wrong}")
    return 1 if wrong or not good or not bad or not values else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
