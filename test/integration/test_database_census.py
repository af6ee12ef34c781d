# SPDX-License-Identifier: Apache-2.0
"""Rows of a database are counted, and a version ends when none is left of it."""
import contextlib
import json
import os
import subprocess
import threading

import pytest

from conftest import TOOL
from database_site import (  # noqa: F401
    ENCODINGS, Application, mariadb, mariadb_server, postgres, postgres_server, sqlite,
)  # fmt: skip
from test_retire import DAY_S, USAGE, do, later, refused, status


def words(site, *more):
    return [
        TOOL, "census", "--keys", site.site.keys, "--database", site.server.url, "--table", "users",
        "--column", "email", "--key", "emails", *more,
    ]  # fmt: skip


def census(site, *more):
    """What it says of each column."""
    return [json.loads(line) for line in site.site.ok(*words(site, "--json", *more)).decode().splitlines()]


def found(site, *more):
    """(rows of version 1, 2, ...; of versions that the key does not have; others; NULL)."""
    (only,) = census(site, *more)
    return [version["rows"] for version in only["versions"]], only["unknown-versions"], only["other"], only["null"]


def record(site, *more):
    (only,) = census(site, "--record", *more)
    assert only["recorded"]
    return only["scope"]


def fails(site, *more, code=1):
    """It fails, and the key file stays as it was; what it says."""
    before = site.site.key_file().read_bytes()
    error = site.site.fails(*words(site, *more), code=code)
    assert site.site.key_file().read_bytes() == before
    return error


def message(version, tail=b"x" * 40, start=b"\x4b"):
    return start + version.to_bytes(3, "big") + tail


def fill(site, values, type_of_column=None):
    site.run(f"CREATE TABLE users (id INT PRIMARY KEY, email {type_of_column or site.server.binary})")
    for number, value in enumerate(values):
        site.run("INSERT INTO users VALUES (?, ?)", number, value)


# --- the whole life ---------------------------------------------------------------


@pytest.fixture(params=["postgres", "sqlite"])
def database(request):
    """One whose rows are counted."""
    return request.getfixturevalue(request.param)


def test_where_rows_are_not_counted_yet_it_is_told(mariadb):
    mariadb.make_users(3)
    before = mariadb.site.key_file().read_bytes()
    error = mariadb.site.fails(*words(mariadb, "--record"))
    assert "rows of mariadb are not counted yet" in error
    assert mariadb.site.key_file().read_bytes() == before


def test_a_version_ends_once_no_row_is_left(database):
    site = database.site
    database.make_users(30)
    site.rotate()
    program = Application(site)
    for number in range(30, 40):
        new = program.encrypt(b"new", b"users.email:%d" % number)
        database.run("INSERT INTO users VALUES (?, ?)", number, new)
    program.end()
    backup = database.run("SELECT id, email FROM users WHERE id = 7")[0]
    assert found(database) == ([30, 10], 0, 0, 0)
    assert database.site.ok(*words(database)) == b"users.email: key emails: 30 of version 1, 10 of version 2\n"

    later(site, 3600)
    database.reencrypt("--where", "id <> 7")
    scope = record(database)
    assert scope.startswith(f"users.email of {database.server.name}:")
    assert f"version 1 has rows: 1 of {scope}, by the census of" in refused(site, "retire", 1)

    database.reencrypt()
    record(database)
    (only,) = status(site)["censuses"]
    assert only["scope"] == scope and only["found"] == [{"version": 1, "rows": 0}, {"version": 2, "rows": 40}]
    assert do(site, "retire", 1) == "emails: version 1 is retired\n"

    database.run("UPDATE users SET email = ? WHERE id = ?", backup[1], backup[0])
    record(database)
    later(site, 30 * DAY_S)
    assert f"version 1 has rows: 1 of {scope}" in refused(site, "destroy", 1, "--yes")
    do(site, "undo", 1)
    later(site, 60)
    database.reencrypt()
    record(database)
    do(site, "retire", 1)
    later(site, 30 * DAY_S)
    assert do(site, "destroy", 1, "--yes") == "emails: version 1 is destroyed\n"
    assert {version for version, _ in database.users().values()} == {2}


def test_a_census_within_the_fence_is_not_enough(database):
    site = database.site
    database.make_users(5)
    site.rotate()
    database.reencrypt()
    scope = record(database)
    assert f"version 1: the census of {scope} began at" in refused(site, "retire", 1)
    later(site, 61)
    assert "take one that begins at" in refused(site, "retire", 1)
    record(database)
    do(site, "retire", 1)


def test_every_column_must_have_been_counted(database):
    site = database.site
    database.make_users(5)
    database.run(f"CREATE TABLE archive (id INT PRIMARY KEY, email {database.server.binary})")
    database.run("INSERT INTO archive SELECT id, email FROM users WHERE id < 2")
    site.rotate()
    later(site, 3600)
    database.reencrypt()
    both = ("--table", "archive", "--column", "email", "--key", "emails")
    users, archive = census(database, *both, "--record")
    assert users["scope"] != archive["scope"]
    assert [count["versions"][0]["rows"] for count in (users, archive)] == [0, 2]
    assert f"2 of {archive['scope']}" in refused(site, "retire", 1)
    database.run("DROP TABLE archive")
    site.tool("census", "emails", "--keys", site.keys, "--forget", archive["scope"])
    do(site, "retire", 1)


def test_programs_go_on_writing_meanwhile(database):
    """Rotated, re-encrypted and censused while they write: what is retired has no row."""
    site = database.site
    database.make_users(200)
    stop = threading.Event()
    connection = database.server.connect()

    def write():
        number = 0
        while not stop.is_set():
            new = database.application.encrypt(b"again", b"users.email:%d" % (number % 200))
            database.run("UPDATE users SET email = ? WHERE id = ?", new, number % 200, connection=connection)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        site.rotate()
        later(site, 3600)
        database.reencrypt("--batch", 10)
        for _ in range(5):
            (counts, unknown, other, null) = found(database)
            assert sum(counts) == 200 and (unknown, other, null) == (0, 0, 0), "one moment is counted"
        while found(database)[0][0] > 0:
            database.reencrypt()
        record(database)
        do(site, "retire", 1)
    finally:
        stop.set()
        writer.join()
        connection.close()
    assert {version for version, _ in database.users().values()} == {2}


# --- counting ---------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_each_value_is_counted_once(database, encoding):
    """Of every format, in every way of writing it, whatever its nonce begins with."""
    encode, _ = ENCODINGS[encoding]
    database.site.rotate()
    database.site.rotate()
    tails = [bytes([first]) + b"x" * 40 for first in (0, 15, 16, 127, 200, 255)]
    ours = [message(version, tail, start) for version in (1, 3, 3) for tail in tails for start in (b"\x4b", b"\xd3", b"\xc4")]
    values = [encode(value) for value in ours]
    strange = [b"", b"hello", message(0), message(3)[:3], b"\x4c" + message(3)[1:]]
    if encoding != "binary":
        strange[1] = b"\xff\xff"
    values += [None, None] + [encode(value) for value in strange]
    values += [encode(message(4)), encode(message(2**24 - 1))]
    if encoding == "hex":
        values += [message(3).hex().upper(), "\\x" + message(2).hex(), "\n" + message(1).hex()]
    if encoding == "base64":
        values += ["\r\n " + encode(message(1)), encode(message(2))[:3] + "\n" + encode(message(2))[3:]]
        values += ["é" * 50]
    fill(database, values, None if encoding == "binary" else "TEXT")
    expected = {
        "binary": ([18, 0, 36], 2, 5, 2), "hex": ([19, 1, 37], 2, 5, 2), "base64": ([19, 1, 36], 2, 6, 2),
    }  # fmt: skip
    assert found(database, "--encoding", encoding) == expected[encoding]


@pytest.mark.parametrize("encoding", ["base64", "hex"])
def test_text_in_a_column_for_bytes(database, encoding):
    encode, _ = ENCODINGS[encoding]
    database.site.rotate()
    fill(database, [encode(message(1)).encode(), encode(message(2)).encode(), b"\n" + encode(message(2)).encode(), b"\xff"])
    assert found(database, "--encoding", encoding) == ([1, 2], 0, 1, 0)


def test_only_rows_of_the_condition(database):
    fill(database, [message(1)] * 10)
    assert found(database, "--where", "id < 4 -- not more") == ([4], 0, 0, 0)
    scope = record(database, "--where", "id < 4")
    assert scope.endswith(" where id < 4")
    error = fails(database, "--record", "--where", "id < 4\n-- not more")
    assert "cannot be told in one line" in error


def test_an_empty_table_and_one_of_nulls(database):
    fill(database, [])
    assert found(database) == ([0], 0, 0, 0)
    record(database)
    database.run("INSERT INTO users VALUES (1, NULL)")
    assert found(database) == ([0], 0, 0, 1)
    assert database.site.ok(*words(database)) == b"users.email: key emails: 0 of version 1, 1 NULL\n"


def test_a_job_file_says_the_same_as_for_reencrypt(database):
    site = database.site
    site.create("phones")
    fill(database, [message(1)] * 3)
    database.run("CREATE TABLE calls (a INT, b INT, number TEXT, PRIMARY KEY (a, b))")
    database.run("INSERT INTO calls VALUES (1, 1, ?)", message(1).hex())
    job = site.folder / "job.cnf"
    job.write_text(
        f"[job]\ndatabase = {database.server.url}\nkeys = {site.keys}\nbatch = 4\n"
        "[column 1]\ntable = users\ncolumn = email\naad = users.email:{id}\nkey = emails\n"
        "[column 2]\ntable = calls\ncolumn = number\nencoding = hex\nkey = phones\n"
    )
    site.ok(TOOL, "census", "--job", job, "--record")
    (emails,) = status(site)["censuses"]
    assert emails["scope"].startswith("users.email of ") and emails["found"] == [{"version": 1, "rows": 3}]
    (phones,) = json.loads(site.tool("status", "phones", "--keys", site.keys, "--json"))["keys"][0]["censuses"]
    assert phones["scope"].startswith("calls.number of ") and phones["found"] == [{"version": 1, "rows": 1}]
    job.write_text(job.read_text().replace("number", "nothing"))
    before = site.key_file().read_bytes()
    assert "calls has no column nothing" in site.fails(TOOL, "census", "--job", job, "--record")
    assert site.key_file().read_bytes() == before, "half a census is none"


# --- what is refused --------------------------------------------------------------


def test_what_is_not_whole_is_not_recorded(database):
    fill(database, [message(9), message(1)])
    assert "1 rows are of version 9" in fails(database, "--record")
    database.run("DELETE FROM users")
    database.run("INSERT INTO users VALUES (1, ?)", b"hello")
    assert "not one of 1 rows is a message" in fails(database, "--record")
    assert status(database.site)["censuses"] == []


@pytest.mark.parametrize(
    ("more", "code", "complaint"),
    [
        (["--record", "words"], USAGE, "--record words: of a database it takes no words"),
        (["emails"], USAGE, "emails: a job has tables"),
        (["--encoding", "utf8"], 1, "encoding = utf8: must be binary, base64 or hex"),
        (["--column", "nothing", "--record"], 1, "users has no column nothing"),
        (["--key", "nothing", "--record"], 1, "nothing"),
        (["--where", "nothing = 1", "--record"], 1, "nothing"),
    ],
)
def test_what_is_not_meant_is_not_counted(database, more, code, complaint):
    fill(database, [message(1)])
    assert complaint in fails(database, *more, code=code)


def test_text_without_an_encoding_of_text(database):
    fill(database, ["x"], "TEXT")
    assert "which has no bytes: its encoding is base64 or hex" in fails(database, "--encoding", "binary")


@pytest.fixture
def other(postgres):
    """Somebody else's connection, in a transaction."""
    with contextlib.closing(postgres.server.connect()) as connection:
        postgres.run("BEGIN", connection=connection)
        yield connection


def ends_once_committed(postgres, other, *more):
    process = postgres.site.start(*words(postgres, *more))
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)
    postgres.run("COMMIT", connection=other)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    return out


def test_a_locked_table_is_waited_for(postgres, other):
    fill(postgres, [message(1)])
    postgres.run("LOCK TABLE users IN ACCESS EXCLUSIVE MODE", connection=other)
    assert ends_once_committed(postgres, other) == b"users.email: key emails: 1 of version 1\n"


def test_rows_of_open_transactions_are_waited_for(postgres, other):
    """A row that is written, and not committed yet, must not be missed by a census that is recorded."""
    fill(postgres, [message(1)])
    postgres.run("INSERT INTO users VALUES (100, ?)", message(1), connection=other)
    assert found(postgres) == ([1], 0, 0, 0), "without --record it is as it is now"
    assert "a transaction that has written is open" in fails(postgres, "--record", "--retry-for", "1s")
    assert ends_once_committed(postgres, other, "--record") == b"users.email: key emails: 2 of version 1\n"


def test_rows_that_a_policy_hides_are_an_error(postgres):
    fill(postgres, [message(1)] * 2)
    postgres.run("ALTER TABLE users ENABLE ROW LEVEL SECURITY")
    postgres.run("CREATE POLICY half ON users USING (id = 0)")
    postgres.run("DROP ROLE IF EXISTS counter")
    postgres.run("CREATE ROLE counter LOGIN")
    postgres.run("GRANT USAGE ON SCHEMA public TO counter")
    postgres.run("GRANT SELECT ON users TO counter")
    url = postgres.server.url_for("counter")
    error = fails(postgres, "--database", url, "--record")
    assert "row-level security" in error
    postgres.run("DROP OWNED BY counter")
    postgres.run("DROP ROLE counter")


def test_one_database_is_told_from_another(postgres, tmp_path):
    fill(postgres, [message(1)])
    assert record(postgres) == f"users.email of postgresql://{postgres.server.folder}:5432/postgres on {os.uname().nodename}"
