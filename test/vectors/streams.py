#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An independent decryptor of KMS-ENVELOPE-STREAM, from docs/format.md.

Run as a program it opens every stream of streams.json, and sees that of every
invalid one as much comes out as the file says, and then a refusal.
"""
import json
import pathlib
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

FRAME, HEADER, TAG = 4096, 16, 12


def open_frame(key, number, frame, aad):
    nonce = number.to_bytes(12, "big")
    mode = modes.GCM(nonce, frame[-TAG:], min_tag_length=TAG)
    decryptor = Cipher(algorithms.AES(key), mode).decryptor()
    decryptor.authenticate_additional_data(aad)
    return decryptor.update(frame[:-TAG]) + decryptor.finalize()


def decrypt(data_key, key_id, stream, aad=b""):
    """Pieces of plaintext, as they are verified; at last perhaps a ValueError:
    "short", "format", "version", "tag", "truncated".
    """
    if len(stream) < HEADER:
        raise ValueError("short")
    bound, salt = stream[:4], stream[4:HEADER]
    if bound[0] != 0xD3:
        raise ValueError("format")
    if bound[1:] == bytes(3):
        raise ValueError("version")
    info = b"kms-envelope/1 stream" + key_id + b"\0" + bound[1:] + salt
    key = HKDF(SHA256(), 32, salt=None, info=info).derive(data_key)
    prefix = b"kms-envelope" + key_id + bound
    # A frame shorter than the others is the last; there is always one.
    for number, at in enumerate(range(0, len(stream) + 1, FRAME)):
        frame = stream[at:at + FRAME]
        if number == 0:
            frame = frame[HEADER:]
        if len(frame) < TAG:
            raise ValueError("truncated")
        try:
            yield open_frame(key, number, frame,
                             prefix + (aad if number == 0 else b""))
        except InvalidTag:
            raise ValueError("tag") from None


def outcome(entry):
    """What came out, in hex, and the refusal, or None."""
    plaintext = b""
    try:
        for piece in decrypt(*(bytes.fromhex(entry[field]) for field in
                               ("data_key", "id", "stream", "aad"))):
            plaintext += piece
    except ValueError as error:
        return plaintext.hex(), str(error)
    return plaintext.hex(), None


def main(path=pathlib.Path(__file__).with_name("streams.json")):
    vectors = json.loads(pathlib.Path(path).read_text())
    good, bad = vectors["streams"], vectors["invalid"]
    wrong = [e["name"] for e in good if outcome(e) != (e["plaintext"], None)]
    wrong += [e["name"] for e in bad
              if (len(outcome(e)[0]) // 2, outcome(e)[1])
              != (e["released"], e["refusal"])]
    print(f"{len(good)} streams opened, {len(bad)} refused" if not wrong else
          f"{len(wrong)} are not as streams.json says: {wrong}")
    return 1 if wrong or not good or not bad else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
