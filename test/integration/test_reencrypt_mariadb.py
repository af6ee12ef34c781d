# SPDX-License-Identifier: Apache-2.0
"""What is MariaDB's own: collations, key types, packets, option files, grants."""
import base64

import pytest

from conftest import TIMEOUT_S, TOOL, version_of
from database_site import ENCODINGS, mariadb, mariadb_server  # noqa: F401

# Whether the server takes a batch at once, or row by row.
WAYS = {"bulk": "", "one by one": "&bulk=off"}


def words(database, more="", user="admin"):
    return [
        database.server.url_for(user, more=more) if word == database.server.url else word for word in database.words()
    ]


@pytest.fixture(params=WAYS)
def way(request):
    return WAYS[request.param]


KEYS = {
    "unsigned": ("BIGINT UNSIGNED", [0, 2**53, 2**53 + 1, 2**64 - 2, 2**64 - 1]),
    "signed": ("BIGINT", [-(2**63), -(2**53) - 1, -(2**53), 2**63 - 2, 2**63 - 1]),
    "decimal": ("DECIMAL(40,10)", ["-1.0000000000", "0.0000000001", "123456789012345678901234567890.0000000001",
                                   "123456789012345678901234567890.0000000002"]),
    "double": ("DOUBLE", ["-1.5e300", "0.1", "0.30000000000000004", "0.3", "2"]),
    "date": ("DATE", ["0000-00-00", "1999-12-31", "2026-01-01"]),
    "datetime": ("DATETIME(6)", ["1999-12-31 23:59:59.999998", "1999-12-31 23:59:59.999999"]),
    "timestamp": ("TIMESTAMP(3)", ["2026-03-29 01:30:00.001", "2026-03-29 02:30:00.001"]),
    "time": ("TIME", ["-838:59:59", "00:00:01", "838:59:59"]),
    "year": ("YEAR", [1999, 2026]),
    "bytes": ("VARBINARY(20)", [b"", b"\0", b"\0\0", b"a", b"a ", b"A", b"'\\\"\xff"]),
    "fixed bytes": ("BINARY(4)", [b"\0\0\0\0", b"a\0\0\0", b"abcd", b"\xff\xfe\0\1"]),
    "latin1": ("VARCHAR(20) CHARACTER SET latin1", ["", "a", "B", "ä", "z", "é'\\"]),
    "utf16": ("VARCHAR(20) CHARACTER SET utf16", ["", "a", "B", "☃"]),
    "padding": ("VARCHAR(20) COLLATE utf8mb4_general_ci", ["a", "B", "c ", "D  ", "ä b", "Straße"]),
    "no padding": ("VARCHAR(20) COLLATE utf8mb4_unicode_nopad_ci", ["a", "a ", "a  ", "B", "c"]),
    "case": ("VARCHAR(20) COLLATE utf8mb4_bin", ["A", "B", "a", "b", "b\0"]),
    "fixed text": ("CHAR(8)", ["", "a", "B", "c d"]),
    "uuid": ("UUID", ["00000000-0000-1000-8000-0000000000ff", "10000000-0000-1000-8000-000000000000",
                      "00000000-0000-4000-8000-0000000000ff"]),
    "inet6": ("INET6", ["::", "::ffff:127.0.0.1", "2001:db8::1"]),
}  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_each_type_of_key_names_its_row(mariadb, key, way):
    """One row a batch, and AAD of the key: none is passed over, none is taken for another."""
    kind, rows = KEYS[key]
    mariadb.run("SET sql_mode = '', time_zone = '+00:00'")
    mariadb.run(f"CREATE TABLE users (id {kind} PRIMARY KEY, email BLOB, n INT)")
    texts = [value if isinstance(value, bytes) else str(value).encode() for value in rows]
    if key == "double":
        texts[0] = b"-1.5e300"
    for number, (value, text) in enumerate(zip(rows, texts)):
        mariadb.run("INSERT INTO users VALUES (?, ?, ?)", value, mariadb.application.encrypt(b"anna", text), number)
    mariadb.site.rotate()
    out = mariadb.site.ok(*words(mariadb, way), "--aad", "{id}", "--batch", 1).decode()
    assert f"{len(rows)} rows, {len(rows)} re-encrypted\n" in out
    found = mariadb.run("SELECT n, email FROM users")
    assert len(found) == len(rows)
    for number, message in found:
        assert version_of(message) == 2
        assert mariadb.application.decrypt(message, texts[number]) == b"anna"


@pytest.mark.parametrize("kind", ["FLOAT", "BIT(8)", "ENUM('b', 'a')", "SET('a')"])
def test_a_key_that_cannot_name_rows_is_refused(mariadb, kind):
    mariadb.run(f"CREATE TABLE users (id {kind} PRIMARY KEY, email BLOB)")
    error = mariadb.reencrypt_fails()
    assert "users.id is of type" in error and "name other columns that make a row" in error


def test_columns_of_a_unique_index_name_rows(mariadb, way):
    mariadb.run("CREATE TABLE users (id ENUM('b', 'a') PRIMARY KEY, a INT NOT NULL, b VARCHAR(9) NOT NULL,"
                " maybe INT, email BLOB, UNIQUE (b, a), UNIQUE (maybe))")
    for number, row in enumerate((("b", 1, "x", 1), ("a", 1, "Y", None))):
        message = mariadb.application.encrypt(b"anna", b"%d/%s" % (row[1], row[2].encode()))
        mariadb.run("INSERT INTO users VALUES (?, ?, ?, ?, ?)", *row, message)
    mariadb.site.rotate()
    more = ("--aad", "{a}/{b}", "--batch", 1, "--primary-key")
    assert "may be NULL" in mariadb.site.fails(*words(mariadb, way), *more, "maybe", "--aad", "{maybe}")
    assert "no unique index" in mariadb.site.fails(*words(mariadb, way), *more, "a", "--aad", "{a}")
    assert "2 rows, 2 re-encrypted" in mariadb.site.ok(*words(mariadb, way), *more, "A,B", "--aad", "{a}/{b}").decode()


# --- bytes are compared ---------------------------------------------------------


CHANGES = {"case": str.swapcase, "a space": lambda text: text + " "}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("charset", ["utf8mb4", "latin1", "utf16"])
def test_what_a_collation_calls_equal_is_not_overwritten(mariadb, way, charset, change):
    """Somebody changes a row between read and write, to what an = of the column does not tell apart."""
    mariadb.run(f"CREATE TABLE users (id INT PRIMARY KEY, email VARCHAR(300) CHARACTER SET {charset})")
    for number in range(3):
        message = mariadb.application.encrypt(b"anna", b"users.email:%d" % number)
        mariadb.run("INSERT INTO users VALUES (?, ?)", number, base64.b64encode(message).decode())
    mariadb.site.rotate()
    [(old,)] = mariadb.run("SELECT email FROM users WHERE id = 1")
    changed = CHANGES[change](old)
    assert mariadb.run("SELECT email = ? FROM users WHERE id = 1", changed) == [(1,)]
    other = mariadb.server.connect()
    mariadb.run("BEGIN", connection=other)
    mariadb.run("UPDATE users SET email = ? WHERE id = 1", changed, connection=other)
    process = mariadb.site.start(*words(mariadb, way))
    # It has read, and waits for the lock.
    assert "Lock wait timeout" in process.stderr.readline().decode()
    mariadb.run("COMMIT", connection=other)
    other.close()
    out, _ = process.communicate(timeout=TIMEOUT_S)
    assert "3 rows, 2 re-encrypted" in out.decode()
    assert mariadb.run("SELECT email FROM users WHERE id = 1") == [(changed,)]


def test_a_value_that_changes_while_it_is_written_is_read_again(mariadb, way):
    """Half of a batch is lost: the other half is known to be written."""
    mariadb.make_users(20)
    mariadb.site.rotate()
    other = mariadb.server.connect()
    mariadb.run("BEGIN", connection=other)
    for number in range(0, 20, 2):
        fresh = mariadb.application.encrypt(b"new %d" % number, b"users.email:%d" % number)
        mariadb.run("UPDATE users SET email = ? WHERE id = ?", fresh, number, connection=other)
    mariadb.run("DELETE FROM users WHERE id = 5", connection=other)
    mariadb.run("UPDATE users SET email = NULL WHERE id = 7", connection=other)
    process = mariadb.site.start(*words(mariadb, way), "--json")
    assert "Lock wait timeout" in process.stdout.readline().decode()
    mariadb.run("COMMIT", connection=other)
    other.close()
    out, error = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, error.decode()
    assert b'"races":12' in out.replace(b" ", b"")
    mariadb.run("DELETE FROM users WHERE email IS NULL")
    users = mariadb.users()
    assert {number: text for number, (_, text) in users.items()} == {
        number: f"user{number}@example.org" if number % 2 else f"new {number}"
        for number in range(20) if number not in (5, 7)
    }  # fmt: skip
    assert all(version == 2 for version, _ in users.values())


# --- large values, names --------------------------------------------------------


def test_a_batch_is_larger_than_a_packet(mariadb, way):
    [(before,)] = mariadb.run("SELECT @@global.max_allowed_packet")
    text = "x" * 12000 + "%d"
    mariadb.make_users(60, text)
    mariadb.site.rotate()
    mariadb.run("SET GLOBAL max_allowed_packet = 65536")
    try:
        assert "60 rows, 60 re-encrypted\n" in mariadb.site.ok(*words(mariadb, way)).decode()
    finally:
        mariadb.run(f"SET GLOBAL max_allowed_packet = {before}")
    assert mariadb.users() == {number: (2, text % number) for number in range(60)}


def test_a_row_that_no_packet_holds_twice_is_told(mariadb, way):
    [(before,)] = mariadb.run("SELECT @@global.max_allowed_packet")
    mariadb.make_users(2, "x" * 40000 + "%d")
    mariadb.site.rotate()
    mariadb.run("SET GLOBAL max_allowed_packet = 65536")
    try:
        assert "larger than max_allowed_packet of the server, 65536 bytes" in mariadb.site.fails(*words(mariadb, way))
    finally:
        mariadb.run(f"SET GLOBAL max_allowed_packet = {before}")
    assert {version for version, _ in mariadb.users().values()} == {1}


def test_names_are_names(mariadb):
    """Of another schema, with what SQL has quotes for; and none in another case."""
    mariadb.run("CREATE TABLE `we``ird \"%s` (`i'd` INT PRIMARY KEY, `e``m\"a il` TEXT)")
    message = ENCODINGS["hex"][0](mariadb.application.encrypt(b"anna", b"1"))
    mariadb.run("INSERT INTO `we``ird \"%s` VALUES (1, '" + message + "')")
    mariadb.site.rotate()
    base = (TOOL, "reencrypt", "--keys", mariadb.site.keys, "--database", mariadb.server.url_for(database="mysql"))
    more = ("--column", 'e`m"a il', "--encoding", "hex", "--aad", "{i'd}")
    out = mariadb.site.ok(*base, "--table", 'app.we`ird "%s', *more).decode()
    assert "1 rows, 1 re-encrypted" in out
    assert "there is no table app.WE`ird" in mariadb.site.fails(*base, "--table", 'app.WE`ird "%s', *more)


# --- what is refused ------------------------------------------------------------


@pytest.mark.parametrize(
    "sql, error",
    [
        ("ALTER TABLE users ENGINE = MyISAM", "MyISAM, which has no transactions: ALTER TABLE"),
        ("RENAME TABLE users TO t; CREATE VIEW users AS SELECT * FROM t", "users is not a table"),
        ("ALTER TABLE users DROP email, ADD email INT", "of type int(11), which has neither bytes nor text"),
        ("ALTER TABLE users DROP email, ADD email BLOB AS (REPEAT('a', id)) STORED", "users.email is a generated"),
        ("ALTER TABLE users DROP PRIMARY KEY", "users has no primary key: name the columns"),
    ],
)
def test_what_cannot_be_worked_on_is_told(mariadb, sql, error):
    mariadb.make_users(3)
    for statement in sql.split("; "):
        mariadb.run(statement)
    assert error in mariadb.reencrypt_fails()


def test_a_replica_is_not_written(mariadb):
    mariadb.make_users(3)
    mariadb.run("SET GLOBAL read_only = 1")
    try:
        assert "this server is read-only" in mariadb.reencrypt_fails()
        assert "3 rows, 0 of older versions, 3 of the newest" in mariadb.reencrypt("--verify")
    finally:
        mariadb.run("SET GLOBAL read_only = 0")


def test_what_may_not_be_written_is_not_begun(mariadb):
    mariadb.make_users(5)
    mariadb.site.rotate()
    mariadb.run("CREATE OR REPLACE USER reader@localhost")
    mariadb.run("GRANT SELECT (id) ON app.users TO reader@localhost")
    as_reader = words(mariadb, user="reader")
    assert "users has no column email, or this user may not see it" in mariadb.site.fails(*as_reader)
    mariadb.run("GRANT SELECT (email) ON app.users TO reader@localhost")
    assert "reader@localhost may not UPDATE users.email" in mariadb.site.fails(*as_reader)
    assert "5 of older versions" in mariadb.site.ok(*as_reader, "--dry-run").decode()
    mariadb.run("GRANT UPDATE (email) ON app.users TO reader@localhost")
    assert "5 re-encrypted" in mariadb.site.ok(*as_reader).decode()
    mariadb.run("DROP USER reader@localhost")
    assert "reader" in mariadb.site.fails(*as_reader)


def test_a_password_comes_from_an_option_file(mariadb):
    mariadb.make_users(5)
    mariadb.site.rotate()
    mariadb.run("CREATE OR REPLACE USER walter@localhost IDENTIFIED BY 'geheim'")
    mariadb.run("GRANT SELECT, UPDATE ON app.* TO walter@localhost")
    file = mariadb.site.folder / "my.cnf"
    file.write_text("[kms-envelope]\npassword = geheim\n")
    error = mariadb.site.fails(*words(mariadb, user="walter:geheim"))
    assert "option-file" in error and "geheim" not in error
    error = mariadb.site.fails(*words(mariadb, user="walter"))
    assert "MariaDB: Access denied for user" in error and "(1045)" in error
    assert "5 re-encrypted" in mariadb.site.ok(*words(mariadb, f"&option-file={file}", "walter")).decode()
    # All that the URL does not say.
    file.write_text(f"[client]\nuser = walter\npassword = geheim\nsocket = {mariadb.server.socket}\ndatabase = app\n")
    whole = [f"mysql:?option-file={file}" if word == mariadb.server.url else word for word in mariadb.words()]
    assert "5 of the newest version" in mariadb.site.ok(*whole).decode()
    mariadb.run("DROP USER walter@localhost")


@pytest.mark.parametrize("option", ["ssl-verify-server-cert = 1", "ssl-ca=/etc/ssl/certs/ca-certificates.crt", "ssl-enforce = 1"])
def test_tls_that_is_asked_for_is_not_left_out(mariadb, option):
    """The tests' server has no certificate."""
    mariadb.make_users(1)
    file = mariadb.site.folder / "my.cnf"
    file.write_text(f"[kms-envelope]\n{option}\n")
    error = mariadb.site.fails(*words(mariadb, f"&option-file={file}"), "--retry-for", "0s")
    assert "option file asks for TLS, and the server has none" in error or "SSL is required, but the server" in error


@pytest.mark.parametrize(
    "url, error",
    [
        ("mysql:app", "// is missing"),
        ("mysql://a@b@c/app", "two @"),
        ("mysql://host:0/app", "the port is a number of 1 to 65535"),
        ("mysql://host:65536/app", "the port is a number of 1 to 65535"),
        ("mysql://[::1/app", "a [ without its ]"),
        ("mysql://%4/app", "a % without two hex digits"),
        ("mysql://%00/app", "%00 is in it"),
        ("mysql:///app?sockets=a", "after ? only socket, option-file and bulk=off"),
        ("mysql:///app?bulk=on", "after ? only socket, option-file and bulk=off"),
        ("mariadb://user@127.0.0.1:1/app", "(2002)"),
    ],
)
def test_a_url_is_read_strictly(site, url, error):
    words_ = (TOOL, "reencrypt", "--keys", site.keys, "--database", url, "--table", "users", "--column", "email")
    assert error in site.fails(*words_, "--retry-for", "0s")


def test_an_error_has_no_content(mariadb, way):
    mariadb.make_users(3)
    mariadb.run("ALTER TABLE users ADD COLUMN name VARCHAR(20) DEFAULT 'a secret'")
    mariadb.run("CREATE TABLE log (name VARCHAR(20) PRIMARY KEY)")
    mariadb.run("CREATE TRIGGER logs BEFORE UPDATE ON users FOR EACH ROW INSERT INTO log VALUES (OLD.name)")
    mariadb.site.rotate()
    error = mariadb.site.fails(*words(mariadb, way))
    assert "MariaDB: Duplicate entry (1062)" in error and "secret" not in error
    # The first row, too, is as it was.
    assert {version for version, _ in mariadb.users().values()} == {1}


def test_a_plan_has_no_walk_through_the_table(mariadb, way):
    def walked():
        [(_, value)] = mariadb.run("SHOW GLOBAL STATUS LIKE 'Handler_read_rnd_next'")
        return int(value)

    mariadb.run("CREATE TABLE users (id BIGINT, part VARCHAR(20), email BLOB, PRIMARY KEY (id, part))")
    message = mariadb.application.encrypt(b"anna", b"same")
    mariadb.run("INSERT INTO users SELECT seq DIV 100, seq, ? FROM seq_1_to_20000", message)
    mariadb.site.rotate()
    before = walked()
    assert "20000 re-encrypted" in mariadb.site.ok(*words(mariadb, way), "--aad", "same").decode()
    assert walked() - before < 5000
