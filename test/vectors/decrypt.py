#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An independent decryptor of KMS-ENVELOPE messages, from docs/format.md.

Run as a program it opens every message of messages.json, and sees that every
invalid one is refused for the reason that the file gives.
"""
import json
import pathlib
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def decrypt(data_key, key_id, message, aad=b""):
    """The plaintext, or a ValueError: "short", "format", "version", "tag"."""
    if len(message) < 32:
        raise ValueError("short")
    bound, nonce, body = message[:4], message[4:16], message[16:]
    if bound[0] != 0x4B:
        raise ValueError("format")
    if bound[1:] == bytes(3):
        raise ValueError("version")
    info = b"kms-envelope/1 message" + key_id + b"\0" + bound[1:]
    key = HKDF(SHA256(), 32, salt=None, info=info).derive(data_key)
    try:
        return AESGCM(key).decrypt(nonce, body,
                                   b"kms-envelope" + key_id + bound + aad)
    except InvalidTag:
        raise ValueError("tag") from None


def outcome(entry):
    try:
        return decrypt(*(bytes.fromhex(entry[field]) for field in
                         ("data_key", "id", "message", "aad"))).hex()
    except ValueError as error:
        return f"refused: {error}"


def main(path=pathlib.Path(__file__).with_name("messages.json")):
    vectors = json.loads(pathlib.Path(path).read_text())
    good, bad = vectors["messages"], vectors["invalid"]
    wrong = [e["name"] for e in good if outcome(e) != e["plaintext"]]
    wrong += [e["name"] for e in bad
              if outcome(e) != f"refused: {e['refusal']}"]
    print(f"{len(good)} messages opened, {len(bad)} refused" if not wrong else
          f"{len(wrong)} are not as messages.json says: {wrong}")
    return 1 if wrong or not good or not bad else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
