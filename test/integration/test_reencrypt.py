# SPDX-License-Identifier: Apache-2.0
"""Rows of real databases move to the newest version, and none is ever lost."""
import json
import os
import random
import resource
import signal
import subprocess
import threading
import time
import uuid

import psycopg2
import pytest

from aws_site import sanitizers
from conftest import TIMEOUT_S, TOOL, version_of
from database_site import ENCODINGS, Application, database, mariadb, mariadb_server, postgres, postgres_server, served, sqlite  # noqa: F401


def versions(site):
    """{version: rows}"""
    counts = {}
    for version, _ in site.users().values():
        counts[version] = counts.get(version, 0) + 1
    return counts


def check_texts(site, count):
    assert [text for _, (_, text) in sorted(site.users().items())] == [f"user{i}@example.org" for i in range(count)]


# --- what it does ---------------------------------------------------------------


def test_rows_move_to_the_newest_version(database):
    database.make_users(300)
    database.site.rotate()
    assert "300 rows, 300 of older versions" in database.reencrypt("--dry-run", "--batch", 7)
    assert versions(database) == {1: 300}
    assert "300 rows, 300 re-encrypted\n" in database.reencrypt("--batch", 7)
    assert versions(database) == {2: 300}
    check_texts(database, 300)
    assert "300 rows, 0 re-encrypted, 300 of the newest version\n" in database.reencrypt()
    assert "300 rows, 0 of older versions, 300 of the newest version\n" in database.reencrypt("--verify")


def test_many_threads_and_connections_do_the_same(database):
    database.make_users(500)
    database.site.rotate()
    assert "500 rows, 500 re-encrypted\n" in database.reencrypt("--batch", 10, "--jobs", 4)
    check_texts(database, 500)


def test_a_condition_says_which_rows(database):
    database.make_users(20)
    database.site.rotate()
    assert "5 rows, 5 re-encrypted" in database.reencrypt("--where", "id < 5 -- not more")
    assert versions(database) == {1: 15, 2: 5}


def test_null_is_passed_over_and_other_values_are_not_ours(database):
    database.make_users(10)
    database.run("INSERT INTO users VALUES (100, NULL)")
    for number, value in ((101, b""), (102, b"hello"), (103, bytes(64))):
        database.run("INSERT INTO users VALUES (?, ?)", number, value)
    database.site.rotate()
    assert "13 rows, 10 re-encrypted, 3 not ours\n" in database.reencrypt()
    assert database.run("SELECT email FROM users WHERE id = 102") == [(b"hello",)]


KEYS = {
    "bigint": ("id BIGINT", [(-(2**63),), (0,), (7,), (2**63 - 1,)]),
    "uuid": ("id UUID", [(str(uuid.UUID(int=number * 2**100)),) for number in range(4)]),
    "text": ("id KEY_TEXT", [("",), ("O'Brien",), ('a"b\\c\n{d}',), ("ä ☃",), ("%s ?",)]),
    "composite": ("id INT, part KEY_TEXT", [(1, "a"), (1, "b"), (2, "a"), (2, ",")]),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("key", KEYS)
def test_keys_and_encodings(database, key, encoding):
    """Each row is bound to its key by AAD: a row that is taken for another does not open."""
    columns, rows = KEYS[key]
    columns = columns.replace("KEY_TEXT", database.server.key_text)
    names = [column.split()[0] for column in columns.split(", ")]
    encode, decode = ENCODINGS[encoding]
    database.run(
        f"CREATE TABLE users ({columns}, email {database.server.binary if encoding == 'binary' else 'TEXT'},"
        f" PRIMARY KEY ({', '.join(names)}))"
    )

    def aad(row):
        return "/".join(map(str, row)).encode()

    for row in rows:
        message = encode(database.application.encrypt(b"anna", aad(row)))
        database.run(f"INSERT INTO users VALUES ({', '.join('?' * (len(row) + 1))})", *row, message)
    database.site.rotate()
    out = database.reencrypt(
        "--aad", "/".join("{%s}" % name for name in names), "--encoding", encoding, "--batch", 1
    )
    assert f"{len(rows)} rows, {len(rows)} re-encrypted\n" in out
    found = database.run(f"SELECT {', '.join(names)}, email FROM users")
    assert sorted(line[:-1] for line in found) == sorted(rows)
    for *row, value in found:
        message = decode(value)
        assert version_of(message) == 2
        assert database.application.decrypt(message, aad(row)) == b"anna"


def test_text_of_other_programs_is_read(database):
    """Lines of base64, as PostgreSQL and MariaDB write them; hex in capitals."""
    long = database.application.encrypt(b"a" * 200)
    lines = ENCODINGS["base64"][0](long)
    lines = "\n".join(lines[i : i + 76] for i in range(0, len(lines), 76))
    database.run("CREATE TABLE users (id INT PRIMARY KEY, email TEXT, other TEXT)")
    database.run("INSERT INTO users VALUES (1, ?, ?)", lines, long.hex().upper())
    database.site.rotate()
    words = ("--aad", "no {{columns}}", "--table", "users", "--column")
    assert "1 UNREADABLE" in database.site.run(*database.words(*words, "email")).stdout.decode()
    assert "1 rows, 1 re-encrypted\n" in database.site.ok(
        TOOL, "reencrypt", "--keys", database.site.keys, "--database", database.server.url, "--table", "users",
        "--column", "email", "--table", "users", "--column", "other", "--encoding", "hex",
    ).decode()
    [(email, other)] = database.run("SELECT email, other FROM users")
    assert other == other.upper()
    for message in (ENCODINGS["base64"][1](email), bytes.fromhex(other)):
        assert version_of(message) == 2
        assert database.application.decrypt(message) == b"a" * 200


def test_a_job_file_names_several_columns(database):
    site = database.site
    site.create("phones")
    phones = Application(site, "phones")
    database.make_users(30)
    database.run("CREATE TABLE calls (a INT, b INT, number TEXT, PRIMARY KEY (a, b))")
    for number in range(20):
        message = phones.encrypt(b"555", b"%d-%d" % (number // 4, number % 4))
        database.run("INSERT INTO calls VALUES (?, ?, ?)", number // 4, number % 4, message.hex())
    site.rotate()
    site.rotate("phones")
    job = site.folder / "job.cnf"
    job.write_text(f"""
        [job]
        database = {database.server.url}
        keys = {site.keys}
        batch = 4
        [column 1 e-mails]
        table = users
        column = email
        aad = users.email:{{id}}
        [column 2 phones]
        table = calls
        column = number
        encoding = hex
        key = phones
        aad = {{a}}-{{b}}
        """)
    out = site.ok(TOOL, "reencrypt", "--job", job).decode()
    assert out == "users.email: 30 rows, 30 re-encrypted\ncalls.number: 20 rows, 20 re-encrypted\n"
    assert versions(database) == {2: 30}
    for a, b, number in database.run("SELECT a, b, number FROM calls"):
        assert number.startswith("4b000002")
        assert phones.decrypt(bytes.fromhex(number), b"%d-%d" % (a, b)) == b"555"
    phones.end()


def test_what_programs_are_told(database):
    database.make_users(5)
    database.site.rotate()
    events = [json.loads(line) for line in database.reencrypt("--json").splitlines()]
    assert [event["event"] for event in events] == ["done"]
    assert events[0].items() >= {"column": "users.email", "rows": 5, "reencrypted": 5, "unreadable": 0}.items()


def test_a_terminal_has_a_bar(sqlite):
    sqlite.make_users(200)
    sqlite.site.rotate()
    ours, its = os.openpty()
    with subprocess.Popen(
        [str(word) for word in sqlite.words("--batch", 10, "--rate", 150)],
        stdout=subprocess.PIPE, stderr=its, env=sqlite.site.environment,
    ) as process:  # fmt: skip
        os.close(its)
        seen = b""
        try:
            while more := os.read(ours, 4096):
                seen += more
        except OSError:  # the terminal is gone: so is the program
            pass
        assert b"200 re-encrypted" in process.stdout.read()
    os.close(ours)
    assert process.returncode == 0
    assert b"\rusers.email  [#" in seen and b"/s  0:0" in seen and b" left\x1b[K" in seen
    # And the line is clear again, for what comes.
    assert seen.endswith(b"\r\x1b[K")


# --- rows that do not open ------------------------------------------------------


def damage(database, number):
    [(message,)] = database.run("SELECT email FROM users WHERE id = ?", number)
    damaged = message[:-1] + bytes([message[-1] ^ 1])
    database.run("UPDATE users SET email = ? WHERE id = ?", damaged, number)
    return damaged


def test_a_damaged_row_is_listed_and_left(database):
    database.make_users(50)
    damaged = damage(database, 17)
    # Of another row: its AAD says so. And the tag of no version that there is.
    [(other,)] = database.run("SELECT email FROM users WHERE id = 3")
    database.run("UPDATE users SET email = ? WHERE id = 4", other)
    unknown = b"Karl@example.org, a plaintext that looks as if it had a tag"
    database.run("UPDATE users SET email = ? WHERE id = 5", unknown)
    database.site.rotate()
    done = database.site.run(*database.words("--batch", 10))
    assert done.returncode == 1
    assert "50 rows, 47 re-encrypted, 3 UNREADABLE" in done.stdout.decode()
    error = done.stderr.decode()
    assert "users.email: id=17: the message was not made with this key and AAD, or was changed" in error
    assert "users.email: id=4: the message was not made" in error
    assert "users.email: id=5: the key has no such version" in error
    assert "Karl" not in error and damaged.hex() not in error
    assert dict(database.run("SELECT id, email FROM users WHERE id IN (4, 5, 17)")) == {
        4: other, 5: unknown, 17: damaged,
    }
    events = [json.loads(line) for line in database.site.run(*database.words("--json")).stdout.splitlines()]
    assert [event["key"] for event in events[:-1]] == [{"id": "4"}, {"id": "5"}, {"id": "17"}]
    assert events[-1]["unreadable"] == 3


def test_verify_opens_every_row_and_writes_none(database):
    database.make_users(20)
    database.site.rotate()
    database.reencrypt()
    damage(database, 9)
    before = database.run("SELECT id, email FROM users ORDER BY id")
    assert "20 rows, 0 re-encrypted, 20 of the newest" in database.reencrypt()
    done = database.site.run(*database.words("--verify"))
    assert (done.returncode, b"19 of the newest version, 1 UNREADABLE" in done.stdout) == (1, True)
    assert database.run("SELECT id, email FROM users ORDER BY id") == before


# --- what is refused, before a row changes --------------------------------------


@pytest.mark.parametrize(
    "words, error",
    [
        (("--table", "people", "--column", "email"), "there is no table people"),
        (("--table", "users", "--column", "mail"), "users has no column mail"),
        (("--table", "users", "--column", "email", "--primary-key", "number"), "users has no column number"),
        (("--table", "users", "--column", "email", "--primary-key", "email"), "no unique index"),
        (("--table", "users", "--column", "email", "--aad", "{name}"), "{name} is no column of the primary key"),
        (("--table", "users", "--column", "email", "--aad", "{id"), "a { without its column"),
        (("--table", "users", "--column", "email", "--key", "nobody"), "the key is not found"),
        (("--table", "users", "--column", "email", "--where", "nothing = 1"), "nothing"),
        (("--table", "users"), "column is missing"),
        (("--batch", "0"), "--batch = 0: must be a number of 1 to 100000"),
    ],
)
def test_what_is_wrong_is_named(database, words, error):
    """The first column is right, and stays as it is all the same."""
    database.make_users(5)
    database.site.rotate()
    assert error in database.reencrypt_fails(*words)
    assert versions(database) == {1: 5}


def test_what_may_not_be_written_is_not_begun(postgres):
    postgres.make_users(5)
    postgres.site.rotate()
    postgres.run("DROP ROLE IF EXISTS reader")
    postgres.run("CREATE ROLE reader LOGIN")
    words = [word.replace("admin@", "reader@") if isinstance(word, str) else word for word in postgres.words()]
    postgres.run("GRANT USAGE ON SCHEMA public TO reader")
    assert "reader may not SELECT users.email" in postgres.site.fails(*words)
    postgres.run("GRANT SELECT ON users TO reader")
    assert "reader may not UPDATE users.email" in postgres.site.fails(*words)
    assert "5 of older versions" in postgres.site.ok(*words, "--dry-run").decode()
    postgres.run("GRANT UPDATE (email) ON users TO reader")
    postgres.run("ALTER TABLE users ENABLE ROW LEVEL SECURITY")
    assert "row-level security" in postgres.site.fails(*words)
    postgres.run("ALTER TABLE users DISABLE ROW LEVEL SECURITY")
    assert versions(postgres) == {1: 5}
    assert "5 re-encrypted" in postgres.site.ok(*words).decode()
    postgres.run("DROP OWNED BY reader")
    postgres.run("DROP ROLE reader")


def test_a_password_is_not_taken_from_the_command_line(postgres):
    error = postgres.reencrypt_fails("--database", "postgresql://admin:geheim@/postgres")
    assert "PGPASSFILE" in error and "geheim" not in error


def test_what_a_column_cannot_hold_is_an_error_without_its_content(postgres):
    postgres.make_users(3)
    postgres.run("ALTER TABLE users ADD COLUMN name TEXT DEFAULT 'a secret'")
    error = postgres.reencrypt_fails("--where", "name::int > 5")
    assert "invalid input syntax for type integer (22P02)" in error and "secret" not in error


def test_what_triggers_say_is_not_passed_on(postgres):
    postgres.make_users(3)
    postgres.run("""
        CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN RAISE WARNING 'a secret of %', new.id; RETURN new; END $$""")
    postgres.run("CREATE TRIGGER tell BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION tell()")
    postgres.site.rotate()
    done = postgres.site.run(*postgres.words())
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_file_that_is_read_only(sqlite):
    sqlite.make_users(3)
    if os.geteuid() == 0:
        pytest.skip("root may write everything")
    sqlite.server.path.chmod(0o400)
    assert "is read-only for us" in sqlite.reencrypt_fails()


@pytest.mark.parametrize(
    "text, error",
    [
        ("[job]\ncolour = red\n", "section [job]: colour"),
        ("[column a]\nbatch = 5\n", "section [column a]: batch"),
        ("[rows]\na = b\n", "section [rows]: only [job] and [column NAME]"),
        ("[job]\nbatch = many\n", "batch = many: must be a number"),
        ("[job]\n", "database is missing"),
        ("[job]\ndatabase = sqlite:a\n", "there is no column to work on"),
        ("[job]\ndatabase = oracle:a\n[column a]\ntable = a\ncolumn = b\n", "this build has: postgresql mariadb sqlite"),
    ],
)
def test_a_job_file_is_read_strictly(site, text, error):
    job = site.folder / "job.cnf"
    job.write_text(text)
    assert error in site.fails(TOOL, "reencrypt", "--keys", site.keys, "--job", job)
    job.chmod(0o666)
    assert "mode is too open" in site.fails(TOOL, "reencrypt", "--keys", site.keys, "--job", job)


# --- others write meanwhile -----------------------------------------------------


class Writer(threading.Thread):
    """An application that changes its own rows, and finds each as it left it."""

    def __init__(self, database, seed, mine, stop):
        super().__init__()
        self.database, self.mine, self.stop = database, mine, stop
        self.random = random.Random(seed)
        self.texts = {number: f"user{number}@example.org" for number in mine}
        self.writes, self.error = 0, None

    def change(self, connection, application):
        number = self.random.choice(self.mine)
        aad = b"users.email:%d" % number
        [(message,)] = self.database.run("SELECT email FROM users WHERE id = ?", number, connection=connection)
        assert application.decrypt(message, aad).decode() == self.texts[number], f"row {number} is not what was written"
        self.texts[number] = f"{self.writes} of {number}"
        fresh = application.encrypt(self.texts[number].encode(), aad)
        self.database.run("UPDATE users SET email = ? WHERE id = ?", fresh, number, connection=connection)
        self.writes += 1

    def run(self):
        connection = self.database.server.connect()
        application = Application(self.database.site)
        try:
            while not self.stop.is_set():
                self.change(connection, application)
            application.end()
        except Exception as error:  # pylint: disable=broad-except
            self.error = error
        connection.close()


class Writers:
    """Four of them, until the end of a block."""

    def __init__(self, database, seed, count):
        self.stop = threading.Event()
        self.list = [Writer(database, seed + i, range(i, count, 4), self.stop) for i in range(4)]

    def __enter__(self):
        for writer in self.list:
            writer.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for writer in self.list:
            writer.join()

    def texts(self):
        for writer in self.list:
            if writer.error is not None:
                raise writer.error
        return {number: text for writer in self.list for number, text in writer.texts.items()}


def test_concurrent_writers_lose_nothing(database):
    """Few rows, large batches: what is read may be changed before it is written."""
    seed = random.randrange(2**32)
    print("seed", seed)
    database.make_users(400)
    races = 0
    with Writers(database, seed, 400) as writers:
        for _ in range(8):
            database.site.rotate()
            out = database.reencrypt("--batch", 200, "--rate", 800, "--json")
            event = json.loads(out.splitlines()[-1])
            assert event["unreadable"] == event["left"] == 0
            races += event["races"]
    texts = writers.texts()
    assert sum(writer.writes for writer in writers.list) > 100
    database.reencrypt()
    users = database.users()
    assert {number: text for number, (_, text) in users.items()} == texts
    assert {version for version, _ in users.values()} == {9}
    print("races", races)


def wait_until_it_waits(database, process):
    """For the lock on what it has read."""
    until = time.monotonic() + TIMEOUT_S
    if database.server.name == "mariadb":
        waiting = "SELECT 1 FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
        while not database.run(waiting):
            assert time.monotonic() < until, "it does not wait"
            # InnoDB shows the same until it was not asked for 0.1 s.
            time.sleep(0.2)
        return
    if database.server.name == "postgresql":
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        while database.run(waits) == [(0,)]:
            assert time.monotonic() < until, "it does not wait"
        return
    # SQLite does not tell: its threads are there, and have had their time.
    while len(os.listdir(f"/proc/{process.pid}/task")) < 2:
        assert time.monotonic() < until and process.poll() is None, "it does not begin"
    time.sleep(2)


def test_a_row_that_changed_since_it_was_read_is_read_again(database):
    """What is written in between is of an older version, too, and is kept."""
    database.make_users(50)
    fresh = database.application.encrypt(b"a newer address", b"users.email:30")
    database.site.rotate()
    other = database.server.connect()
    database.run("BEGIN IMMEDIATE" if database.server.name == "sqlite" else "BEGIN", connection=other)
    database.run("UPDATE users SET email = ? WHERE id = 30", fresh, connection=other)
    database.run("DELETE FROM users WHERE id = 31", connection=other)
    process = start(database, "--json")
    wait_until_it_waits(database, process)
    database.run("COMMIT", connection=other)
    other.close()
    out, error = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, error.decode()
    event = json.loads(out.splitlines()[-1])
    assert (event["reencrypted"], event["races"], event["gone"]) == (49, 2, 1)
    users = database.users()
    assert users[30] == (2, "a newer address")
    assert set(version for version, _ in users.values()) == {2} and len(users) == 49


# --- interrupted anywhere -------------------------------------------------------


def start(database, *more):
    return database.site.start(*database.words(*more))


def wait_until_some_moved(database, version, least=1):
    until = time.monotonic() + TIMEOUT_S
    while versions(database).get(version, 0) < least:
        assert time.monotonic() < until, "no row moves"
        time.sleep(0.02)


def wait_until_first_moved(database, version):
    until = time.monotonic() + TIMEOUT_S
    while version_of(database.run("SELECT email FROM users WHERE id = 0")[0][0]) != version:
        assert time.monotonic() < until, "no row moves"


def test_killed_at_any_moment_it_goes_on(database):
    """30 times kill -9, each with another version to move to."""
    seed = random.randrange(2**32)
    print("seed", seed)
    moment = random.Random(seed)
    count = 1000
    database.make_users(count)
    stopped_within = 0
    for kill in range(30):
        database.site.rotate()
        process = start(database, "--batch", 20, "--rate", 2000)
        # At its beginning, or some time after the first rows moved.
        if moment.random() < 0.75:
            wait_until_first_moved(database, kill + 2)
        time.sleep(moment.uniform(0, 0.3))
        process.kill()
        process.communicate()
        moved = versions(database)
        stopped_within += 0 < moved.get(kill + 2, 0) < count
        check_texts(database, count)
    print("killed between the first row and the last", stopped_within, "times")
    assert stopped_within >= 10
    database.reencrypt("--batch", 20)
    assert versions(database) == {31: count}
    check_texts(database, count)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_after_what_was_read(database, number):
    database.make_users(300)
    database.site.rotate()
    process = start(database, "--batch", 5, "--rate", 50)
    wait_until_some_moved(database, 2)
    process.send_signal(number)
    out, error = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1
    assert "interrupted: each row is either as it was or of the newest version; run it again" in error.decode()
    assert "stopped after" in out.decode()
    moved = versions(database)
    assert 0 < moved[2] < 300
    assert f"300 rows, {moved[1]} re-encrypted, {moved[2]} of the newest" in database.reencrypt()


def test_a_kms_that_goes_away_ends_it_with_nothing_half_done(database):
    database.make_users(300)
    database.site.configure(max_age="1s", stale_if_unreachable="0")
    database.site.rotate()
    process = start(database, "--batch", 5, "--rate", 50)
    wait_until_some_moved(database, 2)
    database.site.master_key.rename(database.site.folder / "away")
    out, error = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1
    assert "master-key" in error.decode() and "run it again and it goes on" in error.decode()
    assert "stopped after" in out.decode()
    (database.site.folder / "away").rename(database.site.master_key)
    moved = versions(database)
    assert 0 < moved[2] < 300
    database.reencrypt()
    assert versions(database) == {2: 300}
    check_texts(database, 300)


def test_a_cut_connection_is_made_anew(served):
    served.make_users(400)
    served.site.rotate()
    process = start(served, "--batch", 10, "--rate", 200)
    for least in (10, 100, 200):
        wait_until_some_moved(served, 2, least)
        assert served.server.cut(served) > 0 or least > 10
    out, error = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, error.decode()
    assert "trying again: " in error.decode()
    assert b"400 rows, 400 re-encrypted" in out
    check_texts(served, 400)


@pytest.mark.parametrize("how", ["well", "at once"])
def test_a_database_that_restarts_is_waited_for(served, how):
    served.make_users(400)
    served.site.rotate()
    process = start(served, "--batch", 10, "--rate", 200)
    wait_until_some_moved(served, 2)
    served.server.stop(served.server.stops[how])
    time.sleep(0.5)
    served.server.start()
    served.reconnect()
    out, error = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, error.decode()
    assert b"400 rows, 400 re-encrypted" in out
    assert versions(served) == {2: 400}
    check_texts(served, 400)


def test_a_database_that_stays_away_ends_it_in_time(served):
    served.make_users(200)
    served.site.rotate()
    process = start(served, "--batch", 10, "--rate", 100, "--retry-for", "1s")
    wait_until_some_moved(served, 2)
    served.server.stop()
    _, error = process.communicate(timeout=TIMEOUT_S)
    served.server.start()
    served.reconnect()
    assert process.returncode == 1
    assert "the database cannot be used now: " in error.decode()
    assert "run it again and it goes on" in error.decode()
    served.reencrypt()
    assert versions(served) == {2: 200}


def test_a_row_that_somebody_locks_is_waited_for(served):
    served.make_users(50)
    served.site.rotate()
    other = served.server.connect()
    served.run("BEGIN", connection=other)
    served.run("SELECT 1 FROM users WHERE id = 30 FOR UPDATE", connection=other)
    process = start(served, "--batch", 10)
    assert served.server.lock_words in process.stderr.readline().decode()
    served.run("COMMIT", connection=other)
    other.close()
    out, error = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, b"50 re-encrypted" in out) == (0, True), error.decode()


def test_a_file_that_somebody_locks_is_waited_for(sqlite):
    sqlite.make_users(50)
    sqlite.site.rotate()
    sqlite.run("BEGIN EXCLUSIVE")
    process = start(sqlite)
    time.sleep(0.5)
    assert process.poll() is None
    sqlite.run("COMMIT")
    out, error = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, b"50 re-encrypted" in out) == (0, True), error.decode()


def test_a_full_disk_ends_it_with_nothing_half_done(sqlite):
    """No file may grow: that is what a full disk does to SQLite's journal."""
    sqlite.make_users(300)
    sqlite.site.rotate()
    before = sqlite.run("SELECT id, email FROM users ORDER BY id")
    done = subprocess.run(
        [str(word) for word in sqlite.words("--retry-for", "1s")],
        capture_output=True, check=False, env=sqlite.site.environment, cwd=sqlite.site.folder, timeout=TIMEOUT_S,
        restore_signals=False, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )  # fmt: skip
    assert done.returncode == 1
    assert b"the database cannot be used now" in done.stderr and b"run it again and it goes on" in done.stderr
    assert sqlite.run("SELECT id, email FROM users ORDER BY id") == before
    assert "300 rows, 300 re-encrypted\n" in sqlite.reencrypt()


# --- cost -----------------------------------------------------------------------


def peak_kib(database):
    """Of memory, of a run over all rows."""
    words = [str(word) for word in database.words("--aad", "same", "--batch", 100)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, env=database.site.environment) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss


def test_memory_does_not_grow_with_the_table(database):
    if sanitizers():
        pytest.skip("a sanitizer keeps what was freed")
    message = database.application.encrypt(b"a" * 100, b"same")
    database.run(f"CREATE TABLE users (id BIGINT PRIMARY KEY, email {database.server.binary})")
    numbers = "WITH RECURSIVE n (i) AS (SELECT {} UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT i, ? FROM n"
    database.run("INSERT INTO users " + numbers.format(1, 2000), message)
    database.site.rotate()
    small = peak_kib(database)
    database.run("INSERT INTO users " + numbers.format(2001, 50000), message)
    database.site.rotate()
    assert peak_kib(database) < small + 2048


def test_a_plan_has_no_walk_through_the_table(postgres):
    """Reads go by the index of the key, and so do writes, also before the
    server has looked at the table."""
    postgres.run("CREATE TABLE users (id BIGINT PRIMARY KEY, email BYTEA) WITH (autovacuum_enabled = off)")
    message = postgres.application.encrypt(b"anna", b"same")
    postgres.run("INSERT INTO users SELECT i, ? FROM generate_series(1, 20000) AS i", message)
    postgres.site.rotate()
    postgres.reencrypt("--aad", "same")
    time.sleep(1)
    [(walks, rows)] = postgres.run("SELECT seq_scan, seq_tup_read FROM pg_stat_user_tables WHERE relname = 'users'")
    assert (walks, rows) == (0, 0)
