# SPDX-License-Identifier: Apache-2.0
"""kms-envelope reencrypt against its floor, in one run: README.md.

    /usr/bin/python3 bench/reencrypt_bench.py [ROWS [ROUNDS [JOBS [FILLFACTOR]]]]

Each round makes the table anew for either, and they take turns at being first.
"""
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "test" / "integration"))

# pylint: disable=wrong-import-position
from conftest import BUILD, TOOL, Site  # noqa: E402
from database_site import DatabaseSite, MariaDb, Postgres, Sqlite  # noqa: E402

FLOOR = BUILD / "bench" / "reencrypt_floor"


def messages(site, count):
    """Rows that EVP has written: many lines at once."""
    lines = "".join(
        f"encrypt {(b'users.email:%d' % number).hex()}"
        f" {(b'user%d@example.org' % number).hex()}\n"
        for number in range(count)
    )
    out = site.ok(BUILD / "test" / "integration" / "evp_rows", input=lines.encode(), timeout=600)
    return (bytes.fromhex(line[3:].decode()) for line in out.splitlines())


def load(database, count):
    database.run(f"CREATE TABLE master (id BIGINT PRIMARY KEY, email {database.server.binary})")
    rows = enumerate(messages(database.site, count))
    database.run("BEGIN")
    if database.server.name == "sqlite":
        database.connection.executemany("INSERT INTO master VALUES (?, ?)", rows)
    elif database.server.name == "mariadb":
        database.connection.cursor().executemany("INSERT INTO master VALUES (%s, %s)", rows)
    else:
        with tempfile.TemporaryFile("w+") as file:
            for number, message in rows:
                file.write(f"{number}\t\\\\x{message.hex()}\n")
            file.seek(0)
            database.connection.cursor().copy_expert("COPY master FROM STDIN", file)
    database.run("COMMIT")


def renew(database, fillfactor):
    """The table as it was, at rest."""
    database.run("DROP TABLE IF EXISTS users")
    is_postgres = database.server.name == "postgresql"
    with_ = f" WITH (fillfactor = {fillfactor})" if is_postgres else ""
    kind = "INTEGER" if database.server.name == "sqlite" else "BIGINT"
    database.run(f"CREATE TABLE users (id {kind} PRIMARY KEY, email {database.server.binary}){with_}")
    database.run("INSERT INTO users SELECT * FROM master ORDER BY id")
    if is_postgres:
        database.run("VACUUM ANALYZE users")
        database.run("CHECKPOINT")


def timed(command, count, needle, **options):
    begin = time.monotonic()
    out = subprocess.run([str(word) for word in command], check=True, capture_output=True, **options).stdout.decode()
    took = time.monotonic() - begin
    assert needle in out, out
    return count / took


def measure(database, count, rounds, jobs, fillfactor):
    def floor():
        words = (FLOOR, database.server.url, "users", "email", jobs)
        return timed(words, count, f"{count}\n")

    def ours():
        words = database.words("--jobs", jobs)
        return timed(words, count, f"{count} re-encrypted", env=database.site.environment)

    rates = {floor: [], ours: []}
    for number in range(rounds):
        for candidate in (floor, ours) if number % 2 == 0 else (ours, floor):
            renew(database, fillfactor)
            rates[candidate].append(candidate())
    ratios = sorted(a / b for a, b in zip(rates[ours], rates[floor]))
    print(
        f"{database.server.name:<11} floor {statistics.median(rates[floor]):9.0f} rows/s"
        f"  ours {statistics.median(rates[ours]):9.0f} rows/s"
        f"  ratio {statistics.median(ratios):.3f}  ({ratios[0]:.3f} - {ratios[-1]:.3f})",
        flush=True,
    )


def measure_census(database, count, rounds):
    """kms-envelope census, all of the program, against a count that reads the same column."""

    def floor():
        begin = time.monotonic()
        assert database.run("SELECT count(email) FROM users") == [(count,)]
        return time.monotonic() - begin

    def ours():
        words = (TOOL, "census", "--keys", database.site.keys, "--database", database.server.url)
        words += ("--table", "users", "--column", "email", "--key", "emails")
        return count / timed(words, count, f"{count} of version 2", env=database.site.environment)

    took = {floor: [], ours: []}
    for number in range(4 * rounds + 1):
        for candidate in (floor, ours) if number % 2 == 0 else (ours, floor):
            took[candidate].append(candidate())
    ratios = sorted(a / b for a, b in zip(took[ours][1:], took[floor][1:]))
    print(
        f"{database.server.name:<11} count {1000 * statistics.median(took[floor]):6.0f} ms"
        f"  census {1000 * statistics.median(took[ours]):6.0f} ms"
        f"  ratio {statistics.median(ratios):.3f}  ({ratios[0]:.3f} - {ratios[-1]:.3f})",
        flush=True,
    )


def bench(make, numbers):
    count, rounds, jobs, fillfactor = numbers
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as server_folder:
        site = Site(pathlib.Path(folder))
        site.create()
        server = make(pathlib.Path(server_folder))
        database = DatabaseSite(site, server)
        try:
            load(database, count)
            site.rotate()
            measure(database, count, rounds, jobs, fillfactor)
            database.reencrypt()
            if isinstance(server, Postgres):
                database.run("VACUUM ANALYZE users")
            if not isinstance(server, MariaDb):  # its rows are not counted yet
                measure_census(database, count, rounds)
        finally:
            database.close()
            if not isinstance(server, Sqlite):
                server.stop()


def main():
    given = [int(word) for word in sys.argv[1:]]
    numbers = given + [1000000, 3, 1, 100][len(given) :]
    print(f"{numbers[0]} rows, {numbers[1]} rounds, --jobs {numbers[2]}, fillfactor {numbers[3]}", flush=True)
    bench(lambda folder: Postgres(folder).start(), numbers)
    sizes = ("--innodb-buffer-pool-size=1G", "--innodb-log-file-size=512M")
    bench(lambda folder: MariaDb(folder, *sizes).start(), numbers)
    bench(Sqlite, numbers)


if __name__ == "__main__":
    main()
