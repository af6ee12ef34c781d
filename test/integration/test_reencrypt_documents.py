# SPDX-License-Identifier: Apache-2.0
"""What docs/reencrypt.md tells a reader to type is typed, and says what it says."""
import base64
import json
import re

from conftest import BUILD, ROOT
from database_site import Application, DatabaseSite, Sqlite
from test_retire import DAY_S, later

TEXT = (ROOT / "docs" / "reencrypt.md").read_text()
KEY = "customer-emails"
ROWS = 1000


class Shop(Sqlite):
    def __init__(self, folder):
        super().__init__(folder)
        self.path = folder / "shop.db"


def fill(site, shop):
    """The document's database: keys, users and phones."""
    application = Application(site, KEY)
    shop.run("CREATE TABLE users (id INTEGER PRIMARY KEY, email BLOB)")
    shop.run("CREATE TABLE phones (user_id INT NOT NULL, place TEXT NOT NULL, number TEXT)")
    shop.run("CREATE UNIQUE INDEX of_user ON phones (user_id, place)")
    shop.run("BEGIN")
    for number in range(ROWS):
        shop.run("INSERT INTO users VALUES (?, ?)", number, application.encrypt(b"anna"))
        message = application.encrypt(b"555", b"phones:%d/home" % number)
        shop.run("INSERT INTO phones VALUES (?, 'home', ?)", number, base64.b64encode(message).decode())
    shop.run("COMMIT")
    application.end()


def blocks():
    found = re.findall(r"^([^\n]*)\n```sh\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert all(mark == "<!-- test -->" for mark, _ in found)
    return [block for _, block in found]


def test_the_document_is_true(site):
    site.create(KEY)
    shop = DatabaseSite(site, Shop(site.folder))
    fill(site, shop)
    shop.close()
    (job,) = re.findall(r"^```ini\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
    (site.folder / "job.cnf").write_text(job)
    environment = {**site.environment, "PATH": f"{BUILD}:{site.environment['PATH']}"}
    waits = [0, 0, 0, 3600, 0, 30 * DAY_S]
    out = []
    for wait, block in zip(waits, blocks(), strict=True):
        later(site, wait, KEY)
        out.append(site.ok("sh", "-eu", "-c", block, env=environment).decode())
    dry, done, of_job, counted, retired, destroyed = out
    printed = re.findall(r"^    ((?:users\.email|phones\.number|customer-emails): .*)$", TEXT, flags=re.MULTILINE)
    told = "".join((dry, done, counted, retired, destroyed)).splitlines()
    assert told[1:-3] + told[-1:] == printed, "the second census is the first once more"
    assert told[-3:-1] == counted.splitlines()
    events = [json.loads(line) for line in of_job.splitlines()]
    assert [(event["event"], event["column"], event["reencrypted"]) for event in events] == [
        ("done", "users.email", 0), ("done", "phones.number", ROWS),
    ]  # fmt: skip
