# SPDX-License-Identifier: Apache-2.0
"""The kill switch: a version that may have leaked is used for nothing more."""
import json
import os
import pty
import random
import shutil
import signal
import subprocess
import time

import pytest

from conftest import TOOL, version_of
from doubles.agent_client import Refused
from evp_programs import LOOP, MESSAGE, Program, decrypt, decrypt_fails, encrypt, encrypt_fails

USAGE = 2
KEY_VERSION_REVOKED = 49
REVOKED = "the key version is revoked: key emails, version 1"


@pytest.fixture
def start(site):
    started = []

    def start_one(path):
        started.append(Program(site, path))
        return started[-1]

    yield start_one
    for program in started:
        program.end()


def revoke(site, version, *more):
    return site.tool("revoke", "emails", "--keys", site.keys, "--version", str(version), "--yes", *more)


def a_second_later(since):
    time.sleep(max(0, since + 1 - time.monotonic()))


def versions(site):
    return json.loads(site.tool("status", "emails", "--keys", site.keys, "--json"))["keys"][0]["versions"]


def states(site):
    return [version["state"] for version in versions(site)]


# Running programs.


def test_eight_processes_stop_within_a_second(site, start):
    message = encrypt(site)
    loops = [start(LOOP) for _ in range(8)]
    for loop in loops:
        assert loop.decrypt(message) == "anna"
        assert version_of(loop.encrypt()) == 1

    assert revoke(site, 1, "--rotate").splitlines() == [
        "emails: version 1 is revoked",
        "emails: version 2 encrypts from now on",
    ]
    a_second_later(time.monotonic())
    for loop in loops:
        assert REVOKED in loop.fails(f"decrypt {message.hex()}")
        fresh = loop.encrypt()
        assert version_of(fresh) == 2
        assert loop.decrypt(fresh) == "anna"


def test_a_message_under_way_ends_at_its_next_call(site, start):
    message = encrypt(site, "a" * 100)
    calls = {
        "encrypt, then Update": ("encrypt", "00" * 50, "update 00"),
        "encrypt, then Final": ("encrypt", "00" * 50, "final"),
        "decrypt, then Update": ("decrypt", message[:90].hex(), f"update {message[90:].hex()}"),
        "decrypt, then Final": ("decrypt", message.hex(), "final"),
    }
    programs = {what: start(MESSAGE) for what in calls}
    for what, (begin, first, _) in calls.items():
        programs[what].ok(begin)
        programs[what].ok(f"update {first}")

    revoke(site, 1, "--rotate")
    a_second_later(time.monotonic())
    for what, (_, _, following) in calls.items():
        assert REVOKED in programs[what].fails(following), what
        # And is at its end.
        programs[what].fails("final")
    writer = programs["encrypt, then Final"]
    writer.ok("encrypt")
    fresh = bytes.fromhex(writer.ok(f"update {b'anna'.hex()}") + writer.ok("final"))
    assert version_of(fresh) == 2
    assert decrypt(site, fresh) == "anna"


def test_a_message_of_another_version_goes_on(site, start):
    site.rotate()
    program = start(MESSAGE)
    program.ok("encrypt")
    begun = program.ok(f"update {b'anna'.hex()}")
    revoke(site, 1)
    a_second_later(time.monotonic())
    whole = bytes.fromhex(begun + program.ok(f"update {b'bert'.hex()}") + program.ok("final"))
    assert decrypt(site, whole) == "annabert"


def test_undone_everything_opens_again(site, start):
    message = encrypt(site)
    loop = start(LOOP)
    loop.decrypt(message)
    revoke(site, 1, "--rotate")
    assert REVOKED in decrypt_fails(site, message)
    a_second_later(time.monotonic())
    loop.fails(f"decrypt {message.hex()}")

    assert revoke(site, 1, "--undo") == "emails: version 1 is active\n"
    assert decrypt(site, message) == "anna"
    assert version_of(encrypt(site)) == 2
    a_second_later(time.monotonic())
    assert loop.decrypt(message) == "anna"


# A host with an agent.


def test_eight_processes_of_an_agent_stop_within_a_second(agent_site):
    application = agent_site.application()
    with agent_site.agent() as agent:
        programs = [Program(application, LOOP) for _ in range(8)]
        message = programs[0].encrypt()
        for program in programs:
            assert program.decrypt(message) == "anna"
        revoke(agent_site, 1, "--rotate")
        a_second_later(time.monotonic())
        for program in programs:
            assert REVOKED in program.fails(f"decrypt {message.hex()}")
            assert version_of(program.encrypt()) == 2
            program.end()
        with pytest.raises(Refused, match="key emails, version 1") as refused:
            agent.fetch(version=1)
        assert refused.value.reason == KEY_VERSION_REVOKED


def test_an_old_key_file_is_of_no_use_past_max_age(agent_site):
    """An application has a copy of the folder, which nobody brought up to date."""
    old = agent_site.folder / "old-keys"
    shutil.copytree(agent_site.keys, old)
    application = agent_site.application(keys=old, max_age="2s")
    with agent_site.agent():
        program = Program(application, LOOP)
        message = program.encrypt()
        revoke(agent_site, 1, "--rotate")
        time.sleep(2.5)
        assert "the key version is revoked" in program.fails(f"decrypt {message.hex()}")
        assert "the key version is revoked" in program.fails("encrypt anna")
        program.end()


# The tool.


def test_what_encrypts_is_not_revoked_without_a_successor(site):
    before = site.key_file().read_bytes()
    error = site.fails(TOOL, "revoke", "emails", "--keys", site.keys, "--version", "1", "--yes")
    assert "version 1 is the one that encrypts" in error
    assert "--rotate" in error and "kms-envelope rotate emails" in error
    assert site.key_file().read_bytes() == before
    site.rotate()
    assert revoke(site, 1) == "emails: version 1 is revoked\n"
    assert states(site) == ["revoked", "active"]


def test_status_and_doctor_tell(site):
    revoke(site, 1, "--rotate")
    table = site.tool("status", "--keys", site.keys)
    assert [line.split()[1:3] for line in table.splitlines()[1:3]] == [["1", "revoked"], ["*2", "active"]]
    doctor = site.tool("doctor")
    assert "note     emails version 1 is revoked" in doctor
    assert "every copy of 2 versions unwraps" in doctor


def test_a_revoked_version_made_active_by_hand_is_found(site):
    revoke(site, 1, "--rotate")
    text = site.key_file().read_text()
    site.key_file().write_text(text.replace('"revoked"', '"active"'))
    assert "does not fit its MAC" in encrypt_fails(site)


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["--version", "1"], USAGE, "--yes is needed"),
        (["--yes"], USAGE, "--version N is missing"),
        (["--yes", "--version", "0"], USAGE, "--version 0"),
        (["--yes", "--version", "16777216"], USAGE, "--version 16777216"),
        (["--yes", "--version", "1x"], USAGE, "--version 1x"),
        (["--yes", "--version", "1", "--undo", "--rotate"], USAGE, "only one of them"),
        (["--yes", "--version", "7", "--rotate"], 1, "versions 1 to 1"),
    ],
)
def test_what_is_not_meant_is_not_done(site, words, code, complaint):
    before = site.key_file().read_bytes()
    error = site.fails(TOOL, "revoke", "emails", "--keys", site.keys, *words, code=code, input=b"emails\n")
    assert complaint in error
    assert site.key_file().read_bytes() == before


def on_a_terminal(site, typed, *words):
    """The exit code and stderr of revoke, of somebody who types that."""
    ours, its = pty.openpty()
    try:
        process = subprocess.Popen(
            [str(TOOL), "revoke", "emails", "--keys", str(site.keys), "--version", "1", *words],
            stdin=its, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=site.environment,
        )  # fmt: skip
        os.write(ours, typed)
        _, error = process.communicate(timeout=60)
    finally:
        os.close(ours)
        os.close(its)
    return process.returncode, error.decode()


@pytest.mark.parametrize("typed", [b"yes\n", b"\n", b"email\n", b"emails2\n", b"\x04"])
def test_on_a_terminal_the_key_s_name_is_asked_for(site, typed):
    before = site.key_file().read_bytes()
    code, error = on_a_terminal(site, typed, "--rotate")
    assert code == 1
    assert "Type the key's name" in error and "nothing was changed" in error
    assert site.key_file().read_bytes() == before


def test_who_types_it_means_it(site):
    code, error = on_a_terminal(site, b"emails\n", "--rotate")
    assert code == 0, error
    assert "will not open" in error
    assert states(site) == ["revoked", "active"]
    code, error = on_a_terminal(site, b"emails\n", "--undo")
    assert code == 0, error
    assert "will use it again" in error
    assert states(site) == ["active", "active"]


def test_without_its_master_key_nothing_is_changed(site):
    site.rotate()
    before = site.key_file().read_bytes()
    away = site.master_key.rename(site.folder / "away")
    for more in ([], ["--rotate"], ["--undo"]):
        error = site.fails(TOOL, "revoke", "emails", "--keys", site.keys, "--version", "1", "--yes", *more)
        assert str(site.master_key) in error
    assert site.key_file().read_bytes() == before
    away.rename(site.master_key)
    revoke(site, 1)


def test_many_at_once_make_one_successor(site):
    words = ["revoke", "emails", "--keys", site.keys, "--version", "1", "--rotate", "--yes"]
    started = [site.start(TOOL, *words) for _ in range(8)]
    for process in started:
        _, error = process.communicate(timeout=60)
        assert process.returncode == 0, error
    assert states(site) == ["revoked", "active"]


# Killed at any moment.


def test_killed_at_any_moment_it_is_done_or_not(site):
    chance = random.Random(4)
    messages = {1: encrypt(site, "1")}
    start = time.monotonic()
    revoke(site, 1, "--rotate")
    whole = time.monotonic() - start
    messages[2] = encrypt(site, "2")
    killed = 0
    for _ in range(120):
        before = states(site)
        last = len(before)
        process = site.start(
            TOOL, "revoke", "emails", "--keys", site.keys, "--version", str(last), "--rotate", "--yes"
        )
        time.sleep(chance.uniform(0, 1.2 * whole))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        after = states(site)
        assert after in (before, [*before[:-1], "revoked", "active"]), "something in between"
        if after != before:
            messages[last + 1] = encrypt(site, str(last + 1))
            assert version_of(messages[last + 1]) == last + 1
    assert killed > 30, "most runs ended before they were killed"
    assert len(messages) > 10, "hardly a run came to its end"
    for number, message in messages.items():
        if number < len(messages):
            revoke(site, number, "--undo")
        assert decrypt(site, message) == str(number)
    assert sorted(path.name for path in site.keys.iterdir()) == [".emails.lock", "emails.json"]
