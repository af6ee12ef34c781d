#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a message costs in programs that know nothing of it, as docs/programs.md
has it:
    python3 bench/programs.py [ROUNDS [MESSAGES]]
A ratio to AES-256-GCM in the same program and the same round, with a random IV
for each message, and the tag: to encrypt and to decrypt a message of 32 bytes.
The median of the rounds. Of openssl enc, which has no GCM, a file against
AES-256-CBC, by the time its process takes.
"""
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = pathlib.Path(os.environ.get("KMSE_BUILD", ROOT / "build" / "release"))
LOOPS = ROOT / "bench" / "programs"
FILE_BYTES = 1 << 18
# Each writes a line a round: nanoseconds of ours and of GCM, to seal and open.
PROGRAMS = {
    "php": ("php", LOOPS / "loop.php"),
    "ruby": ("ruby", LOOPS / "loop.rb"),
    "node-debian": (ROOT / "build" / "nodes" / "debian" / "node", LOOPS / "loop.js"),
    "node-upstream": (ROOT / "build" / "nodes" / "upstream" / "node", LOOPS / "loop.js"),
    "lua": ("lua5.4", LOOPS / "loop.lua"),
}


def environment(folder):
    """A key named emails, and an openssl.cnf with it."""
    configuration = folder / "openssl.cnf"
    configuration.write_text(f"""\
openssl_conf = init
nodejs_conf = init
[init]
providers = providers
[providers]
default = default_section
kms-envelope = kms_envelope_section
[default_section]
activate = 1
[kms_envelope_section]
module = {BUILD}/kms-envelope.so
activate = 1
keys = {folder}/keys
default-key = emails
""")
    create = ("create", "emails", "--keys", folder / "keys", "--master-key", f"local:{folder}/master-key")
    subprocess.run([BUILD / "kms-envelope", *create], check=True, capture_output=True)
    return {**os.environ, "OPENSSL_CONF": str(configuration)}


def program_ratios(command, rounds, messages, env):
    """(encrypt, decrypt)."""
    words = [str(word) for word in (*command, rounds, messages)]
    out = subprocess.run(words, check=True, capture_output=True, text=True, env=env).stdout
    times = [[int(word) for word in line.split()] for line in out.splitlines()]
    return [statistics.median(line[i] / max(line[i + 2], 1) for line in times) for i in (0, 1)]


def enc_seconds(folder, env, *words):
    start = time.monotonic()
    command = ("openssl", "enc", *words, "-in", folder / "plain", "-out", folder / "sealed")
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL, env=env)
    return time.monotonic() - start


def enc_ratio(folder, rounds, messages, env):
    (folder / "plain").write_bytes(bytes(FILE_BYTES * messages // 100))
    cbc = ("-aes-256-cbc", "-K", "00" * 32, "-iv", "00" * 16)
    ours = ("-kms-envelope", "-K", "0")
    pairs = [(enc_seconds(folder, env, *ours), enc_seconds(folder, env, *cbc)) for _ in range(rounds)]
    return statistics.median(one / other for one, other in pairs)


def main():
    given = [int(word) for word in sys.argv[1:3]]
    rounds, messages = given + [31, 20000][len(given) :]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        env = environment(folder)
        print(f"{'openssl enc':14} {enc_ratio(folder, rounds, messages, env):.2f}")
        for label, command in PROGRAMS.items():
            if shutil.which(command[0]) is None:
                print(f"{label:14} is not here")
                continue
            encrypt, decrypt = program_ratios(command, rounds, messages, env)
            print(f"{label:14} {encrypt:.2f} {decrypt:.2f}")


if __name__ == "__main__":
    main()
