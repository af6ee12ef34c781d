# SPDX-License-Identifier: Apache-2.0
"""Rows found by their e-mail address, though it is encrypted: stories of
KMS-ENVELOPE-SIV and KMS-ENVELOPE-INDEX, in real programs and in SQL."""
import base64
import importlib.util
import json
import sqlite3

import pytest

from conftest import ROOT, TOOL, Site

OVERHEAD = 20
PIECE = 4096  # of openssl enc
ANNA, BERT = "anna@example.org", "bert@example.org"


def lookup_vectors():
    """The second implementation: test/vectors/lookup.py."""
    spec = importlib.util.spec_from_file_location("lookup", ROOT / "test" / "vectors" / "lookup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def index(site, value, *options, name="emails"):
    """What openssl mac prints, as bytes."""
    words = [word for option in (f"key:{name}", *options) for word in ("-macopt", option)]
    made = site.ok("openssl", "mac", *words, "-in", "-", "KMS-ENVELOPE-INDEX", input=value.encode())
    return bytes.fromhex(made.decode())


def entries(values, size):
    """{version: value} of what all-versions gives."""
    step = 4 + size
    assert len(values) % step == 0
    return {
        int.from_bytes(values[at : at + 4], "big"): values[at + 4 : at + step]
        for at in range(0, len(values), step)
    }


def tool_index(site, *lines, options=(), name="emails"):
    out = site.ok(
        TOOL, "index", name, "--keys", site.keys, *options, input="".join(f"{line}\n" for line in lines).encode()
    )
    return out.decode().splitlines()


def siv(site, value, *options):
    return site.ok("openssl", "enc", "-kms-envelope-siv", "-K", Site.enc_key("emails"), *options, input=value)


# --- a table of users, searched by e-mail ------------------------------------


class Users:
    """A row has the e-mail, encrypted, and its blind index, which is unique."""

    def __init__(self, site):
        self.site = site
        self.db = sqlite3.connect(":memory:")
        self.db.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, email BLOB, email_index BLOB UNIQUE)")

    def values(self, email):
        found = index(self.site, email, "all-versions:1")
        return list(entries(found, 16).values())

    def find(self, email):
        values = self.values(email)
        marks = ", ".join("?" * len(values))
        rows = self.db.execute(f"SELECT id, email FROM users WHERE email_index IN ({marks})", values).fetchall()
        return [(row, self.site.decrypt(box).decode()) for row, box in rows]

    def add(self, email):
        """No two rows with one address, whichever version the other is under."""
        if self.find(email):
            raise sqlite3.IntegrityError("there is one already")
        self.db.execute(
            "INSERT INTO users (email, email_index) VALUES (?, ?)",
            (self.site.encrypt(email.encode()), index(self.site, email)),
        )

    def renew(self, row):
        (box,) = self.db.execute("SELECT email FROM users WHERE id = ?", (row,)).fetchone()
        email = self.site.decrypt(box).decode()
        self.db.execute(
            "UPDATE users SET email = ?, email_index = ? WHERE id = ? AND email = ?",
            (self.site.encrypt(email.encode()), index(self.site, email), row, box),
        )


def test_a_unique_email_is_found_while_rows_are_on_two_versions(site):
    users = Users(site)
    users.add(ANNA)
    site.rotate()
    users.add(BERT)
    assert users.find(ANNA) == [(1, ANNA)]
    assert users.find(BERT) == [(2, BERT)]
    assert users.find("carl@example.org") == []
    for email in (ANNA, BERT):
        with pytest.raises(sqlite3.IntegrityError):
            users.add(email)
    # The newest version alone does not find the old row: why all are asked.
    (newest,) = users.db.execute(
        "SELECT count(*) FROM users WHERE email_index = ?", (index(site, ANNA),)
    ).fetchone()
    assert newest == 0
    users.renew(1)
    assert users.find(ANNA) == [(1, ANNA)]
    assert users.db.execute(
        "SELECT count(*) FROM users WHERE email_index = ?", (index(site, ANNA),)
    ).fetchone() == (1,)


def test_the_deterministic_column_is_searched_itself(site):
    """No second column: the e-mail under KMS-ENVELOPE-SIV is the index."""
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, email BLOB UNIQUE)")
    for email in (ANNA, BERT):
        db.execute("INSERT INTO users (email) VALUES (?)", (siv(site, email.encode()),))
    with pytest.raises(sqlite3.IntegrityError):
        db.execute("INSERT INTO users (email) VALUES (?)", (siv(site, ANNA.encode()),))
    found = db.execute("SELECT id, email FROM users WHERE email = ?", (siv(site, BERT.encode()),)).fetchall()
    assert [row for row, _ in found] == [2]
    assert siv(site, found[0][1], "-d") == BERT.encode()
    # What is left to renew after a rotation, as with KMS-ENVELOPE.
    site.rotate()
    count = db.execute("SELECT hex(substr(email, 1, 4)), count(*) FROM users GROUP BY 1").fetchall()
    assert count == [("C4000001", 2)]


def test_a_revoked_version_finds_nothing_and_fails_no_lookup(site):
    old = index(site, ANNA)
    site.rotate()
    assert set(entries(index(site, ANNA, "all-versions:1"), 16)) == {1, 2}
    site.tool("revoke", "emails", "--keys", site.keys, "--version", "1", "--yes")
    assert set(entries(index(site, ANNA, "all-versions:1"), 16)) == {2}
    assert old not in entries(index(site, ANNA, "all-versions:1"), 16).values()
    error = site.fails(
        "openssl", "mac", "-macopt", "key:emails", "-macopt", "key-version:1", "KMS-ENVELOPE-INDEX", input=b"x"
    )
    assert "revoked" in error


def test_a_lookup_that_would_be_incomplete_fails(site):
    """One version's master key is away: rows under it would not be found."""
    other = site.folder / "other-master-key"
    site.rotate()
    site.tool("rewrap", "emails", "--keys", site.keys, "--to", f"local:{other}")
    file = json.loads(site.key_file().read_text())
    file["versions"][0]["copies"][0]["kms"] = f"local:{site.folder / 'gone'}"
    site.key_file().write_text(json.dumps(file))
    assert len(index(site, ANNA)) == 16
    error = site.fails(
        "openssl", "mac", "-macopt", "key:emails", "-macopt", "all-versions:1", "KMS-ENVELOPE-INDEX", input=b"x"
    )
    assert "version 1" in error and "gone" in error
    error = site.fails(TOOL, "index", "emails", "--keys", site.keys, "--all-versions", input=b"x\n")
    assert "gone" in error


# --- openssl mac and the tool -------------------------------------------------


def test_openssl_mac_names_the_key_in_each_way(site):
    site.create("orders")
    wanted = index(site, ANNA)
    assert len(wanted) == 16
    assert index(site, ANNA, name="orders") != wanted
    for option in ("hexkey:" + b"emails".hex(), "hexkey:" + b"emails".ljust(32, b"\0").hex(), "key-name:emails"):
        made = site.ok("openssl", "mac", "-macopt", option, "KMS-ENVELOPE-INDEX", input=ANNA.encode())
        assert bytes.fromhex(made.decode()) == wanted
    assert site.ok("openssl", "mac", "KMS-ENVELOPE-INDEX", input=ANNA.encode()).decode().strip() == wanted.hex().upper()
    for size in (4, 20, 32):
        assert index(site, ANNA, f"size:{size}")[:16] == wanted[:size]
    for options, complaint in (
        (("-macopt", "size:3"), "4 to 32 bytes"),
        (("-macopt", "key:nobody"), "nobody"),
        (("-macopt", "key:Not A Name"), "must be a key's name"),
        (("-macopt", "digest:SHA256"), "digest"),
    ):
        assert complaint in site.fails("openssl", "mac", *options, "KMS-ENVELOPE-INDEX", input=b"x")


def test_the_tool_prints_what_the_provider_makes(site):
    site.rotate()
    assert tool_index(site, ANNA, BERT) == [index(site, ANNA).hex(), index(site, BERT).hex()]
    both = entries(index(site, ANNA, "all-versions:1", "size:20"), 20)
    wanted = " ".join(f"{version}:{value.hex()}" for version, value in both.items())
    assert tool_index(site, ANNA, options=("--all-versions", "--size", "20")) == [wanted]
    assert tool_index(site, ANNA, options=("--version", "1", "--size", "20")) == [both[1].hex()]
    (printed,) = tool_index(site, ANNA, options=("--base64",))
    assert base64.b64decode(printed) == index(site, ANNA)
    assert tool_index(site) == []
    assert tool_index(site, "") == [index(site, "").hex()]
    unterminated = site.ok(TOOL, "index", "emails", "--keys", site.keys, input=b"a\0b\xff")
    assert len(unterminated) == 33


def test_the_tool_refuses_what_it_cannot_do(site):
    def fails(*options, code=1):
        return site.fails(TOOL, "index", *options, "--keys", site.keys, code=code, input=b"x\n")

    assert "nobody" in fails("nobody")
    assert "no such version" in fails("emails", "--version", "2")
    assert "only one of them" in fails("emails", "--version", "1", "--all-versions", code=2)
    for size in ("3", "33", "x", "-4"):
        assert "4 to 32" in fails("emails", "--size", size, code=2)
    site.rotate()
    site.tool("revoke", "emails", "--keys", site.keys, "--version", "1", "--yes")
    assert "revoked" in fails("emails", "--version", "1")
    # A file that something else changed proves nothing.
    site.key_file().write_text(site.key_file().read_text().replace('"revoked"', '"active"'))
    assert "changed by something else" in fails("emails")
    error = site.fails("openssl", "mac", "-macopt", "all-versions:1", "KMS-ENVELOPE-INDEX", input=b"x")
    assert "changed by something else" in error


def test_inspect_tells_a_deterministic_message(site):
    box = siv(site, ANNA.encode())
    shown = site.ok(TOOL, "inspect", "-", input=box).decode()
    assert "0xC4 (KMS-ENVELOPE-SIV, AES-256-SIV)" in shown
    assert "key version  1\n" in shown and f"plaintext    {len(ANNA)} bytes" in shown
    assert "the shortest message has 20" in site.fails(TOOL, "inspect", "-", input=box[:19])
    assert "out of range" in site.fails(TOOL, "inspect", "-", input=b"\xc4\0\0\0" + box[4:])


# --- against the second implementation ----------------------------------------


def data_key_of(site):
    """Imported, so that the test knows it too."""
    key = bytes(range(32))
    site.ok(
        TOOL,
        *("create", "known", "--keys", site.keys, "--master-key", f"local:{site.master_key}"),
        *("--from-plaintext", "-"),
        input=key,
    )
    return key, bytes.fromhex(json.loads(site.key_file("known").read_text())["id"])


def test_another_implementation_reads_and_makes_the_same(site):
    lookup = lookup_vectors()
    data_key, key_id = data_key_of(site)
    for value in (b"", b"a", ANNA.encode(), b"x" * 4000):
        box = site.ok("openssl", "enc", "-kms-envelope-siv", "-K", Site.enc_key("known"), input=value)
        assert len(box) == len(value) + OVERHEAD
        assert lookup.decrypt(data_key, key_id, box) == value
        made = index(site, value.decode(), "size:32", name="known")
        assert made == lookup.index(data_key, key_id, 1, value, 32)


# --- programs that know nothing of it -----------------------------------------


def test_openssl_enc_takes_what_fits_one_piece_and_says_so_of_the_rest(site):
    enc = ("openssl", "enc", "-kms-envelope-siv", "-K", Site.enc_key("emails"))
    value = b"x" * (PIECE - OVERHEAD)
    assert siv(site, siv(site, value), "-d") == value
    error = site.fails(*enc, input=b"x" * (PIECE + 1))
    assert "whole message in one Update" in error
    done = site.run(*enc, "-d", input=siv(site, value + b"y"))
    assert done.returncode == 1 and done.stdout == b""
    assert "whole message in one Update" in done.stderr.decode()


def test_php_finds_a_user(site):
    script = f"""
        $seal = fn($v) => openssl_encrypt($v, 'kms-envelope-siv', 'emails', OPENSSL_RAW_DATA);
        $rows = [];
        foreach (['{ANNA}', '{BERT}', ''] as $id => $email) $rows[bin2hex($seal($email))] = $id;
        echo count($rows), ' ', $rows[bin2hex($seal('{BERT}'))], ' ';
        foreach ($rows as $box => $id)
            echo openssl_decrypt(hex2bin($box), 'kms-envelope-siv', 'emails', OPENSSL_RAW_DATA), ',';
        var_dump(openssl_decrypt(substr($seal('x'), 0, -1), 'kms-envelope-siv', 'emails', OPENSSL_RAW_DATA));
    """
    out = site.ok("php", "-r", script).decode()
    assert out == f"3 1 {ANNA},{BERT},,bool(false)\n"


def test_php_finds_a_user_on_either_of_two_versions(site):
    """PHP can set no parameter: the version stands behind the name."""
    script = """
        foreach (explode(' ', $argv[2]) as $key)
            echo bin2hex(openssl_encrypt($argv[1], 'kms-envelope-siv', $key, OPENSSL_RAW_DATA)), ' ';
    """

    def php(email, keys):
        return site.ok("php", "-r", script, email, keys).decode().split()

    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT UNIQUE)")
    db.execute("INSERT INTO users (email) VALUES (?)", php(ANNA, "emails"))
    site.rotate()
    db.execute("INSERT INTO users (email) VALUES (?)", php(BERT, "emails"))
    for email, found in ((ANNA, [(1,)]), (BERT, [(2,)]), ("carl@example.org", [])):
        sought = php(email, "emails/1 emails/2")
        assert db.execute("SELECT id FROM users WHERE email IN (?, ?)", sought).fetchall() == found


def test_ruby_finds_a_user(site):
    script = f"""
        key = "emails".ljust(32, "\\0")
        seal = lambda do |v|
          c = OpenSSL::Cipher.new("kms-envelope-siv").encrypt
          c.key = key
          c.update(v) + c.final
        end
        rows = {{ seal.("{ANNA}") => 0, seal.("{BERT}") => 1 }}
        print rows.fetch(seal.("{BERT}")), " "
        d = OpenSSL::Cipher.new("kms-envelope-siv").decrypt
        d.key = key
        print d.update(rows.key(0)) + d.final
        begin
          c = OpenSSL::Cipher.new("kms-envelope-siv").encrypt
          c.key = key
          c.update("a") + c.update("b")
        rescue OpenSSL::Cipher::CipherError
          print " refused"
        end
    """
    assert site.ok("ruby", "-ropenssl", "-e", script).decode() == f"1 {ANNA} refused"


def test_node_finds_a_user(site):
    script = f"""
        const {{ createCipheriv, createDecipheriv }} = require("crypto");
        const key = Buffer.alloc(32); key.write("emails");
        const seal = (v) => {{
            const c = createCipheriv("kms-envelope-siv", key, null);
            return Buffer.concat([c.update(v), c.final()]).toString("hex");
        }};
        const rows = new Map([["{ANNA}", 0], ["{BERT}", 1]].map(([v, id]) => [seal(v), id]));
        const d = createDecipheriv("kms-envelope-siv", key, null);
        const box = Buffer.from(seal("{BERT}"), "hex");
        console.log(rows.get(seal("{BERT}")), Buffer.concat([d.update(box), d.final()]).toString());
    """
    assert site.ok("node", "-e", script).decode() == f"1 {BERT}\n"
