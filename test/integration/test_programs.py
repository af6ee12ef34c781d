# SPDX-License-Identifier: Apache-2.0
"""PHP, Ruby, Node.js and openssl, unchanged, use the cipher by its name.

Each script is what a user would write. It reads stdin, takes the verb and the
key's name as arguments, and writes nothing before the tag has verified.
"""
import time

import pytest

from conftest import version_of

PHP = """\
[, $verb, $name] = $argv;
$in = stream_get_contents(STDIN);
$out = $verb === "seal"
    ? openssl_encrypt($in, "kms-envelope", $name, OPENSSL_RAW_DATA)
    : openssl_decrypt($in, "kms-envelope", $name, OPENSSL_RAW_DATA);
if ($out === false) {
    while ($error = openssl_error_string())
        fwrite(STDERR, "$error\\n");
    exit(1);
}
echo $out;
"""

RUBY = """\
verb, name = ARGV
data = $stdin.binmode.read
c = OpenSSL::Cipher.new("kms-envelope")
verb == "seal" ? c.encrypt : c.decrypt
c.key = name.ljust(32, "\\0")
out = data.empty? ? "" : c.update(data)
out += c.final
$stdout.binmode.write out
"""

NODE = """\
const { createCipheriv, createDecipheriv } = require("crypto");
const [verb, name] = process.argv.slice(-2);
const data = require("fs").readFileSync(0);
const key = Buffer.alloc(32);
key.write(name);
const make = verb === "seal" ? createCipheriv : createDecipheriv;
const c = make("kms-envelope", key, null);
process.stdout.write(Buffer.concat([c.update(data), c.final()]));
"""

COMMANDS = {
    "php": ("-r", PHP, "--"),
    "ruby": ("-ropenssl", "-e", RUBY),
    "node": ("-e", NODE, "--"),
}
PROGRAMS = ["openssl", *COMMANDS]
SIZES = [0, 1, 31, 32, 33, 1000, 100000]
SHORT = b"anna@example.org"  # at most 32 bytes: openssl enc holds it back, too

# Answers each line of stdin: the message in hex, and then the opened "old".
PHP_LOOP = """\
while (($line = fgets(STDIN)) !== false) {
    $new = openssl_encrypt("anna", "kms-envelope", "emails", OPENSSL_RAW_DATA);
    $old = openssl_decrypt(hex2bin(trim($line)), "kms-envelope", "emails", OPENSSL_RAW_DATA);
    echo bin2hex($new), " ", $old, "\\n";
}
"""


@pytest.fixture
def command(site, program):
    """The words of a command that seals or opens its stdin with a program."""

    def words(name, verb, key="emails"):
        path = program(name)
        if name == "openssl":
            direction = ["-d"] if verb == "open" else []
            return [path, "enc", *direction, "-kms-envelope", "-K", site.enc_key(key)]
        return [path, *COMMANDS[name], verb, key]

    return words


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("writer", PROGRAMS)
def test_what_one_program_writes_every_program_opens(site, command, writer, size):
    plaintext = bytes(i * 11 & 0xFF for i in range(size))
    message = site.ok(*command(writer, "seal"), input=plaintext)
    assert len(message) == size + 32
    assert version_of(message) == 1
    for reader in PROGRAMS:
        assert site.ok(*command(reader, "open"), input=message) == plaintext, reader


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_changed_message_fails(site, command, name):
    message = site.encrypt(SHORT, "emails")
    for position in (4, 15, 16, len(message) - 17, len(message) - 1):
        bad = bytearray(message)
        bad[position] ^= 0x80
        done = site.run(*command(name, "open"), input=bytes(bad))
        assert done.returncode == 1
        assert done.stdout == b""
        assert "not made with this key and AAD, or was changed" in done.stderr.decode()


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_shortened_message_fails(site, command, name):
    message = site.encrypt(SHORT, "emails")
    for length in (1, 31, 32, len(message) - 1):
        done = site.run(*command(name, "open"), input=message[:length])
        assert (done.returncode, done.stdout) == (1, b""), length


@pytest.mark.parametrize("name", ["php", "ruby", "node"])
def test_a_long_changed_message_gives_nothing(site, command, name):
    message = bytearray(site.encrypt(b"anna" * 5000, "emails"))
    message[-1] ^= 1
    done = site.run(*command(name, "open"), input=bytes(message))
    assert (done.returncode, done.stdout) == (1, b"")


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_wrong_key_opens_nothing(site, command, name):
    site.create("orders")
    for plaintext in (SHORT, SHORT * 100):
        message = site.encrypt(plaintext, "emails")
        done = site.run(*command(name, "open", "orders"), input=message)
        assert done.returncode == 1
        assert SHORT not in done.stdout
        assert "not made with this key and AAD" in done.stderr.decode()


@pytest.mark.parametrize("verb", ["seal", "open"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_key_that_does_not_exist_fails(site, command, name, verb):
    given = SHORT if verb == "seal" else site.encrypt(SHORT, "emails")
    done = site.run(*command(name, verb, "nobody"), input=given)
    assert (done.returncode, done.stdout) == (1, b"")
    # Node.js has one text for whatever fails in update.
    wanted = "unsupported state" if name == "node" else "key is not found"
    if name == "openssl":
        wanted = "nobody"
    assert wanted in done.stderr.decode()


def test_php_writes_base64_that_openssl_reads(site, program):
    code = 'echo openssl_encrypt("anna", "kms-envelope", "emails");'
    text = site.ok(program("php"), "-r", code)
    back = site.ok(
        "openssl", "enc", "-d", "-a", "-A", "-kms-envelope", "-K", site.enc_key("emails"), input=text
    )
    assert back == b"anna"


def ask(php, old):
    php.stdin.write(old.hex().encode() + b"\n")
    php.stdin.flush()
    message, opened = php.stdout.readline().split()
    assert opened == b"anna"
    return bytes.fromhex(message.decode())


def test_a_running_program_sees_a_rotation_within_a_second(site, program):
    php = site.start(program("php"), "-r", PHP_LOOP)
    try:
        old = ask(php, site.encrypt(b"anna"))
        for version in (1, 2, 3):
            assert version_of(ask(php, old)) == version
            site.rotate()
            time.sleep(1.0)
        newest = ask(php, old)
        assert version_of(newest) == 4
        assert site.decrypt(newest) == b"anna"
    finally:
        _, error = php.communicate(timeout=10)
    assert (php.returncode, error) == (0, b"")


def test_a_running_program_opens_a_version_it_has_never_seen_at_once(site, program):
    php = site.start(program("php"), "-r", PHP_LOOP)
    try:
        ask(php, site.encrypt(b"anna"))
        site.rotate()
        written_elsewhere = site.encrypt(b"anna")
        assert version_of(written_elsewhere) == 2
        ask(php, written_elsewhere)
    finally:
        php.communicate(timeout=10)


def test_without_legacy_names_openssl_finds_the_cipher_and_php_does_not(site, program):
    site.configure(legacy_names="no")
    code = 'var_dump(openssl_encrypt("anna", "kms-envelope", "emails"));'
    done = site.run(program("php"), "-d", "display_errors=stderr", "-r", code)
    assert done.stdout == b"bool(false)\n"
    assert "Unknown cipher algorithm" in done.stderr.decode()
    assert site.decrypt(site.encrypt(b"anna")) == b"anna"


# What README's table says is to be known.


def test_php_ignores_aad(site, program):
    code = """
        $box = openssl_encrypt("anna", "kms-envelope", "emails", 0, "", $tag, "row 1");
        echo openssl_decrypt($box, "kms-envelope", "emails", 0, "", null, "row 2");
    """
    assert site.ok(program("php"), "-r", code) == b"anna"


def test_ruby_refuses_auth_data_and_a_short_name(site, program):
    begin = 'c = OpenSSL::Cipher.new("kms-envelope").encrypt; '
    error = site.fails(program("ruby"), "-ropenssl", "-e", begin + 'c.key = "emails"')
    assert "key must be 32 bytes" in error
    code = begin + 'c.key = "emails".ljust(32, "\\0"); c.auth_data = "row 1"'
    assert "AEAD not supported" in site.fails(program("ruby"), "-ropenssl", "-e", code)


def test_node_refuses_set_aad(site, program):
    code = """
        const c = require("crypto").createCipheriv("kms-envelope", Buffer.alloc(32), null);
        c.setAAD(Buffer.from("row 1"));
    """
    assert "ERR_CRYPTO_INVALID_STATE" in site.fails(program("node"), "-e", code)


def test_node_reads_nodejs_conf(site, command):
    lines = site.conf.read_text().splitlines(keepends=True)
    site.conf.write_text("".join(line for line in lines if not line.startswith("nodejs_conf")))
    assert "Unknown cipher" in site.fails(*command("node", "seal"), input=b"x")
    site.ok(*command("php", "seal"), input=b"x")
