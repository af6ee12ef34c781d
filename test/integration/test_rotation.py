# SPDX-License-Identifier: Apache-2.0
"""An administrator rotates and rewraps; nothing that was written is lost."""
import json
import random
import signal
import subprocess
import time

import pytest

from conftest import TOOL, version_of

# Reads a line, encrypts it, prints hex; "open HEX" decrypts instead.
WORKER = r"""
while (($line = fgets(STDIN)) !== false) {
    $words = explode(' ', trim($line));
    $out = $words[0] === 'open'
        ? openssl_decrypt(hex2bin($words[1]), 'kms-envelope', 'emails', OPENSSL_RAW_DATA)
        : bin2hex(openssl_encrypt($words[0], 'kms-envelope', 'emails', OPENSSL_RAW_DATA));
    if ($out === false) {
        $out = 'error ' . openssl_error_string();
    }
    echo $out, "\n";
}
"""


class Worker:
    """A program that was running before, and goes on."""

    def __init__(self, site, php):
        self.process = site.start(php, "-r", WORKER)

    def ask(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().decode().strip()

    def encrypt(self, text="anna"):
        return bytes.fromhex(self.ask(text))

    def decrypt(self, message):
        return self.ask(f"open {message.hex()}")

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=10) == 0, self.process.stderr.read()


@pytest.fixture
def worker(site, program):
    started = Worker(site, program("php"))
    yield started
    started.end()


@pytest.mark.parametrize("rotations", [1, 2, 20])
def test_old_messages_open_and_new_ones_are_tagged(site, rotations):
    messages = [site.encrypt(b"version 1")]
    for number in range(2, rotations + 2):
        assert f"version {number} encrypts from now on" in site.rotate()
        messages.append(site.encrypt(b"version %d" % number))
    for number, message in enumerate(messages, 1):
        assert version_of(message) == number
        assert site.decrypt(message) == b"version %d" % number


def test_a_running_program_sees_it_within_a_second(site, worker):
    assert version_of(worker.encrypt()) == 1
    for number in (2, 3):
        site.rotate()
        start = time.monotonic()
        while version_of(worker.encrypt()) != number:
            # The provider's second, and some of the scheduler's.
            assert time.monotonic() - start < 1.5, "the rotation was not seen"
            time.sleep(0.02)


def test_a_running_program_opens_a_version_it_never_saw(site, worker):
    assert version_of(worker.encrypt()) == 1
    site.rotate()
    message = site.encrypt(b"from another process")
    assert version_of(message) == 2
    assert worker.decrypt(message) == "from another process"


def test_a_version_waits_for_its_time(site, worker):
    site.rotate("emails", "--active-in", "2s")
    start = time.monotonic()
    assert "pending" in site.tool("status", "--keys", site.keys)
    assert version_of(worker.encrypt()) == 1
    assert version_of(site.encrypt(b"anna")) == 1
    while version_of(worker.encrypt()) == 1:
        assert time.monotonic() - start < 4.5
        time.sleep(0.05)
    # Times in key files are whole seconds: it may be one early.
    assert time.monotonic() - start > 0.9
    assert worker.decrypt(site.encrypt(b"anna")) == "anna"


def test_rewrapping_leaves_the_data_alone(site):
    messages = [site.encrypt(b"1")]
    site.rotate()
    messages.append(site.encrypt(b"2"))
    before = json.loads(site.key_file().read_text())
    site.tool("rotate-master", f"local:{site.master_key}")
    site.tool("rewrap", "emails", "--keys", site.keys)
    after = json.loads(site.key_file().read_text())
    assert [site.decrypt(message) for message in messages] == [b"1", b"2"]
    for old, new in zip(before["versions"], after["versions"], strict=True):
        assert old["copies"][0]["blob"] != new["copies"][0]["blob"]
        assert old["commitment"] == new["commitment"]
    assert before["mac"] == after["mac"]


def test_rewrapping_moves_to_another_master_key(site):
    message = site.encrypt(b"anna")
    other = site.folder / "other-master-key"
    site.tool("rewrap", "emails", "--keys", site.keys, "--to", f"local:{other}")
    site.master_key.unlink()
    assert site.decrypt(message) == b"anna"
    site.rotate()
    assert version_of(site.encrypt(b"anna")) == 2
    assert not site.master_key.exists()


def test_without_its_master_key_nothing_is_written_or_lost(site):
    message = site.encrypt(b"anna")
    away = site.master_key.rename(site.folder / "away")
    before = site.key_file().read_bytes()
    for verb in (["rotate"], ["rewrap"]):
        error = site.fails(TOOL, *verb, "emails", "--keys", site.keys)
        assert str(site.master_key) in error and "backup" in error
    assert str(site.master_key) in site.decrypt_fails(message)
    assert site.key_file().read_bytes() == before
    away.rename(site.master_key)
    assert site.decrypt(message) == b"anna"


def test_many_rotate_at_the_same_time(site):
    many = 8
    started = [site.start(TOOL, "rotate", "emails", "--keys", site.keys) for _ in range(many)]
    numbers = set()
    for process in started:
        out, error = process.communicate(timeout=60)
        assert process.returncode == 0, error
        numbers.add(out.split()[2])
    assert numbers == {b"%d" % number for number in range(2, many + 2)}
    assert version_of(site.encrypt(b"anna")) == many + 1


# Killed at any moment.


def kill_at(site, seconds, *command):
    process = subprocess.Popen(
        [str(word) for word in command],
        env=site.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    return process.wait()


def run_time(site, *command):
    start = time.monotonic()
    site.ok(*command)
    return time.monotonic() - start


def versions(site, name="emails"):
    return json.loads(site.tool("status", name, "--keys", site.keys, "--json"))["keys"][0]["versions"]


def test_rotate_killed_at_200_moments_loses_nothing(site):
    rotate = (TOOL, "rotate", "emails", "--keys", site.keys)
    whole = run_time(site, *rotate)
    chance = random.Random(1)
    messages = {1: None}
    killed = 0
    for _ in range(200):
        before = len(versions(site))
        if kill_at(site, chance.uniform(0, 1.2 * whole), *rotate) == -signal.SIGKILL:
            killed += 1
        after = len(versions(site))
        assert after in (before, before + 1), "neither the old file nor the new one"
        if after not in messages:
            messages[after] = site.encrypt(b"%d" % after)
            assert version_of(messages[after]) == after
    assert killed > 50, "most runs ended before they were killed"
    assert len(messages) > 10, "hardly a run came to its end"
    messages.pop(1)
    for number, message in messages.items():
        assert site.decrypt(message) == b"%d" % number
    site.rotate()  # what the killed ones left behind is in nobody's way
    assert sorted(path.name for path in site.keys.iterdir()) == [".emails.lock", "emails.json"]


def test_rewrap_killed_at_any_moment_loses_nothing(site):
    messages = [site.encrypt(b"anna")]
    site.rotate()
    messages.append(site.encrypt(b"anna"))
    rewrap = (TOOL, "rewrap", "emails", "--keys", site.keys)
    whole = run_time(site, *rewrap)
    chance = random.Random(2)
    for _ in range(40):
        kill_at(site, chance.uniform(0, 1.2 * whole), *rewrap)
        assert [site.decrypt(message) for message in messages] == [b"anna"] * 2


def test_create_killed_at_any_moment_can_be_repeated(empty_site):
    site = empty_site
    site.create("first")
    chance = random.Random(3)
    for i in range(40):
        name = f"key-{i}"
        create = (TOOL, "create", name, "--keys", site.keys, "--master-key", f"local:{site.master_key}")
        kill_at(site, chance.uniform(0, 0.012), *create)
        if not site.key_file(name).exists():
            site.create(name)
        assert site.decrypt(site.encrypt(b"anna", name), name) == b"anna"
