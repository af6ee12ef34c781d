# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL's pgcrypto, MariaDB's encryption at rest, SQLCipher: as
Debian has them, with a handle for their AES-256 key.

The servers run as an ordinary user, in a folder of their own, on unix sockets.
"""
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from aws_site import sanitizers
from conftest import ROOT, TIMEOUT_S
from drop_in_site import OtherUser, stop
from mariadb_site import install_words, server_words

DOCUMENT = ROOT / "docs" / "drop-in.md"
EMAIL = b"anna@example.org"
IV = bytes(range(16))
# A second, and what a busy machine takes to ask.
REVOKED_WITHIN_S = 1 + 1

pytestmark = [
    pytest.mark.skipif(bool(sanitizers()), reason="the programs that load us are not instrumented"),
    pytest.mark.skipif(not os.path.exists("/etc/debian_version"), reason="as Debian has them"),
]


@pytest.fixture
def site():
    with OtherUser() as made:
        yield made


def cbc(key, text=EMAIL, iv=IV):
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return encryptor.update(padder.update(text) + padder.finalize()) + encryptor.finalize()


def wait_until(ready, server, log):
    until = time.monotonic() + TIMEOUT_S
    while not ready():
        assert server.poll() is None and time.monotonic() < until, log.read_text(errors="replace")[-3000:]
        time.sleep(0.05)


# --- PostgreSQL ---------------------------------------------------------------

POSTGRESQL = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))


class Postgres:
    """A cluster; each start may have another environment."""

    def __init__(self, site):
        assert POSTGRESQL, "PostgreSQL is not installed: sh cmake/check.sh install"
        self.site, self.bin, self.log = site, POSTGRESQL[-1], site.folder / "postgres.log"
        site.ok(self.bin / "initdb", "-D", site.folder / "data", "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8")
        self.server = None

    def start(self, **options):
        self.stop()
        self.server = self.site.serve(
            self.log, self.bin / "postgres", "-D", self.site.folder / "data", "-k", self.site.folder,
            "-c", "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=16MB", **options,
        )  # fmt: skip
        wait_until(lambda: self.sql("SELECT 1").returncode == 0, self.server, self.log)

    def stop(self):
        if self.server:
            stop(self.server, signal.SIGINT)

    def words(self, *more):
        return ["psql", "-h", str(self.site.folder), "-U", "postgres", "-X", "-q", "-A", "-t", *more]

    def sql(self, text):
        return self.site.run(*self.words("-v", "ON_ERROR_STOP=1", "-c", text), env=self.site.without())

    def ok(self, text):
        done = self.sql(text)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def fails(self, text):
        done = self.sql(text)
        assert done.returncode != 0, done.stdout
        return done.stderr.decode()


@pytest.fixture
def postgres(site):
    made = Postgres(site)
    try:
        made.start()
        made.ok("CREATE EXTENSION pgcrypto")
        yield made
    finally:
        made.stop()


def encrypted(handle):
    return f"encrypt_iv('{EMAIL.decode()}', '{handle}', '\\x{IV.hex()}', 'aes-cbc/pad:pkcs')"


def decrypted(column, handle):
    return f"convert_from(decrypt_iv({column}, '{handle}', '\\x{IV.hex()}', 'aes-cbc/pad:pkcs'), 'UTF8')"


def test_pgcrypto_encrypts_a_column_under_a_key_of_the_kms(postgres, site):
    old = site.handle()
    assert site.check(old)[0] == 0
    postgres.ok("CREATE TABLE users (id int PRIMARY KEY, email bytea)")
    postgres.ok(f"INSERT INTO users SELECT n, {encrypted(old)} FROM generate_series(1, 1000) n")
    assert postgres.ok("SELECT DISTINCT encode(email, 'hex') FROM users") == cbc(site.aes_key(old)).hex()

    site.rotate()
    new = site.handle()
    postgres.ok(f"INSERT INTO users VALUES (1001, {encrypted(new)})")
    assert postgres.ok("SELECT count(DISTINCT email) FROM users") == "2"
    assert postgres.ok(f"SELECT count(*) FROM users WHERE id <= 1000 AND {decrypted('email', old)} = '{EMAIL.decode()}'") == "1000"
    assert postgres.ok(f"SELECT {decrypted('email', new)} FROM users WHERE id = 1001") == EMAIL.decode()

    # The same database without the drop-in: nothing opens, and check says why.
    postgres.start(env=site.without())
    assert "ERROR" in postgres.fails(f"SELECT {decrypted('email', old)} FROM users WHERE id = 1")
    assert postgres.ok(f"SELECT encode({encrypted(old)}, 'hex')") == cbc(old.encode()).hex()
    code, said = site.check(old, env=site.without())
    assert code == 1 and "not in force" in said

    postgres.start()
    assert postgres.ok(f"SELECT {decrypted('email', old)} FROM users WHERE id = 1") == EMAIL.decode()


def test_the_column_of_the_manual(postgres, site):
    """docs/drop-in.md, by psql, with the handle as a variable."""
    (script,) = re.findall(r"^```sql\n(.*?)^```$", DOCUMENT.read_text(), flags=re.MULTILINE | re.DOTALL)
    done = site.run(*postgres.words("-v", "ON_ERROR_STOP=1", "-v", f"handle={site.handle()}"), input=script.encode())
    assert (done.returncode, done.stdout) == (0, EMAIL + b"\n"), done.stderr.decode()
    iv, email = postgres.ok("SELECT encode(iv, 'hex'), encode(email, 'hex') FROM users").split("|")
    assert bytes.fromhex(email) == cbc(site.aes_key(site.handle()), iv=bytes.fromhex(iv))


def test_pgcrypto_with_a_handle_of_no_key_here(postgres, site):
    assert "Cipher cannot be initialized" in postgres.fails(f"SELECT {encrypted('kmsh' + 'A' * 28)}")


def test_a_revocation_stops_a_running_postgresql(postgres, site):
    handle = site.handle()
    session = subprocess.Popen(
        [*site.prefix, *postgres.words()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=site.without(), cwd=site.folder,
    )  # fmt: skip

    def ask():
        session.stdin.write(f"SELECT encode({encrypted(handle)}, 'hex');\n".encode())
        session.stdin.flush()
        return session.stdout.readline().decode()

    assert ask().strip() == cbc(site.aes_key(handle)).hex()
    site.revoke()
    until = time.monotonic() + REVOKED_WITHIN_S
    while "Cipher cannot be initialized" not in (said := ask()):
        assert time.monotonic() < until, said
        time.sleep(0.02)
    session.communicate(timeout=TIMEOUT_S)


def test_no_handle_survives_pgp_sym_encrypt(postgres, site):
    """It hashes what it is given: the drop-in has no part in it, and does no harm."""
    handle = site.handle()
    box = postgres.ok(f"SELECT encode(pgp_sym_encrypt('anna', '{handle}', 'cipher-algo=aes256'), 'hex')")
    postgres.start(env=site.without())
    assert postgres.ok(f"SELECT pgp_sym_decrypt('\\x{box}', '{handle}')") == "anna"


# --- MariaDB ------------------------------------------------------------------


class MariaDb:
    """A server whose tables, logs and temporary files are encrypted."""

    def __init__(self, site):
        self.site, self.log, self.server = site, site.folder / "mariadb.log", None
        self.data, self.key_file, self.socket = site.folder / "data", site.folder / "keys.txt", site.folder / "m.sock"
        site.ok(*install_words(self.data), env=site.without())

    def keys(self, *keys):
        """file_key_management's file: a number and a key in hex on each line."""
        lines = [f"{number};{key.hex() if isinstance(key, bytes) else key.encode().hex()}" for number, key in enumerate(keys, 1)]
        self.key_file.write_text("\n".join(lines) + "\n")
        self.key_file.chmod(0o644)

    def launch(self, **options):
        self.stop()
        self.server = self.site.serve(
            self.log, *server_words(self.data, self.socket),
            "--plugin-load-add=file_key_management", f"--file-key-management-filename={self.key_file}",
            "--file-key-management-encryption-algorithm=aes_cbc", "--innodb-encrypt-tables=ON", "--innodb-encrypt-log=ON",
            "--encrypt-tmp-disk-tables=ON", **options,
        )  # fmt: skip

    def start(self, **options):
        self.launch(**options)
        wait_until(lambda: self.sql("SELECT 1").returncode == 0, self.server, self.log)

    def stop(self):
        if self.server:
            stop(self.server, signal.SIGTERM)

    def sql(self, text):
        return self.site.run(
            "mariadb", "--no-defaults", f"--socket={self.socket}", "-u", "root", "-N", "-e", text, env=self.site.without()
        )

    def ok(self, text):
        done = self.sql(text)
        assert done.returncode == 0, done.stderr.decode() + self.log.read_text()[-2000:]
        return done.stdout.decode().strip()

    def can_read(self):
        """Whether a server that now runs, or has ended over it, gives the row."""
        until = time.monotonic() + TIMEOUT_S
        while self.server.poll() is None:
            assert time.monotonic() < until
            if self.sql("SELECT 1").returncode == 0:
                return EMAIL in self.sql("SELECT email FROM app.users").stdout
            time.sleep(0.05)
        return False


@pytest.fixture
def mariadb(site):
    made = MariaDb(site)
    yield made
    made.stop()


def test_mariadb_at_rest_is_under_a_key_of_the_kms(mariadb, site):
    old = site.handle()
    mariadb.keys(old)
    code, said = site.check(mariadb.key_file.read_text().split(";")[1].strip())
    assert code == 0, said
    mariadb.start()
    mariadb.ok("CREATE DATABASE app; CREATE TABLE app.users (email varchar(99)) ENCRYPTED=YES")
    mariadb.ok(f"INSERT INTO app.users VALUES ('{EMAIL.decode()}')")
    # It hashes a key to 128 bits for this one: no handle survives there.
    folded = mariadb.ok(f"SELECT HEX(AES_ENCRYPT('anna', '{old}'))")

    # A second key, of the newest version; both are in use.
    site.rotate()
    new = site.handle()
    mariadb.keys(old, new)
    mariadb.start()
    assert mariadb.ok("SELECT email FROM app.users") == EMAIL.decode()
    mariadb.ok("CREATE TABLE app.later ENCRYPTED=YES ENCRYPTION_KEY_ID=2 AS SELECT * FROM app.users")
    mariadb.stop()
    assert EMAIL not in (mariadb.data / "app" / "users.ibd").read_bytes()
    assert EMAIL not in (mariadb.data / "app" / "later.ibd").read_bytes()

    # The handles without the drop-in open nothing.
    mariadb.launch(env=site.without())
    assert not mariadb.can_read()
    # With it all is there, and is read on.
    mariadb.start()
    assert mariadb.ok("SELECT email FROM app.users UNION ALL SELECT email FROM app.later").split() == [EMAIL.decode()] * 2

    # And what MariaDB's AES had for a key is the key that is derived.
    mariadb.ok("DROP TABLE app.later")
    mariadb.stop()
    mariadb.keys(site.aes_key(old))
    mariadb.start(env=site.without())
    assert mariadb.ok("SELECT email FROM app.users") == EMAIL.decode()
    assert mariadb.ok(f"SELECT HEX(AES_ENCRYPT('anna', '{old}'))") == folded


# --- SQLCipher ----------------------------------------------------------------


def test_a_file_of_sqlcipher_is_under_a_key_of_the_kms(site, program):
    handle = site.handle()

    def sql(key, text, **options):
        key = key if isinstance(key, bytes) else key.encode()
        # Its HMAC takes another key than AES, made of the handle: off, to compare.
        start = f"PRAGMA key = \"x'{key.hex()}'\"; PRAGMA cipher_use_hmac = OFF;"
        return site.run(program("sqlcipher"), site.folder / "file.db", input=f"{start} {text}\n".encode(), **options)

    sql(handle, f"CREATE TABLE users (email); INSERT INTO users VALUES ('{EMAIL.decode()}');")
    assert EMAIL not in (site.folder / "file.db").read_bytes()
    select = "SELECT email FROM users;"
    assert EMAIL in sql(handle, select).stdout
    assert EMAIL not in sql(handle, select, env=site.without()).stdout
    assert EMAIL in sql(site.aes_key(handle), select, env=site.without()).stdout
