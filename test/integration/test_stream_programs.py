# SPDX-License-Identifier: Apache-2.0
"""Streams in programs that know nothing of them: PHP, Ruby and Node.js open
any, and write in pieces, or one frame at once, or fail with the reason.
"""
import hashlib

import pytest

FRAME, FIRST, NEXT = 4096, 4068, 4084
BACKUP = hashlib.shake_256(b"a backup").digest(FIRST + 4 * NEXT + 100)  # five frames and a short one


def enc(*options):
    return ["openssl", "enc", *options, "-kms-envelope-stream", "-K", "0"]


@pytest.fixture
def backup(site):
    return site.ok(*enc(), input=BACKUP)


PHP = """
[$verb, $name] = array_slice($argv, -2);
$in = stream_get_contents(STDIN);
$f = $verb == "seal" ? "openssl_encrypt" : "openssl_decrypt";
$out = $f($in, "kms-envelope-stream", $name, OPENSSL_RAW_DATA);
if ($out === false) {
    while ($error = openssl_error_string())
        fwrite(STDERR, "$error\\n");
    exit(1);
}
echo $out;
"""

RUBY = """
verb, name = ARGV
data = $stdin.binmode.read
c = OpenSSL::Cipher.new("kms-envelope-stream")
verb == "seal" ? c.encrypt : c.decrypt
c.key = name.ljust(32, "\\0")
out = data.empty? ? "" : c.update(data)
$stdout.binmode.write out + c.final
"""

RUBY_PIECES = """
c = OpenSSL::Cipher.new("kms-envelope-stream").encrypt
c.key = "emails".ljust(32, "\\0")
$stdin.binmode
$stdout.binmode
while piece = $stdin.read(4000)
  $stdout.write c.update(piece)
end
$stdout.write c.final
"""

NODE = """
const { createCipheriv, createDecipheriv } = require("crypto");
const [verb, name] = process.argv.slice(-2);
const data = require("fs").readFileSync(0);
const key = Buffer.alloc(32);
key.write(name);
const make = verb === "seal" ? createCipheriv : createDecipheriv;
const c = make("kms-envelope-stream", key, null);
process.stdout.write(Buffer.concat([c.update(data), c.final()]));
"""
PROGRAMS = {"php": ("-r", PHP, "--"), "ruby": ("-ropenssl", "-e", RUBY), "node": ("-e", NODE, "--")}


@pytest.mark.parametrize("name", PROGRAMS)
def test_other_programs_open_any_stream_in_one_call(site, program, backup, name):
    assert site.ok(program(name), *PROGRAMS[name], "open", "emails", input=backup) == BACKUP
    bad = bytearray(backup)
    bad[-1] ^= 1
    done = site.run(program(name), *PROGRAMS[name], "open", "emails", input=bytes(bad))
    assert (done.returncode, done.stdout) == (1, b"")


@pytest.mark.parametrize("name", PROGRAMS)
def test_other_programs_make_one_frame_in_one_call_or_fail(site, program, name):
    for size in (0, 1, FIRST - 1):
        stream = site.ok(program(name), *PROGRAMS[name], "seal", "emails", input=BACKUP[:size])
        assert site.ok(*enc("-d"), input=stream) == BACKUP[:size]
    for size in (FIRST, FRAME, 8192, len(BACKUP)):
        done = site.run(program(name), *PROGRAMS[name], "seal", "emails", input=BACKUP[:size])
        assert (done.returncode, done.stdout) == (1, b"")
        if name != "node":  # which has one text for whatever fails in update
            assert "does not come in the pieces it needs" in done.stderr.decode()


def test_ruby_writes_in_pieces(site, program):
    stream = site.ok(program("ruby"), "-ropenssl", "-e", RUBY_PIECES, input=BACKUP)
    assert site.ok(*enc("-d"), input=stream) == BACKUP
