# SPDX-License-Identifier: Apache-2.0
"""openssl.cnf: the example, every key, every bad value, and the limits."""
import os
import re
import time

import pytest

from conftest import BUILD, MODULE, ROOT, TOOL, version_of

SOURCE = ROOT / "provider" / "glue" / "config.c"
AWS_SOURCE = ROOT / "provider" / "kms" / "aws_options.c"
AWS_CLIENT = ROOT / "provider" / "kms" / "aws_client.c"
PARAMS = ROOT / "include" / "kms_envelope" / "params.h"
MAN_PAGE = ROOT / "docs" / "man" / "OSSL_PROVIDER-kms-envelope.7"
EXAMPLE = ROOT / "openssl.cnf.example"
EXAMPLE_KEYS = "keys = /etc/kms-envelope/keys\n"


def rows(source, pattern):
    """What the pattern finds in a source's table, all of it."""
    text = source.read_text().split("OPTIONS[] = {")[1].split("\n};")[0]
    found = re.findall(pattern, text)
    assert len(found) == text.count("FIELD(")
    return found


def tables():
    """The configuration keys and defaults (None: no default) of the sources."""
    names = dict(re.findall(r'#define (KMSE_CONF_\w+)\s+"(.*)"', PARAMS.read_text()))
    own = {
        names.pop(macro): default or None
        for macro, default in rows(SOURCE, r'\{(KMSE_CONF_\w+),\s*parse_\w+,\s*(?:NULL|"([^"]*)"),')
    }
    client = AWS_CLIENT.read_text()
    aws = {}
    for macro, parser in rows(AWS_SOURCE, r"\{(KMSE_CONF_\w+),\s*parse_(\w+),\s*FIELD"):
        aws[names.pop(macro)] = {"yes_no": "no"}.get(parser)
    for key, constant in (("kms-timeout", r"\bTIMEOUT_MS"), ("kms-connect-timeout", r"\bCONNECT_TIMEOUT_MS")):
        assert aws[key] is None
        aws[key] = re.search(constant + r" = (\d+)000\b", client)[1] + "s"
    assert not names, "in a header, but in no table"
    return own, aws


OWN, AWS = tables()
TABLE = {**OWN, **AWS}


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
        assert ("there\n# is no default" if key == "keys" else "default: none") in before
        assert is_comment == (key != "keys")


@pytest.mark.parametrize("key", TABLE)
def test_the_manual_page_has_the_default(key):
    section = MAN_PAGE.read_text().split(".Sh CONFIGURATION")[1].split(".Sh ")[0]
    (entry,) = [text for text in section.split(".It Cm ")[1:] if text.startswith(f"{key}\n")]
    if TABLE[key] is not None:
        assert re.search(rf"Default: {re.escape(TABLE[key])}[.,]", entry)
    else:
        assert ("Required." if key == "keys" else "Default: none") in entry


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
FILE = "must be the absolute path of a file"
SOCKET = "must be the absolute path of the agent's socket, at most 107 bytes"
TIMEOUT = "must be a time of 1ms to 1h (5s, 500ms)"
REGION = "must be an AWS Region, as eu-west-1"
PROFILE = "must be the name of a profile"
ENDPOINT = "must be https://HOST or https://HOST:PORT, without a path"
PROXY = "must be http://HOST:PORT (or https, socks5, socks5h)"
HOSTS = "must be hosts with commas between, or *"
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
    "drop-in": (YES_NO, ["maybe", "", "Yes", "1", "true"]),
    "library-context": (CONTEXT, ["x", "", "Host", "auto,host", "hos", "fips"]),
    "default-key": (NAME, ["", "Emails", ".emails", "a/b", "../emails", "a b", "e" * 32]),
    "keys": (FOLDER, ["", "keys", "./keys", "~/keys"]),
    "agent": (SOCKET, ["", "agent.sock", "./agent.sock", "/" + "a" * 107]),
    "agent-fallback": (YES_NO, ["", "true", "1"]),
    "kms-timeout": (TIMEOUT, ["0", "0ms", "", "-1", "5x", "1.5s", "61m", "3600001ms", HUGE, HUGE + "ms"]),
    "kms-connect-timeout": (TIMEOUT, ["0", "", "2h", "1d", "5 s"]),
    "aws-region": (REGION, ["EU-WEST-1", "", "eu-west-1.evil.example", "eu_west_1"]),
    "aws-profile": (PROFILE, ["", "[a]"]),
    "aws-shared-credentials-file": (FILE, ["credentials", "", "~/.aws/credentials"]),
    "aws-config-file": (FILE, ["./config", "", "~/.aws/config"]),
    "aws-credential-process": (YES_NO, ["true", "", "/usr/bin/vault"]),
    "aws-endpoint-url": (ENDPOINT, ["localhost:4566", "", "https://host/path", "ftp://host", "https://host:0"]),
    "aws-use-fips-endpoint": (YES_NO, ["true", "", "1"]),
    "aws-use-dualstack-endpoint": (YES_NO, ["false", "", "0"]),
    "aws-ca-bundle": (FILE, ["ca.pem", ""]),
    "aws-proxy": (PROXY, ["proxy:3128", "", "ftp://proxy"]),
    "aws-no-proxy": (HOSTS, ["*.internal", "", "a|b"]),
    "aws-allow-http": (YES_NO, ["maybe", "", "yes please"]),
}


def test_there_is_a_bad_and_a_good_value_for_each_key():
    assert set(BAD) == set(TABLE)
    # An agent that is not there is test_agent.py's.
    assert set(GOOD) == set(TABLE) - {"keys", "default-key", "agent"}


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
    "drop-in": ["yes", "no"],
    "library-context": ["auto", "private", "host"],
    "agent-fallback": ["yes", "no"],
    "kms-timeout": ["1ms", "500ms", "1", "1h"],
    "kms-connect-timeout": ["1ms", "3600s"],
    "aws-region": ["eu-west-1", "us-gov-west-1"],
    "aws-profile": ["production", "a profile"],
    "aws-shared-credentials-file": ["/dev/null", str(EXAMPLE)],
    "aws-config-file": ["/dev/null", str(EXAMPLE)],
    "aws-credential-process": ["yes", "no"],
    "aws-endpoint-url": ["https://kms.internal/", "http://[::1]:4566"],
    "aws-use-fips-endpoint": ["yes", "no"],
    "aws-use-dualstack-endpoint": ["yes", "no"],
    "aws-ca-bundle": [str(EXAMPLE)],
    "aws-proxy": ["http://proxy.internal:3128", "socks5h://[::1]:1080"],
    "aws-no-proxy": ["*", ".internal,10.0.0.0/8"],
    "aws-allow-http": ["yes", "no"],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key in GOOD for value in GOOD[key]])
def test_a_value_at_the_edge_is_taken(site, key, value):
    site.configure(**{key: value})
    assert site.decrypt(site.encrypt(b"anna")) == b"anna"


# AWS: files, secrets, and the tool.

FILES = [key for key in AWS if BAD[key][0] == FILE]


@pytest.mark.parametrize("key", FILES)
def test_a_file_that_is_named_must_be_there(site, key):
    missing = site.folder / "missing"
    site.configure(activate=None, **{key: missing})
    assert f"{key} = {missing}: No such file or directory; put the file there" in load(site)
    site.configure(activate=None, **{key: site.keys})
    assert f"{key} = {site.keys}: not a regular file" in load(site)


@pytest.mark.parametrize("key", FILES)
def test_a_file_that_is_named_must_be_readable(site, key):
    secret = site.folder / "secret"
    secret.touch(mode=0)
    site.configure(activate=None, **{key: secret})
    assert f"{key} = {secret}: Permission denied; put the file there, or let this user read it" in load(
        site, *without_root()
    )


@pytest.mark.parametrize("key", ["aws-access-key-id", "aws-secret-access-key", "aws-session-token"])
def test_a_secret_has_no_key_and_is_not_shown(site, key):
    site.configure(activate=None, **{key: "wJalrXUtnFEMI"})
    error = load(site)
    assert f'"{key}" is not a key of this provider' in error
    assert "wJalrXUtnFEMI" not in error


@pytest.mark.parametrize("key", ["aws-proxy", "aws-endpoint-url"])
def test_a_password_in_a_url_is_refused_and_not_shown(site, key):
    site.configure(**{key: "https://anna:wJalrXUtnFEMI@proxy.internal:3128"})
    found = site.run(TOOL, "doctor").stdout.decode()
    error = site.fails(TOOL, "rotate", "emails", "--keys", site.keys)
    for said in (found, error):
        assert f"{key}: user and password do not belong into this file" in said
        assert "wJalrXUtnFEMI" not in said


@pytest.mark.parametrize("key", AWS)
def test_the_tool_reads_it_too(site, key):
    value = BAD[key][1][0]
    site.configure(**{key: value})
    error = site.fails(TOOL, "rotate", "emails", "--keys", site.keys)
    assert f"kms-envelope: bad value in the configuration: {site.conf}, section [kms_envelope_section]: " in error
    assert f"{key} = {value}: {BAD[key][0]}" in error
    site.configure(**{key: GOOD[key][0]})
    site.rotate()


def test_the_tool_does_not_pass_over_a_mistyped_key_of_the_kms(site):
    site.configure(aws_endpoint="https://kms.internal")
    error = site.fails(TOOL, "rotate", "emails", "--keys", site.keys)
    assert f"unknown key in the configuration: {site.conf}, section [kms_envelope_section]: aws-endpoint\n" in error


def test_the_tool_needs_no_configuration(site):
    site.conf.write_text("")
    site.rotate()
    site.conf.unlink()
    site.rotate()


def test_the_tool_does_not_guess_what_a_broken_configuration_says(site):
    site.conf.write_text("a = b\n[unclosed\n")
    assert f"{site.conf}, line 2: not valid" in site.fails(TOOL, "rotate", "emails", "--keys", site.keys)


SECTIONS = """\
nodejs_conf = init
other_conf = init
[init]
providers = providers
[providers]
default = first
1.ours = second
[first]
activate = 1
aws-region = BAD
[second]
identity = kms-envelope
"""


def test_the_tool_looks_into_the_provider_s_section_alone(site):
    site.conf.write_text(SECTIONS + "aws-region = eu-west-1\n")
    site.rotate()
    site.conf.write_text(SECTIONS + "aws-region = eu_west_1\n")
    error = site.fails(TOOL, "rotate", "emails", "--keys", site.keys)
    assert "section [second]: aws-region = eu_west_1: " in error


# AWS: what the settings do, provider and tool alike.


@pytest.fixture
def told_site(aws_site, administrator, authority, tmp_path):
    """All that is to be known of AWS, openssl.cnf says."""
    from doubles.kms_server import KmsDouble

    pair = authority.issue("configured", hosts=("127.0.0.1",))
    kms = KmsDouble(aws_site.kms.accounts, certificate=pair.certificate, key=pair.key).start()
    credentials = tmp_path / "credentials"
    credentials.write_text(
        "[wanted]\n"
        f"aws_access_key_id = {administrator.access_key_id}\n"
        f"aws_secret_access_key = {administrator.secret_access_key}\n"
        "[default]\naws_access_key_id = AKIAWRONG00000000001\naws_secret_access_key = wrong\n"
    )
    aws_site.forget()
    aws_site.kms = kms
    aws_site.at("http://127.0.0.1:9")
    aws_site.aws["AWS_REGION"] = "ap-nowhere-1"
    aws_site.settings = {
        "aws-endpoint-url": kms.url,
        "aws-ca-bundle": authority.bundle,
        "aws-region": "eu-central-1",
        "aws-shared-credentials-file": credentials,
        "aws-config-file": "/dev/null",
        "aws-profile": "wanted",
    }
    aws_site.configure(**aws_site.settings)
    yield aws_site
    kms.stop()


def told_key(site):
    key = site.kms.store.create("eu-central-1")
    site.kms.store.aliases["eu-central-1", "alias/told"] = key.key_id
    return key


def test_provider_and_tool_do_what_openssl_cnf_says_of_aws(told_site):
    key = told_key(told_site)
    told_site.create_at("alias/told")
    assert told_site.copies()[0][0][0] == f"aws-kms:{key.arn}"
    assert told_site.decrypt(told_site.encrypt(b"anna")) == b"anna"
    assert told_site.kms.counts["region.eu-central-1"] == sum(
        count for name, count in told_site.kms.counts.items() if name.startswith("region.")
    )


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("aws-region", "eu-west-1", "the master key is not found"),
        ("aws-region", None, "ap-nowhere-1"),
        ("aws-profile", None, "no credentials for the KMS"),
        ("aws-profile", "unheard", "no profile 'unheard'"),
        ("aws-shared-credentials-file", None, "no profile 'wanted'"),
        ("aws-ca-bundle", None, "the KMS is unreachable"),
        ("aws-endpoint-url", None, "the KMS is unreachable"),
    ],
)
def test_each_setting_counts(told_site, key, value, said):
    told_key(told_site)
    told_site.configure(**{**told_site.settings, key: value})
    assert said in told_site.create_fails("alias/told")


def test_a_profile_that_is_configured_stands_before_the_environment(told_site):
    told_key(told_site)
    told_site.aws["AWS_ACCESS_KEY_ID"] = "AKIAWRONG00000000002"
    told_site.aws["AWS_SECRET_ACCESS_KEY"] = "wrong"
    told_site.create_at("alias/told")
    told_site.configure(**{**told_site.settings, "aws-profile": None})
    assert "no credentials for the KMS" in told_site.create_fails("alias/told", name="orders")


def test_the_timeout_is_the_whole_call_s(told_site):
    told_key(told_site)
    told_site.create_at("alias/told")
    message = told_site.encrypt(b"anna")
    told_site.configure(**told_site.settings, kms_timeout="300ms")
    told_site.kms.faults.set({"fault": "hang"})
    start = time.monotonic()
    error = told_site.decrypt_fails(message)
    assert time.monotonic() - start < 3
    assert "the KMS did not answer in time" in error


def test_plain_http_must_be_allowed_in_so_many_words(told_site):
    told_key(told_site)
    told_site.configure(**{**told_site.settings, "aws-endpoint-url": "http://kms.invalid:1"})
    assert "only https://" in told_site.create_fails("alias/told")
    told_site.configure(**{**told_site.settings, "aws-endpoint-url": "http://kms.invalid:1", "aws-allow-http": "yes"})
    assert "the KMS is unreachable" in told_site.create_fails("alias/told")


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
