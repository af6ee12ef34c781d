# SPDX-License-Identifier: Apache-2.0
"""Our signatures and endpoints against botocore's, with requests never seen."""
import json
import os
import secrets
import subprocess
import sys

from conftest import BUILD, ROOT, TIMEOUT_S

VECTORS = ROOT / "test" / "vectors"
SIGNER = BUILD / "test" / "unit" / "test_sigv4"
REQUESTS = 300


def make(name, *words):
    """botocore's side; it finds a Python that has botocore by itself."""
    return subprocess.run(
        [sys.executable, str(VECTORS / name), *words],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def fresh_requests(path):
    seed = os.environ.get("KMSE_SEED", secrets.token_hex(8))
    print(f"KMSE_SEED={seed}")
    made = make("make_sigv4.py", seed, str(REQUESTS))
    assert made.returncode == 0, made.stderr.decode()
    path.write_bytes(made.stdout)
    return json.loads(made.stdout)


def judge(path):
    return subprocess.run([str(SIGNER), str(path)], capture_output=True, timeout=TIMEOUT_S, check=False)


def test_fresh_requests_are_signed_as_botocore_signs_them(tmp_path):
    file = tmp_path / "requests.json"
    whole = fresh_requests(file)
    assert len(whole["requests"]) == REQUESTS
    done = judge(file)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    assert f"{REQUESTS} requests" in done.stdout.decode()


def test_another_signature_is_noticed(tmp_path):
    """The judge can say no: one digit of one request is another."""
    file = tmp_path / "requests.json"
    whole = fresh_requests(file)
    last = whole["requests"][-1]
    digit = last["signature"][-1]
    last["signature"] = last["signature"][:-1] + ("0" if digit != "0" else "1")
    file.write_text(json.dumps(whole))
    done = judge(file)
    assert done.returncode != 0
    assert b"signature is" in done.stdout + done.stderr


def test_the_vectors_are_what_botocore_says():
    for maker in ("make_sigv4.py", "make_endpoints.py"):
        done = make(maker, "--check")
        assert done.returncode == 0, done.stderr.decode()
