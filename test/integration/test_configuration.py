# SPDX-License-Identifier: Apache-2.0
"""openssl.cnf: the example, every key, every bad value, and the limits."""
import os
import re
import time

import pytest

from conftest import BUILD, MODULE, ROOT, TOOL, version_of

SOURCE = ROOT / "provider" / "glue" / "config.c"
PARAMS = ROOT / "include" / "kms_envelope" / "params.h"
MAN_PAGE = ROOT / "docs" / "man" / "OSSL_PROVIDER-kms-envelope.7"
EXAMPLE = ROOT / "openssl.cnf.example"
EXAMPLE_KEYS = "keys = /etc/kms-envelope/keys\n"


def table():
    """The configuration keys and defaults (None: no default) of the source."""
    names = dict(re.findall(r'#define (KMSE_CONF_\w+)\s+"(.*)"', PARAMS.read_text()))
    text = SOURCE.read_text().split("OPTIONS[] = {")[1].split("\n};")[0]
    rows = re.findall(r'\{(KMSE_CONF_\w+),\s*parse_\w+,\s*(?:NULL|"([^"]*)"),', text)
    assert len(rows) == text.count("FIELD(") == len(names)
    return {names[macro]: default or None for macro, default in rows}


TABLE = table()


def example_pairs():
    """The (key, value, is commented out) of the example's own section."""
    section = EXAMPLE.read_text().split("\n[kms_envelope]\n")[1]
    pairs = re.findall(r"^(#?)([a-z-]+) = (.*)$", section, flags=re.MULTILINE)
    return [(key, value, mark == "#") for mark, key, value in pairs]


# The example.


@pytest.fixture
def example(site):
    """The example as an installed user has it: only the folder is another."""
    text = EXAMPLE.read_text()
    assert text.count(EXAMPLE_KEYS) == 1
    site.conf.write_text(text.replace(EXAMPLE_KEYS, f"keys = {site.keys}\n"))
    return site


@pytest.fixture(autouse=True)
def no_modules_folder(monkeypatch):
    monkeypatch.delenv("OPENSSL_MODULES", raising=False)


@pytest.fixture
def modules_folder(monkeypatch):
    monkeypatch.setenv("OPENSSL_MODULES", str(BUILD))


@pytest.mark.usefixtures("modules_folder")
def test_the_example_loads_as_it_is(example, program):
    assert example.decrypt(example.encrypt(b"anna", "emails"), "emails") == b"anna"
    assert example.ok("openssl", "dgst", "-sha256", input=b"x").strip().endswith(b"4881")
    assert b"0 findings" in example.ok(TOOL, "doctor")
    listed = example.ok(program("node"), "-p", 'require("crypto").getCiphers().join("\\n")')
    assert b"kms-envelope" in listed.split(b"\n")


@pytest.mark.usefixtures("modules_folder")
def test_the_example_has_no_default_key_until_it_is_uncommented(example):
    error = example.fails("openssl", "enc", "-kms-envelope", "-K", "0", input=b"x")
    assert "openssl.cnf has no default-key" in error
    text = example.conf.read_text().replace("#default-key = customer-emails", "default-key = emails")
    example.conf.write_text(text)
    assert example.decrypt(example.encrypt(b"anna")) == b"anna"


def test_the_example_s_module_line_works_too(example):
    line = re.compile(r"^#module = .*$", flags=re.MULTILINE)
    text, count = line.subn(f"module = {MODULE}", example.conf.read_text())
    assert count == 1
    example.conf.write_text(text)
    assert example.decrypt(example.encrypt(b"anna", "emails"), "emails") == b"anna"


def test_the_example_has_every_key_once_and_no_other():
    keys = [key for key, _, _ in example_pairs()]
    assert sorted(keys) == sorted([*TABLE, "module", "activate"])


@pytest.mark.parametrize("key", TABLE)
def test_the_example_shows_the_default(key):
    ((value, is_comment),) = [(value, off) for name, value, off in example_pairs() if name == key]
    before = EXAMPLE.read_text().split(f"{key} = {value}\n")[0].split("\n\n")[-1].lower()
    if TABLE[key] is not None:
        assert (value, is_comment) == (TABLE[key], False)
        assert "default: " in before
    else:
        assert key in ("keys", "default-key")
        assert "there\n# is no default" in before or "default: none" in before
        assert is_comment == (key == "default-key")


@pytest.mark.parametrize("key", TABLE)
def test_the_manual_page_has_the_default(key):
    section = MAN_PAGE.read_text().split(".Sh CONFIGURATION")[1].split(".Sh ")[0]
    (entry,) = [text for text in section.split(".It Cm ")[1:] if text.startswith(f"{key}\n")]
    if TABLE[key] is not None:
        assert re.search(rf"Default: {re.escape(TABLE[key])}[.,]", entry)
    else:
        assert ("Required." if key == "keys" else "Default: none.") in entry


# Loading.


def load(site, *prefix):
    """openssl says why a module that -provider names does not load."""
    return site.fails(
        *prefix, "openssl", "enc", "-provider", "default", "-provider", "kms-envelope",
        "-kms-envelope", "-K", "0", input=b"x",
    )  # fmt: skip


def without_root(*words):
    """Root reads every folder: take that right away, if it is there."""
    if os.geteuid() == 0:
        return ("setpriv", "--bounding-set=-dac_override,-dac_read_search", *words)
    return words


TIME = "must be a time of 1s to 366d (300, 5m, 1h)"
DELAY = "must be a time of 0 to 366d (300, 5m, 1h)"
NUMBER = "must be a number from 1"
YES_NO = "must be yes or no"
CONTEXT = "must be auto, private or host"
NAME = "must be a key's name ([a-z0-9._-], at most 31)"
FOLDER = "must be the absolute path of a folder"
HUGE = "9" * 30
BAD = {
    "max-age": (
        TIME,
        ["0", "0s", "-1", "5x", "", "1.5h", "5 m", "5S", "5ms", "0x10", "s", "+5", "367d", "8785h", HUGE],
    ),
    "stale-if-unreachable": (DELAY, ["-1", "5x", "", "367d", "never", HUGE, HUGE + "d"]),
    "max-messages": (NUMBER, ["0", "-1", "5k", "", "2^32", "1e9", "0x10", "18446744073709551616", HUGE]),
    "max-bytes": (NUMBER, ["0", "-1", "5G", "", "1 000", "18446744073709551616", HUGE]),
    "legacy-names": (YES_NO, ["maybe", "", "Yes", "1", "true", "on", "noo", "y"]),
    "library-context": (CONTEXT, ["x", "", "Host", "auto,host", "hos", "fips"]),
    "default-key": (NAME, ["", "Emails", ".emails", "a/b", "../emails", "a b", "e" * 32]),
    "keys": (FOLDER, ["", "keys", "./keys", "~/keys"]),
}


def test_there_is_a_bad_value_for_each_key():
    assert set(BAD) == set(TABLE)


@pytest.mark.parametrize(("key", "value"), [(key, value) for key in BAD for value in BAD[key][1]])
def test_a_bad_value_is_named_with_its_key_and_the_mend(site, key, value):
    site.configure(activate=None, **{key: value})
    assert f"{key} = {value}: {BAD[key][0]}" in load(site)


@pytest.mark.parametrize("key", BAD)
def test_a_bad_value_in_an_activated_section_leaves_no_cipher(site, program, key):
    site.configure(**{key: BAD[key][1][0]})
    done = site.run("openssl", "enc", "-kms-envelope", "-K", "0", input=b"x")
    assert (done.returncode, done.stdout) == (1, b"")
    assert "Unknown cipher" in done.stderr.decode()
    code = 'var_dump(openssl_encrypt("anna", "kms-envelope", "emails"));'
    assert site.run(program("php"), "-d", "display_errors=0", "-r", code).stdout == b"bool(false)\n"
    assert site.ok("openssl", "dgst", "-sha256", input=b"x").strip().endswith(b"4881")


@pytest.mark.parametrize("key", BAD)
def test_the_doctor_says_why_the_module_does_not_load(site, key):
    value = BAD[key][1][0]
    site.configure(**{key: value})
    done = site.run(TOOL, "doctor")
    assert done.returncode == 1
    assert f"{key} = {value}: {BAD[key][0]}" in done.stdout.decode()


def test_a_key_that_is_not_known_is_named_with_its_file_and_section(site):
    site.configure(activate=None, max_agee="300s")
    error = load(site)
    assert str(site.conf) in error and "[kms_envelope_section]" in error
    assert '"max-agee" is not a key of this provider (see openssl.cnf.example)' in error


def test_the_doctor_names_a_key_that_is_not_known(site):
    site.configure(max_agee="300s")
    found = site.run(TOOL, "doctor").stdout.decode()
    assert "unknown key 'max-agee'" in found and "openssl.cnf.example" in found


def test_no_folder_of_keys(site):
    site.configure(activate=None, keys=None)
    assert "keys is not set: the folder of key files" in load(site)


def test_a_folder_of_keys_that_is_not_there(site):
    missing = site.folder / "missing"
    site.configure(activate=None, keys=missing)
    assert f"keys = {missing}: No such file or directory; make the folder" in load(site)


def test_a_folder_of_keys_that_is_a_file(site):
    site.configure(activate=None, keys=site.master_key)
    assert f"keys = {site.master_key}: Not a directory" in load(site)


def test_a_folder_of_keys_that_may_not_be_read(site):
    site.configure(activate=None)
    site.keys.chmod(0)
    try:
        error = load(site, *without_root())
    finally:
        site.keys.chmod(0o700)
    assert f"keys = {site.keys}: Permission denied; " in error
    assert "let this user read it" in error


GOOD = {
    "max-age": ["1", "1s", "5m", "24h", "366d", "31622400"],
    "stale-if-unreachable": ["0", "0s", "366d"],
    "max-messages": ["1", "18446744073709551615"],
    "max-bytes": ["4", "18446744073709551615"],
    "legacy-names": ["yes", "no"],
    "library-context": ["auto", "private", "host"],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key in GOOD for value in GOOD[key]])
def test_a_value_at_the_edge_is_taken(site, key, value):
    site.configure(**{key: value})
    assert site.decrypt(site.encrypt(b"anna")) == b"anna"


# Where the module comes from.


def test_a_provider_that_the_command_line_names(site):
    site.configure(module=None, activate=None)
    provider = ("-provider-path", BUILD, "-provider", "kms-envelope")
    message = site.ok("openssl", "enc", *provider, "-kms-envelope", "-K", "0", input=b"anna")
    back = site.ok("openssl", "enc", "-d", *provider, "-kms-envelope", "-K", "0", input=message)
    assert (version_of(message), back) == (1, b"anna")


def test_a_provider_that_the_command_line_names_and_openssl_modules_finds(site, modules_folder):
    site.configure(module=None, activate=None)
    message = site.ok(
        "openssl", "enc", "-provider", "default", "-provider", "kms-envelope", "-kms-envelope", "-K", "0", input=b"anna"
    )
    assert version_of(message) == 1


def test_a_module_that_openssl_modules_finds(site, modules_folder):
    site.configure(module=None)
    assert site.decrypt(site.encrypt(b"anna")) == b"anna"


def test_a_provider_without_a_configuration_says_what_it_needs(site):
    site.conf.write_text("")
    error = site.fails(
        "openssl", "enc", "-provider-path", BUILD, "-provider", "kms-envelope", "-kms-envelope", "-K", "0", input=b"x"
    )
    assert "keys is not set: the folder of key files" in error


def test_a_module_that_is_not_there_is_the_doctor_s_finding(site):
    site.configure(module="/missing/kms-envelope.so")
    found = site.run(TOOL, "doctor")
    assert found.returncode == 1
    assert b"/missing/kms-envelope.so" in found.stdout and b"set module = " in found.stdout


# Limits.

PHP_COUNT = """\
while (fgets(STDIN) !== false) {
    $box = openssl_encrypt("anna", "kms-envelope", "emails", OPENSSL_RAW_DATA);
    echo $box === false ? openssl_error_string() : bin2hex($box), "\\n";
}
"""


class Counter:
    """A PHP process that encrypts once for each line."""

    def __init__(self, site, php):
        self.process = site.start(php, "-r", PHP_COUNT)

    def next(self):
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().decode().strip()

    def versions(self, count):
        return [version_of(bytes.fromhex(self.next())) for _ in range(count)]


@pytest.fixture
def counter(site, program):
    running = []

    def start():
        running.append(Counter(site, program("php")))
        return running[-1]

    yield start
    for one in running:
        one.process.communicate(timeout=10)


LIMIT_ERROR = "the key version reached its limit: rotate the key"


def test_max_messages_of_one_process_and_a_rotation(site, counter):
    site.configure(max_messages="3")
    php = counter()
    assert php.versions(3) == [1, 1, 1]
    assert LIMIT_ERROR in php.next()
    assert LIMIT_ERROR in php.next()
    assert counter().versions(1) == [1], "another process has its own count"
    site.rotate()
    time.sleep(1.0)
    assert php.versions(3) == [2, 2, 2]
    assert LIMIT_ERROR in php.next()


def test_max_messages_of_the_key_file_where_it_is_stricter(site, program):
    site.configure(max_messages="100")
    site.create("orders", "--max-messages", "2")
    code = PHP_COUNT.replace('"emails"', '"orders"')
    answers = site.ok(program("php"), "-r", code, input=b"\n" * 3).decode().splitlines()
    assert [LIMIT_ERROR in answer for answer in answers] == [False, False, True]


def test_max_bytes_says_which_key_and_what_to_do(site):
    site.configure(max_bytes="10")
    assert len(site.encrypt(b"0123456789")) == 42
    error = site.fails("openssl", "enc", "-kms-envelope", "-K", "0", input=b"0123456789a")
    assert "key emails, version 1: max-bytes 10; kms-envelope rotate emails" in error


# The library context.


def without_default(site):
    text = site.conf.read_text()
    assert "default = default_section\n" in text
    site.conf.write_text(text.replace("default = default_section\n", ""))


def with_fips(site):
    """The host's default properties ask for what its provider has not."""
    text = site.conf.read_text().replace("[init]\n", "[init]\nalg_section = algorithms\n")
    site.conf.write_text(text + "[algorithms]\ndefault_properties = fips=yes\n")


ENC = ("openssl", "enc", "-kms-envelope", "-K", "0")


@pytest.mark.parametrize("context", [None, "auto", "private"])
def test_by_default_the_host_s_providers_are_not_needed(site, context):
    site.configure(library_context=context)
    without_default(site)
    assert site.decrypt(site.encrypt(b"anna")) == b"anna"


def test_the_host_s_providers_are_needed_when_they_are_asked_for(site):
    site.configure(library_context="host")
    assert site.decrypt(site.encrypt(b"anna")) == b"anna"
    without_default(site)
    site.fails(*ENC, input=b"x")


def test_private_does_not_ask_the_host_for_fips(site):
    site.configure(library_context="private")
    with_fips(site)
    assert site.decrypt(site.encrypt(b"anna")) == b"anna"


@pytest.mark.parametrize("context", [None, "auto", "host"])
def test_a_host_that_asks_for_fips_is_obeyed(site, context):
    site.configure(library_context=context)
    with_fips(site)
    assert "no provider offers a needed algorithm" in site.fails(*ENC, input=b"x")
