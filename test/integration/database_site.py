# SPDX-License-Identifier: Apache-2.0
"""Databases of the tests' own, in a folder, and rows that EVP has written."""
import base64
import glob
import os
import pathlib
import pwd
import signal
import sqlite3
import subprocess
import tempfile
import time

import psycopg2
import pymysql
import pytest

from conftest import BUILD, TIMEOUT_S, TOOL
from mariadb_site import install_words, server_words

ROWS_PROGRAM = BUILD / "test" / "integration" / "evp_rows"
START_S = 60
# Databases refuse to be root's. Every Linux has that user.
SERVER_UID, SERVER_GID = (
    (pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid)
    if os.geteuid() == 0
    else (os.geteuid(), os.getegid())
)

# As a column may have a message, and as a test wants it.
ENCODINGS = {
    "binary": (bytes, bytes),
    "base64": (lambda message: base64.b64encode(message).decode(), base64.b64decode),
    "hex": (lambda message: message.hex(), bytes.fromhex),
}


def as_server(*command):
    if os.geteuid() != 0:
        return command
    return ("setpriv", f"--reuid={SERVER_UID}", f"--regid={SERVER_GID}", "--clear-groups", *command)


class Postgres:
    """A PostgreSQL server on a socket in a folder; it may be ended any way."""

    name = "postgresql"
    binary = "BYTEA"
    key_text = "TEXT"
    stops = {"well": signal.SIGINT, "at once": signal.SIGQUIT}
    lock_words = "lock timeout"

    def __init__(self, folder):
        programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        assert programs, "PostgreSQL is not installed: sh cmake/check.sh install"
        self.programs = programs[-1]
        self.folder = folder
        self.data = folder / "data"
        self.process = None
        if os.geteuid() == 0:
            os.chown(folder, SERVER_UID, SERVER_GID)
        subprocess.run(
            as_server(
                f"{self.programs}/initdb", "-D", self.data, "-U", "admin", "--auth=trust", "--encoding=UTF8",
                "--locale=C.UTF-8", "--no-sync",
            ),
            check=True, capture_output=True, cwd=folder,
        )

    def start(self):
        self.process = subprocess.Popen(
            as_server(
                f"{self.programs}/postgres", "-D", self.data, "-k", self.folder, "-c", "listen_addresses=",
                "-c", "fsync=off", "-c", "max_connections=50", "-c", "deadlock_timeout=200ms",
            ),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=open(self.folder / "log", "ab"), cwd=self.folder,
        )
        until = time.monotonic() + START_S
        while True:
            try:
                self.connect().close()
                return self
            except psycopg2.OperationalError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < until, (self.folder / "log").read_text()
                time.sleep(0.05)

    def stop(self, how=signal.SIGINT):
        """SIGINT cuts connections and ends well, SIGQUIT at once."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=TIMEOUT_S)
            self.process = None

    def restart(self, how=signal.SIGINT):
        self.stop(how)
        return self.start()

    def url_for(self, user="admin", database="postgres"):
        return f"postgresql://{user}@/{database}?host={self.folder}"

    @property
    def url(self):
        return self.url_for()

    def connect(self, user="admin"):
        connection = psycopg2.connect(self.url_for(user))
        connection.autocommit = True
        return connection

    @staticmethod
    def cut(database):
        """The tool's connections; how many there were."""
        return len(
            database.run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'kms-envelope'"
            )
        )

    @staticmethod
    def sql(text):
        return text.replace("?", "%s")


class MariaDb:
    """A MariaDB server on a socket in a folder; the tool's user is admin, the tests' is root."""

    name = "mariadb"
    binary = "BLOB"
    key_text = "VARCHAR(200)"
    stops = {"well": signal.SIGTERM, "at once": signal.SIGKILL}
    lock_words = "Lock wait timeout"

    def __init__(self, folder, *more):
        self.folder, self.data, self.socket = folder, folder / "data", folder / "m.sock"
        self.more, self.process = more, None
        if os.geteuid() == 0:
            os.chown(folder, SERVER_UID, SERVER_GID)
        subprocess.run(as_server(*install_words(self.data)), check=True, capture_output=True, cwd=folder)

    def start(self):
        self.process = subprocess.Popen(
            as_server(
                *server_words(
                    self.data, self.socket, "--character-set-server=utf8mb4", "--max-recursive-iterations=1000000",
                    "--innodb-flush-log-at-trx-commit=2", *self.more,
                )
            ),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=open(self.folder / "log", "ab"), cwd=self.folder,
        )
        until = time.monotonic() + START_S
        while True:
            try:
                connection = self.connect(database=None)
                break
            except pymysql.MySQLError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < until, (self.folder / "log").read_text()
                time.sleep(0.05)
        cursor = connection.cursor()
        cursor.execute("CREATE DATABASE IF NOT EXISTS app")
        cursor.execute("CREATE USER IF NOT EXISTS admin@localhost")
        cursor.execute("GRANT ALL ON *.* TO admin@localhost")
        connection.close()
        return self

    def stop(self, how=signal.SIGTERM):
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=TIMEOUT_S)
            self.process = None

    def url_for(self, user="admin", database="app", more=""):
        return f"mysql://{user}@/{database}?socket={self.socket}{more}"

    @property
    def url(self):
        return self.url_for()

    def connect(self, user="root", database="app"):
        return pymysql.connect(
            unix_socket=str(self.socket), user=user, database=database, autocommit=True, charset="utf8mb4"
        )

    @staticmethod
    def cut(database):
        """The tool's connections; how many there were."""
        found = database.run("SELECT id FROM information_schema.processlist WHERE user = 'admin'")
        for (number,) in found:
            try:
                database.run(f"KILL {number}")
            except pymysql.MySQLError:
                pass  # it has ended by itself
        return len(found)

    @staticmethod
    def sql(text):
        return text.replace("?", "%s")


class Sqlite:
    """A file."""

    name = "sqlite"
    binary = "BLOB"
    key_text = "TEXT"

    def __init__(self, folder):
        self.path = folder / "database"

    @property
    def url(self):
        return f"sqlite:{self.path}"

    def connect(self):
        return sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)

    @staticmethod
    def sql(text):
        return text


class Application:
    """A program that has rows encrypted and decrypted, through EVP alone."""

    def __init__(self, site, key=None):
        self.process = site.start(ROWS_PROGRAM, *([key] if key else []))

    def ask(self, verb, aad, data):
        line = f"{verb} {aad.hex() or '-'} {data.hex() or '-'}\n"
        self.process.stdin.write(line.encode())
        self.process.stdin.flush()
        word, _, rest = self.process.stdout.readline().decode().rstrip("\n").partition(" ")
        assert word == "ok", f"{verb}: {rest}"
        return bytes.fromhex(rest)

    def encrypt(self, text, aad=b""):
        return self.ask("encrypt", aad, text)

    def decrypt(self, message, aad=b""):
        return self.ask("decrypt", aad, message)

    def end(self):
        _, error = self.process.communicate(timeout=TIMEOUT_S)
        assert self.process.returncode == 0, error.decode()


class DatabaseSite:
    """A site whose rows are in a database."""

    def __init__(self, site, server):
        self.site = site
        self.server = server
        self.connection = server.connect()
        self.application = Application(site)

    def close(self):
        self.application.end()
        self.connection.close()

    def run(self, sql, *values, connection=None):
        """A statement; its lines, if it has any."""
        cursor = (connection or self.connection).cursor()
        cursor.execute(self.server.sql(sql), *([values] if values else []))
        return [
            tuple(bytes(value) if isinstance(value, memoryview) else value for value in line)
            for line in (cursor.fetchall() if cursor.description else ())
        ]

    def reconnect(self):
        self.connection.close()
        self.connection = self.server.connect()

    def make_users(self, count, text="user%d@example.org"):
        self.run(f"CREATE TABLE users (id BIGINT PRIMARY KEY, email {self.server.binary})")
        self.run("BEGIN")
        for number in range(count):
            message = self.application.encrypt((text % number).encode(), b"users.email:%d" % number)
            self.run("INSERT INTO users VALUES (?, ?)", number, message)
        self.run("COMMIT")

    def users(self):
        """{id: (version, text)} of all rows; each must open."""
        return {
            number: (
                int.from_bytes(message[1:4], "big"),
                self.application.decrypt(message, b"users.email:%d" % number).decode(),
            )
            for number, message in self.run("SELECT id, email FROM users")
        }

    def words(self, *more):
        return (
            TOOL, "reencrypt", "--keys", self.site.keys, "--database", self.server.url, "--table", "users",
            "--column", "email", "--aad", "users.email:{id}", *more,
        )

    def reencrypt(self, *more):
        """What it says of a run that must work."""
        return self.site.ok(*self.words(*more)).decode()

    def reencrypt_fails(self, *more, code=1):
        return self.site.fails(*self.words(*more), code=code)


@pytest.fixture(scope="session")
def postgres_server():
    # Not pytest's own: others have no way in, and sockets want short names.
    with tempfile.TemporaryDirectory() as folder:
        started = Postgres(pathlib.Path(folder)).start()
        yield started
        started.stop()


@pytest.fixture
def postgres(site, postgres_server):
    made = DatabaseSite(site, postgres_server)
    made.run("DROP SCHEMA public CASCADE")
    made.run("CREATE SCHEMA public")
    yield made
    made.close()


@pytest.fixture
def sqlite(site, tmp_path):
    made = DatabaseSite(site, Sqlite(tmp_path))
    yield made
    made.close()


@pytest.fixture(scope="session")
def mariadb_server():
    with tempfile.TemporaryDirectory() as folder:
        started = MariaDb(pathlib.Path(folder)).start()
        yield started
        started.stop()


@pytest.fixture
def mariadb(site, mariadb_server):
    made = DatabaseSite(site, mariadb_server)
    for sql in ("DROP DATABASE app", "CREATE DATABASE app", "USE app"):
        made.run(sql)
    yield made
    made.close()


FIXTURES = {"postgresql": "postgres", "mariadb": "mariadb", "sqlite": "sqlite"}


@pytest.fixture(params=FIXTURES)
def database(request):
    return request.getfixturevalue(FIXTURES[request.param])


@pytest.fixture(params=["postgresql", "mariadb"])
def served(request):
    """A database that is a server, which may go away."""
    return request.getfixturevalue(FIXTURES[request.param])
