# SPDX-License-Identifier: Apache-2.0
"""The end of a version: its rows are counted, it is retired, held, destroyed."""
import base64
import json
import os
import pty
import random
import re
import signal
import subprocess
import time

import pytest

from conftest import BUILD, TOOL, version_of
from doubles.agent_client import Refused
from evp_programs import LOOP, Program, decrypt, decrypt_fails, encrypt

AGE = BUILD / "test" / "integration" / "age_key"
USAGE = 2
DAY_S = 86400
KEY_VERSION_RETIRED, KEY_VERSION_DESTROYED = 43, 44
RETIRED = "the key version is retired: key emails, version 1"
DESTROYED = "the key version is destroyed: key emails, version 1"


@pytest.fixture
def start(site):
    started = []

    def start_one():
        started.append(Program(site, LOOP))
        return started[-1]

    yield start_one
    for program in started:
        program.end()


@pytest.fixture
def rows(site):
    """A folder of rows, of which one is of version 1; version 2 encrypts, since an hour."""
    folder = site.folder / "rows"
    (folder / "more").mkdir(parents=True)
    (folder / "old").write_bytes(encrypt(site, "old"))
    site.rotate()
    (folder / "more" / "new").write_bytes(encrypt(site, "new"))
    later(site, 3600)
    return folder


def later(site, seconds, name="emails"):
    site.ok(AGE, site.keys, name, seconds)


def words(site, verb, version, *more):
    return [verb, "emails", "--keys", site.keys, "--version", version, *more]


def do(site, verb, version, *more):
    return site.tool(*words(site, verb, version, *more))


def refused(site, verb, version, *more):
    """It fails, and the key file stays as it was; what it says."""
    before = site.key_file().read_bytes()
    error = site.fails(TOOL, *words(site, verb, version, *more))
    assert site.key_file().read_bytes() == before
    return error


def census(site, *more, **options):
    done = site.ok(TOOL, "census", "emails", "--keys", site.keys, "--json", *more, **options)
    return json.loads(done.decode())


def found(site, *more, **options):
    """(rows of version 1, 2, ...; of versions that the key does not have; others)."""
    counted = census(site, *more, **options)
    return [v["rows"] for v in counted["versions"]], counted["unknown-versions"], counted["other"]


def record(site, path, scope="the folder of rows"):
    assert census(site, path, "--record", scope)["recorded"]


def reencrypt(site, folder):
    old = folder / "old"
    old.write_bytes(encrypt(site, decrypt(site, old.read_bytes())))


def status(site):
    return json.loads(site.tool("status", "emails", "--keys", site.keys, "--json"))["keys"][0]


def states(site):
    return [version["state"] for version in status(site)["versions"]]


def a_second_later(since):
    time.sleep(max(0, since + 1 - time.monotonic()))


def retire_it(site, folder):
    reencrypt(site, folder)
    record(site, folder)
    return do(site, "retire", 1)


def destroy_it(site, folder):
    retire_it(site, folder)
    later(site, 30 * DAY_S)
    return do(site, "destroy", 1, "--yes")


# The whole life.


def test_a_version_ends_step_by_step(site, rows):
    backup = (rows / "old").read_bytes()
    record(site, rows)
    error = refused(site, "retire", 1)
    assert "version 1 has rows: 1 of the folder of rows" in error and "re-encrypt" in error
    assert retire_it(site, rows) == "emails: version 1 is retired\n"
    assert RETIRED in decrypt_fails(site, backup) and "kms-envelope undo" in decrypt_fails(site, backup)

    assert "is held until" in refused(site, "destroy", 1, "--yes")
    later(site, 30 * DAY_S - 60)
    assert "is held until" in refused(site, "destroy", 1, "--yes")
    later(site, 60)
    assert do(site, "destroy", 1, "--yes") == "emails: version 1 is destroyed\n"
    assert DESTROYED in decrypt_fails(site, backup)
    assert "no wrapped copy" in refused(site, "undo", 1)
    assert DESTROYED in refused(site, "retire", 1)
    assert status(site)["versions"][0]["copies"] == []
    assert [decrypt(site, (rows / row).read_bytes()) for row in ("old", "more/new")] == ["old", "new"]


def test_the_key_goes_on_with_a_destroyed_version(site, rows):
    destroy_it(site, rows)
    assert "1 made" in site.tool("rewrap", "emails", "--keys", site.keys)
    site.tool("rewrap", "emails", "--keys", site.keys, "--add", f"local:{site.folder}/second")
    site.rotate()
    assert version_of(encrypt(site)) == 3
    assert decrypt(site, (rows / "old").read_bytes()) == "old"
    doctor = site.tool("doctor")
    assert "every copy of 2 versions unwraps, the MAC is right (others are destroyed)" in doctor
    assert states(site) == ["destroyed", "active", "active"]


def test_the_newest_and_what_encrypts_stay(site, rows):
    reencrypt(site, rows)
    record(site, rows)
    assert "version 2 is the one that encrypts" in refused(site, "retire", 2)
    site.rotate("emails", "--active-in", "1h")
    record(site, rows)
    assert "version 2 is the one that encrypts" in refused(site, "retire", 2)
    assert "version 3 is the newest" in refused(site, "retire", 3)
    assert "is not retired" in refused(site, "destroy", 1, "--yes")


def test_a_census_is_needed_that_is_late_enough(site):
    site.rotate()
    assert "key emails has no census" in refused(site, "retire", 1)
    empty = site.folder / "empty"
    empty.mkdir()
    record(site, empty)
    assert "the census of the folder of rows began at" in refused(site, "retire", 1)
    later(site, 61)
    assert "take one that begins at" in refused(site, "retire", 1)
    record(site, empty)
    do(site, "retire", 1)


def test_every_place_must_have_been_counted(site, rows):
    record(site, rows, "another place")
    reencrypt(site, rows)
    record(site, rows)
    assert "1 of another place" in refused(site, "retire", 1)
    forgotten = site.tool("census", "emails", "--keys", site.keys, "--forget", "another place")
    assert forgotten == "emails: no census of another place any more\n"
    do(site, "retire", 1)


def test_the_policy_says_how_long(site, rows):
    said = site.tool("policy", "emails", "--keys", site.keys, "--destroy-after", "2d", "--census-fence", "2h")
    assert said.endswith(", destroy-after 2d, census-fence 2h\n")
    reencrypt(site, rows)
    record(site, rows)
    assert "begins at" in refused(site, "retire", 1)
    later(site, 3600)
    retire_it(site, rows)
    later(site, DAY_S)
    assert "is held until" in refused(site, "destroy", 1, "--yes")
    later(site, DAY_S)
    do(site, "destroy", 1, "--yes")


# Running programs.


def test_running_programs_see_it_within_a_second(site, rows, start):
    message = (rows / "old").read_bytes()
    loops = [start() for _ in range(4)]
    for loop in loops:
        assert loop.decrypt(message) == "old"
    retire_it(site, rows)
    a_second_later(time.monotonic())
    for loop in loops:
        assert RETIRED in loop.fails(f"decrypt {message.hex()}")
        assert version_of(loop.encrypt()) == 2

    assert do(site, "undo", 1) == "emails: version 1 is active\n"
    a_second_later(time.monotonic())
    for loop in loops:
        assert loop.decrypt(message) == "old"
        assert version_of(loop.encrypt()) == 2

    assert "take one that begins at" in refused(site, "retire", 1)
    later(site, 1)
    record(site, rows)
    do(site, "retire", 1)
    later(site, 30 * DAY_S)
    do(site, "destroy", 1, "--yes")
    a_second_later(time.monotonic())
    for loop in loops:
        assert DESTROYED in loop.fails(f"decrypt {message.hex()}")
        assert loop.decrypt((rows / "old").read_bytes()) == "old"


def test_so_do_those_of_an_agent(agent_site):
    application = agent_site.application()
    folder = agent_site.folder / "rows"
    folder.mkdir()
    with agent_site.agent() as agent:
        programs = [Program(application, LOOP) for _ in range(4)]
        message = programs[0].encrypt()
        agent_site.rotate()
        later(agent_site, 3600)
        record(agent_site, folder)
        do(agent_site, "retire", 1)
        a_second_later(time.monotonic())
        for program in programs:
            assert RETIRED in program.fails(f"decrypt {message.hex()}")
            assert version_of(program.encrypt()) == 2
        with pytest.raises(Refused, match="key emails, version 1") as no:
            agent.fetch(version=1)
        assert no.value.reason == KEY_VERSION_RETIRED

        do(agent_site, "undo", 1)
        a_second_later(time.monotonic())
        assert [program.decrypt(message) for program in programs] == ["anna"] * 4

        later(agent_site, 60)
        record(agent_site, folder)
        do(agent_site, "retire", 1)
        later(agent_site, 30 * DAY_S)
        do(agent_site, "destroy", 1, "--yes")
        a_second_later(time.monotonic())
        for program in programs:
            assert DESTROYED in program.fails(f"decrypt {message.hex()}")
            fresh = program.encrypt()
            assert version_of(fresh) == 2 and program.decrypt(fresh) == "anna"
            program.end()
        with pytest.raises(Refused, match="key emails, version 1") as no:
            agent.fetch(version=1)
        assert no.value.reason == KEY_VERSION_DESTROYED


# What status and doctor tell.


def test_status_and_doctor_tell(site, rows):
    retire_it(site, rows)
    table = site.tool("status", "--keys", site.keys)
    assert re.search(r"\bretired .* held for (29|30)d\b", table)
    assert "emails: census of the folder of rows, " in table and ": 0 of version 1, 2 of version 2" in table
    assert "note     emails version 1 is retired, and held until" in site.tool("doctor")
    key = status(site)
    assert key["destroy-after-seconds"] == 30 * DAY_S and key["census-fence-seconds"] == 60
    (only,) = key["censuses"]
    assert only["scope"] == "the folder of rows" and only["tool"].startswith("kms-envelope ")
    assert only["found"] == [{"version": 1, "rows": 0}, {"version": 2, "rows": 2}] and only["other"] == 0
    assert key["versions"][0]["retired"] and key["versions"][0]["held-until"] > key["versions"][0]["retired"]

    later(site, 30 * DAY_S)
    assert "held no more" in site.tool("status", "--keys", site.keys)
    assert "may be destroyed" in site.tool("doctor")
    do(site, "destroy", 1, "--yes")
    assert status(site)["versions"][0]["destroyed"]


def test_rows_that_came_back_are_found(site, rows):
    backup = (rows / "old").read_bytes()
    retire_it(site, rows)
    (rows / "restored").write_bytes(backup)
    record(site, rows)
    found_it = site.run(TOOL, "doctor")
    assert found_it.returncode == 1
    assert b"version 1 is retired, and the census of the folder of rows found 1 rows" in found_it.stdout
    assert b"kms-envelope undo emails --version 1" in found_it.stdout
    later(site, 30 * DAY_S)
    assert "version 1 has rows: 1 of the folder of rows" in refused(site, "destroy", 1, "--yes")
    do(site, "undo", 1)
    assert decrypt(site, backup) == "old"


def test_what_is_changed_by_hand_is_found(site, rows):
    retire_it(site, rows)
    original = site.key_file().read_text()
    for old, new in (
        ('"retired",', '"active",'),
        ("[0, 2]", "[0, 3]"),
        ("the folder of rows", "the folder of raws"),
        ('"policy":\t{', '"policy":\t{"destroy-after": 1'),
    ):
        assert old in original
        content = original.replace(old, new, 1)
        if new == '"active",':
            content = "\n".join(line for line in content.splitlines() if '"retired":' not in line)
        site.key_file().write_text(content)
        assert "does not fit its MAC" in refused(site, "undo", 1), new
    site.key_file().write_text(original)
    do(site, "undo", 1)


# Whoever destroys means it.


def on_a_terminal(site, typed):
    """The exit code and stderr of destroy, of somebody who types that."""
    ours, its = pty.openpty()
    try:
        process = subprocess.Popen(
            [str(TOOL), *map(str, words(site, "destroy", 1))],
            stdin=its, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=site.environment,
        )  # fmt: skip
        os.write(ours, typed)
        _, error = process.communicate(timeout=60)
    finally:
        os.close(ours)
        os.close(its)
    return process.returncode, error.decode()


def test_on_a_terminal_the_key_s_name_is_asked_for(site, rows):
    retire_it(site, rows)
    code, error = on_a_terminal(site, b"emails\n")
    assert code == 1 and "is held until" in error and "Type" not in error, "what is refused is not asked for"
    later(site, 30 * DAY_S)
    before = site.key_file().read_bytes()
    for typed in (b"yes\n", b"\n", b"email\n", b"emails2\n", b"\x04"):
        code, error = on_a_terminal(site, typed)
        assert code == 1 and "will never open again" in error and "nothing was changed" in error
        assert site.key_file().read_bytes() == before
    code, error = on_a_terminal(site, b"emails\n")
    assert code == 0, error
    assert states(site) == ["destroyed", "active"]


@pytest.mark.parametrize(
    ("command", "code", "complaint"),
    [
        (["destroy", "emails", "--version", "1"], USAGE, "--yes is needed"),
        (["destroy", "emails", "--yes"], USAGE, "--version N is missing"),
        (["retire", "emails"], USAGE, "--version N is missing"),
        (["retire", "emails", "--version", "7"], 1, "versions 1 to 1"),
        (["undo", "emails", "--version", "7"], 1, "versions 1 to 1"),
        (["destroy", "emails", "--version", "7", "--yes"], 1, "versions 1 to 1"),
        (["census", "emails"], USAGE, "PATH is missing"),
        (["census", "emails", "x", "--forget", "x"], USAGE, "--forget"),
        (["census", "emails", "x", "--record", "a\nb"], USAGE, "--record"),
        (["census", "emails", "x", "--record", ""], USAGE, "--record"),
        (["census", "emails", "x", "--encoding", "utf8"], USAGE, "--encoding utf8"),
        (["census", "emails", "x", "--column", "0"], USAGE, "--column 0"),
        (["census", "emails", "x", "--column", "a", "--encoding", "binary"], USAGE, "CSV is text"),
        (["census", "emails", "nowhere"], 1, "nowhere: No such file"),
        (["census", "emails", "--forget", "nothing"], 1, "no census of nothing"),
        (["policy", "emails", "--census-fence", "4s"], USAGE, "--census-fence 4s"),
        (["policy", "emails", "--destroy-after", "0"], USAGE, "--destroy-after 0"),
    ],
)
def test_what_is_not_meant_is_not_done(site, command, code, complaint):
    before = site.key_file().read_bytes()
    error = site.fails(TOOL, *command, "--keys", site.keys, code=code, input=b"emails\n")
    assert complaint in error
    assert site.key_file().read_bytes() == before


# Counting.


@pytest.fixture
def messages(site):
    """Of version 1, 1, 2."""
    made = [encrypt(site, "1"), encrypt(site, "1")]
    site.rotate()
    return [*made, encrypt(site, "2")]


def test_files_in_folders_are_counted(site, messages):
    folder = site.folder / "many"
    for number, message in enumerate(messages * 5):
        path = folder / str(number % 3) / f".{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(message)
    (folder / "empty").write_bytes(b"")
    (folder / "note").write_text("hello")
    (folder / "short").write_bytes(messages[0][:3])
    os.mkfifo(folder / "pipe")
    (folder / "gone").symlink_to("nowhere")
    assert found(site, folder) == ([10, 5], 0, 2)
    assert found(site, folder / "0", folder / "note") == ([5, 0], 0, 1)
    # A census would rather count a row twice than not at all.
    (folder / "link").symlink_to("0/.0")
    assert found(site, folder) == ([11, 5], 0, 2)
    (folder / "round").symlink_to(".")
    assert "Too many levels" in site.fails(TOOL, "census", "emails", folder, "--keys", site.keys)


def test_lines_are_counted(site, messages):
    encoded = [base64.b64encode(message) for message in messages]
    text = b"\n".join(encoded) + b"\n\nhello\nSw==\n"
    assert found(site, "-", "--encoding", "base64", input=text) == ([2, 1], 0, 2)
    assert found(site, "-", "--encoding", "base64", input=text.replace(b"\n", b"\r\n").rstrip()) == ([2, 1], 0, 2)
    digits = "\n".join(
        form(message.hex()) for form, message in zip((str, str.upper, "\\x{}".format), messages, strict=True)
    )
    assert found(site, "-", "--encoding", "hex", input=digits.encode()) == ([2, 1], 0, 0)


def test_a_column_of_csv_is_counted(site, messages):
    first, second, third = (base64.b64encode(message).decode() for message in messages)
    path = site.folder / "users.csv"
    path.write_text(
        f'id,"the ""mail""\n, of them",name\n1,{first},"a,b"\n2,"{second}","x\n{third}"\n3,,none\n4,{third},\n',
        newline="",
    )
    name = 'the "mail"\n, of them'
    assert found(site, path, "--column", name) == ([2, 1], 0, 0)
    assert found(site, path, "--column", "2") == ([2, 1], 0, 1), "by number the first row is one"
    path.write_text(path.read_text().replace("4,", "4\n5,"))
    error = site.fails(TOOL, "census", "emails", path, "--column", "2", "--keys", site.keys)
    assert "users.csv: row 5: it has no such column" in error
    error = site.fails(TOOL, "census", "emails", path, "--column", "mail", "--keys", site.keys)
    assert "no column has that name" in error


def test_versions_that_the_key_does_not_have_are_told(site, messages):
    path = site.folder / "of-another"
    path.write_bytes(b"\x4b\x00\x00\x09" + messages[0][4:])
    assert found(site, path) == ([0, 0], 1, 0)
    error = site.fails(TOOL, "census", "emails", path, "--keys", site.keys, "--record", "x")
    assert "1 rows are of version 9" in error and "versions 1 to 2" in error
    assert status(site)["censuses"] == []


def test_what_was_read_in_a_wrong_way_is_not_recorded(site, messages):
    path = site.folder / "lines"
    path.write_bytes(base64.b64encode(messages[0]))
    for more in ((), ("--encoding", "hex")):
        error = site.fails(TOOL, "census", "emails", path, "--keys", site.keys, "--record", "x", *more)
        assert "not one of 1 rows is a message: is the encoding right" in error
    assert status(site)["censuses"] == []


# Killed at any moment.


def allowed(before, verb, number):
    """The states that a verb for that version may leave."""
    to = {"retire": "retired", "undo": "active", "destroy": "destroyed"}[verb]
    return [before, [*before[: number - 1], to, *before[number:]]]


def test_killed_at_any_moment_it_is_done_or_not(site):
    chance = random.Random(6)
    empty = site.folder / "empty"
    empty.mkdir()
    last = 5
    messages = [encrypt(site, "1")]
    for number in range(2, last + 1):
        site.rotate()
        messages.append(encrypt(site, str(number)))
    later(site, 3600)
    begun = time.monotonic()
    record(site, empty)
    whole = time.monotonic() - begun
    killed = done = 0

    def try_to(*command):
        """Killed somewhere: whether it came to its end."""
        nonlocal killed
        process = site.start(TOOL, *command)
        time.sleep(chance.uniform(0, 1.1 * whole))
        process.send_signal(signal.SIGKILL)
        _, error = process.communicate()
        killed += process.returncode == -signal.SIGKILL
        assert process.returncode in (0, -signal.SIGKILL), error.decode()

    def try_and_do(verb, number, *more):
        nonlocal done
        before = states(site)
        try_to(*words(site, verb, number, *more))
        after = states(site)
        assert after in allowed(before, verb, number), "something in between"
        done += after != before
        do(site, verb, number, *more)

    for turn in range(200):
        number = turn % (last - 2) + 2
        later(site, 2)
        try_to("census", "emails", empty, "--keys", site.keys, "--record", "the folder of rows")
        record(site, empty)
        try_and_do("retire", number)
        try_and_do("undo", number)
        if killed >= 100:
            break
    assert killed >= 100, "most runs ended before they were killed"
    for number in range(1, last):
        later(site, 2)
        record(site, empty)
        do(site, "retire", number)
    later(site, 31 * DAY_S)
    for number in range(1, last):
        for _ in range(5):
            before = states(site)
            try_to(*words(site, "destroy", number, "--yes"))
            assert states(site) in allowed(before, "destroy", number), "something in between"
        do(site, "destroy", number, "--yes")
    assert done > 5, "hardly a run came to its end"
    assert decrypt(site, messages[-1]) == str(last)
    assert states(site) == ["destroyed"] * (last - 1) + ["active"]
    assert sorted(path.name for path in site.keys.iterdir()) == [".emails.lock", "emails.json"]
