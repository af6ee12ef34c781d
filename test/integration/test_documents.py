# SPDX-License-Identifier: Apache-2.0
"""What the documents tell a reader to type is typed, and gives what they say."""
import json
import os
import re
import sqlite3
import subprocess

import pytest

from conftest import BUILD, ROOT, TIMEOUT_S

README = (ROOT / "README.md").read_text()
MAN = ROOT / "docs" / "man"
MARK = "<!-- test -->"
EMAIL = "anna@example.org"
# Between two blocks of a session, on stdout.
SEPARATOR = "== end of block =="
# All that a session of README may say on stderr.
HINTS = ("back it up", "hex string is too short, padding", "nothing was verified")


def export_line():
    """README's line for trying the build from here."""
    (line,) = re.findall(r"^    (export PATH=.*)$", README, flags=re.MULTILINE)
    return line


def session(folder, blocks):
    """Run the blocks in one shell, as one types them; the output of each."""
    release = folder / "build" / "release"
    release.parent.mkdir()
    release.symlink_to(BUILD)
    script = [export_line()]
    for block in blocks:
        script += [block, f"echo '{SEPARATOR}'"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENSSL_")}
    done = subprocess.run(
        ["sh", "-eu", "-c", "\n".join(script)],
        capture_output=True, check=False, cwd=folder, env=environment, text=True, timeout=TIMEOUT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for line in done.stderr.splitlines():
        assert any(hint in line for hint in HINTS), line
    outputs = done.stdout.split(SEPARATOR + "\n")
    assert outputs.pop() == ""
    return outputs


def fenced(language):
    """README's blocks of a language, each with the line before it."""
    return re.findall(rf"^([^\n]*)\n```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


# README.


@pytest.fixture(scope="module")
def readme(tmp_path_factory):
    """The folder after README's session, and what each block printed."""
    folder = tmp_path_factory.mktemp("readme")
    return folder, session(folder, [block for _, block in fenced("sh")])


def test_every_shell_block_is_marked_as_tested():
    unmarked = [block for before, block in fenced("sh") if before != MARK]
    assert unmarked == []
    # No block of another name, or none, that a shell would run.
    fences = re.findall(r"^```(.*)$", README, flags=re.MULTILINE)
    languages, ends = fences[::2], fences[1::2]
    assert set(ends) == {""}
    assert set(languages) == {"sh", "c"}
    assert README.count(MARK) == languages.count("sh")


def test_the_first_block_makes_a_key(readme):
    folder, outputs = readme
    assert outputs[0] == "customer-emails: version 1 encrypts from now on\n"
    assert (folder / "keys" / "customer-emails.json").is_file()
    assert f"keys = {folder}/keys\n" in (folder / "openssl.cnf").read_text()


def test_a_file_is_read_back_after_the_rotation(readme):
    folder, outputs = readme
    lines = outputs[1].splitlines()
    assert lines[:2] == ["customer-emails: version 2 encrypts from now on", EMAIL]
    assert (folder / "file.kmse").read_bytes()[:4].hex().upper() == "4B000001"
    assert "key version  1" in lines
    versions = [line.split()[1:3] for line in lines if line.startswith("customer-emails ")]
    assert versions == [["1", "active"], ["*2", "active"]]


def test_openssl_php_ruby_and_node_print_what_they_encrypted(readme):
    _, outputs = readme
    assert outputs[2:] == [f"{EMAIL}\n", "anna\n", "anna\n", "anna\n"]
    blocks = [block.split()[0] for _, block in fenced("sh")]
    assert blocks[3:] == ["php", "ruby", "node"]
    assert "openssl enc" in fenced("sh")[2][1]


def test_the_query_counts_rows_by_version(readme):
    folder, _ = readme
    run = {"check": True, "cwd": folder, "capture_output": True}
    environment = {**os.environ, "OPENSSL_CONF": f"{folder}/openssl.cnf", "OPENSSL_MODULES": str(BUILD)}
    enc = ["openssl", "enc", "-kms-envelope", "-K", "0"]
    new = subprocess.run(enc, input=EMAIL.encode(), env=environment, **run).stdout
    old = (folder / "file.kmse").read_bytes()
    query = re.search(r"`(SELECT hex.*?)`", README, flags=re.DOTALL).group(1)
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE TABLE users (email BLOB)")
        database.executemany("INSERT INTO users VALUES (?)", [(old,), (new,), (new,)])
        assert database.execute(query).fetchall() == [("4B000001", 1), ("4B000002", 2)]


def test_readme_names_the_two_commands_and_they_are_there():
    commands = re.findall(r"^    sh (cmake/\w+\.sh)  ", README, flags=re.MULTILINE)
    assert commands == ["cmake/quickstart.sh", "cmake/check.sh"]
    for command in commands:
        subprocess.run(["sh", "-n", ROOT / command], check=True)


def test_what_readme_points_to_is_there():
    links = re.findall(r"\]\(([^)]+)\)", README)
    files = re.findall(r"`([\w./-]+\.(?:c|md|sh|example))`", README)
    assert {"docs/format.md", "SECURITY.md"} <= set(links)
    assert {"examples/emails.c", "openssl.cnf.example"} <= set(files)
    for name in [*links, *files]:
        assert (ROOT / name).is_file(), name
    pages = re.findall(r"([\w-]+)\((\d)\)", README.split("Manual pages:")[1].split(".\n")[0])
    assert sorted(f"{name}.{section}" for name, section in pages) == sorted(page.name for page in MAN.iterdir())


def test_readme_s_verbs_are_the_tool_s():
    table = README.split("## The tool")[1].split("\n\n")[1]
    described = re.findall(r"^\| `([a-z-]+)", table, flags=re.MULTILINE)
    help_text = subprocess.run([BUILD / "kms-envelope", "help"], capture_output=True, check=True, text=True).stdout
    offered = re.findall(r"^  ([a-z][a-z-]*)  ", help_text, flags=re.MULTILINE)
    assert described == offered


# C, of README and of the manual page.

C_AROUND = """\
#include <openssl/evp.h>
int message(EVP_CIPHER_CTX *ctx, unsigned char *out, const unsigned char *aad,
            int aad_len, const unsigned char *email, int email_len);
int message(EVP_CIPHER_CTX *ctx, unsigned char *out, const unsigned char *aad,
            int aad_len, const unsigned char *email, int email_len)
{
    const unsigned char *in = email;
    int in_len = email_len, n = 0, tail = 0;
%s
    EVP_CIPHER_free(cipher);
    return n + tail + (in == NULL) + in_len;
}
"""


MAC_AROUND = """\
#include <openssl/evp.h>
size_t index_of(const unsigned char *email, size_t email_len);
size_t index_of(const unsigned char *email, size_t email_len)
{
    unsigned char value[32];
    size_t value_len = 0;
%s
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
    return value_len;
}
"""


def compiles(code, around=C_AROUND):
    done = subprocess.run(
        ["gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c", "-"],
        input=around % code, capture_output=True, check=False, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_readme_s_c_compiles():
    ((_, code),) = fenced("c")
    compiles(code)


# Manual pages.


def literal(page, section):
    """The display blocks of a section, as a reader sees them."""
    text = (MAN / page).read_text().split(f".Sh {section}\n")[1].split("\n.Sh ")[0]
    blocks = re.findall(r"^\.Bd -literal[^\n]*\n(.*?)^\.Ed$", text, flags=re.MULTILINE | re.DOTALL)
    for block in blocks:
        assert not re.search(r"\\[^e]|^\.", block), "roff that this does not read"
    return [block.replace("\\e", "\\") for block in blocks]


def test_the_manual_page_s_c_compiles():
    (code,) = literal("EVP_CIPHER-KMS-ENVELOPE.7", "SYNOPSIS")
    compiles(code)


def test_the_stream_s_page_s_c_compiles():
    (code,) = literal("EVP_CIPHER-KMS-ENVELOPE-STREAM.7", "SYNOPSIS")
    compiles(code)


LOOKUP_PAGES = {"EVP_CIPHER-KMS-ENVELOPE-SIV.7", "EVP_MAC-KMS-ENVELOPE-INDEX.7"}


def test_every_example_of_a_manual_page_is_tested_here():
    pages = {page.name for page in MAN.iterdir() if "\n.Sh EXAMPLES\n" in page.read_text()}
    of_objects = {"EVP_CIPHER-KMS-ENVELOPE.7", "EVP_CIPHER-KMS-ENVELOPE-STREAM.7", "EVP_PKEY-KMS-ENVELOPE.7"}
    assert pages == {"kms-envelope.1", "kms-envelope-keyfile.5", *of_objects, *LOOKUP_PAGES}


def test_the_examples_of_the_tool_s_page(tmp_path):
    (block,) = literal("kms-envelope.1", "EXAMPLES")
    (output,) = session(tmp_path, [block])
    lines = output.splitlines()
    assert lines[0] == "customer-emails: version 1 encrypts from now on"
    assert re.match(r"customer-emails: version 2 encrypts from 20.*Z", lines[1])
    versions = [line.split()[1:3] for line in lines if line.startswith("customer-emails ")]
    assert [number for number, _ in versions] == ["*1", "2"]


def test_the_examples_of_the_cipher_s_page(tmp_path):
    setup = fenced("sh")[0][1]
    (block,) = literal("EVP_CIPHER-KMS-ENVELOPE.7", "EXAMPLES")
    _, _, output = session(tmp_path, [setup, f"echo {EMAIL} > file", block])
    assert output == ""
    assert (tmp_path / "file").read_text() == f"{EMAIL}\n"
    assert (tmp_path / "file.kmse").read_bytes()[:4].hex().upper() == "4B000001"


def test_the_examples_of_the_stream_s_page(tmp_path):
    setup = fenced("sh")[0][1]
    (block,) = literal("EVP_CIPHER-KMS-ENVELOPE-STREAM.7", "EXAMPLES")
    make, away = f"mkdir folder; echo {EMAIL} > folder/file", "mv folder was"
    *commands, unpack = block.splitlines()
    session(tmp_path, [setup, make, "\n".join(commands), away, unpack])
    assert (tmp_path / "folder" / "file").read_text() == f"{EMAIL}\n"
    assert (tmp_path / "backup").read_bytes()[:4].hex().upper() == "D3000001"


def test_the_examples_of_the_key_s_page(tmp_path):
    setup = fenced("sh")[0][1]
    use, carry = literal("EVP_PKEY-KMS-ENVELOPE.7", "EXAMPLES")
    *_, output, nothing = session(tmp_path, [setup, f"echo {EMAIL} > file", use, carry])
    lines = output.splitlines()
    assert lines[:2] == [EMAIL, "0: Name: kms-envelope:customer-emails"]
    assert lines[4] == "KMS-ENVELOPE key: orders" and "Version 1: active, encrypts" in lines
    assert nothing == ""
    label, *base64, _ = (tmp_path / "orders.pem").read_text().splitlines()
    assert label == "-----BEGIN KMS-ENVELOPE KEY-----" and len(base64) > 10


STORE_AROUND = """\
#include <openssl/evp.h>
#include <openssl/store.h>
int message(unsigned char *out, size_t out_len, const unsigned char *in, size_t in_len);
int message(unsigned char *out, size_t out_len, const unsigned char *in, size_t in_len)
{
%s
    return OSSL_STORE_close(store);
}
"""


def test_the_key_s_page_s_c_compiles():
    (code,) = literal("EVP_PKEY-KMS-ENVELOPE.7", "SYNOPSIS")
    compiles(code, STORE_AROUND)


def test_the_examples_of_the_pages_for_look_ups(tmp_path):
    setup = [fenced("sh")[0][1], "kms-envelope rotate customer-emails --keys keys"]
    siv = literal("EVP_CIPHER-KMS-ENVELOPE-SIV.7", "EXAMPLES")
    mac = literal("EVP_MAC-KMS-ENVELOPE-INDEX.7", "EXAMPLES")
    *_, opened, php, made, printed = session(tmp_path, setup + siv + mac)
    assert (opened, php) == (EMAIL, "anna\n")
    assert (tmp_path / "email.siv").read_bytes()[:4].hex().upper() == "C4000002"
    whole, short, both = [line.lower() for line in made.split()]
    assert len(whole) == 32 and short == whole[:16]
    old, new = re.fullmatch(r"00000001(.{32})00000002(.{32})", both).groups()
    assert new == whole != old
    assert printed == f"1:{old} 2:{new}\n"


def test_the_c_of_the_pages_for_look_ups_compiles():
    (cipher,) = literal("EVP_CIPHER-KMS-ENVELOPE-SIV.7", "SYNOPSIS")
    compiles(cipher)
    (mac,) = literal("EVP_MAC-KMS-ENVELOPE-INDEX.7", "SYNOPSIS")
    compiles(mac, MAC_AROUND)


def test_the_query_of_the_index_s_page_runs():
    (sql,) = literal("EVP_MAC-KMS-ENVELOPE-INDEX.7", "DESCRIPTION")
    *statements, select = [line for line in sql.splitlines() if line]
    with sqlite3.connect(":memory:") as database:
        for statement in statements:
            database.execute(statement)
        database.execute("INSERT INTO users VALUES (x'01', x'02')")
        assert database.execute(select, {"value_1": b"\1", "value_2": b"\2"}).fetchall() == [(b"\1",)]


def test_the_configuration_of_the_provider_s_page_loads(tmp_path):
    create = fenced("sh")[0][1].splitlines()[:2]
    (configuration,) = literal("OSSL_PROVIDER-kms-envelope.7", "SYNOPSIS")
    keys = "/etc/kms-envelope/keys"
    assert configuration.count(keys) == 1
    (tmp_path / "openssl.cnf").write_text(configuration.replace(keys, f"{tmp_path}/keys"))
    use = "export OPENSSL_CONF=$PWD/openssl.cnf\n" + fenced("sh")[2][1]
    *_, output = session(tmp_path, ["\n".join(create), f"echo {EMAIL} > file", use])
    assert output == f"{EMAIL}\n"


def shape(value):
    """The fields of a JSON value, in their order, and the types of the rest."""
    if isinstance(value, dict):
        return [(name, shape(entry)) for name, entry in value.items()]
    if isinstance(value, list):
        return [shape(entry) for entry in value]
    return type(value).__name__


def test_the_key_file_of_the_manual_page_is_what_create_writes(readme):
    folder, _ = readme
    (block,) = literal("kms-envelope-keyfile.5", "EXAMPLES")
    shown = json.loads(block)
    written = json.loads((folder / "keys" / "customer-emails.json").read_text())
    written["versions"] = written["versions"][:1]
    assert shape(shown) == shape(written)
    assert shown["format"] == written["format"]
    assert shown["versions"][0]["copies"][0]["context"] == written["versions"][0]["copies"][0]["context"]


# docs/kms-local.md.

LOCAL = (ROOT / "docs" / "kms-local.md").read_text()


def indented(start):
    """The indented block of docs/kms-local.md that begins so."""
    block = re.search(rf"(?:^    {start}.*\n)(?:^    .*\n)*", LOCAL, flags=re.MULTILINE).group()
    return re.sub(r"^    ", "", block, flags=re.MULTILINE)


def test_the_commands_of_the_local_kms_and_its_file(tmp_path):
    commands = indented("kms-envelope create")
    assert [line.split()[1] for line in commands.splitlines() if line.startswith("kms-envelope")] == [
        "create",
        "rotate-master",
        "rewrap",
    ]
    session(tmp_path, [commands.replace("/etc/kms-envelope", str(tmp_path))])
    written = json.loads((tmp_path / "master.json").read_text())
    shown = json.loads(indented(r"\{"))
    assert shape(shown) == shape(written)
    assert shown["format"] == written["format"]
    assert [key["number"] for key in written["backing-keys"]] == [1, 2]
