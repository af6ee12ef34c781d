# SPDX-License-Identifier: Apache-2.0
"""Programs that hard-code AES-256, unchanged, under a key of the KMS."""
import signal
import socket
import time

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.padding import PKCS7

from aws_site import sanitizers
from conftest import TIMEOUT_S
from drop_in_site import DATA_KEY, DropInSite, make_handle, stop

TEXT = b"anna@example.org, and what she wrote"
IV = bytes(range(16))
# A second, and what a busy machine takes to ask.
REVOKED_WITHIN_S = 1 + 1

pytestmark = pytest.mark.skipif(bool(sanitizers()), reason="the programs that load us are not instrumented")


def cbc(key, text=TEXT):
    """AES-256-CBC with padding, by who knows nothing of us: this process has no openssl.cnf."""
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(IV)).encryptor()
    return encryptor.update(padder.update(text) + padder.finalize()) + encryptor.finalize()


def gcm(key, text=TEXT):
    return AESGCM(key).encrypt(IV[:12], text, b"row 7")


@pytest.fixture
def site(tmp_path):
    made = DropInSite(tmp_path)
    made.adopt()
    return made


def test_a_handle_is_what_its_formula_says(site):
    handle = site.handle()
    assert handle == make_handle(DATA_KEY, site.key_id(), 1)
    assert len(handle) == 32 and handle == site.handle("--version", "1")


# --- programs -----------------------------------------------------------------

# Each takes a verb, seal or open, and a key in hex as arguments, and its stdin.
OPENSSL = """\
[ "$1" = open ] && d=-d || d=
exec openssl enc $d -aes-256-cbc -K "$2" -iv 000102030405060708090a0b0c0d0e0f
"""
PHP = """\
[, $verb, $key] = $argv;
$do = $verb === "seal" ? "openssl_encrypt" : "openssl_decrypt";
$out = $do(stream_get_contents(STDIN), "aes-256-cbc", hex2bin($key), OPENSSL_RAW_DATA, hex2bin("000102030405060708090a0b0c0d0e0f"));
if ($out === false) { fwrite(STDERR, openssl_error_string() . "\\n"); exit(1); }
echo $out;
"""
RUBY = """\
verb, key = ARGV
c = OpenSSL::Cipher.new("aes-256-cbc")
verb == "seal" ? c.encrypt : c.decrypt
c.key = [key].pack("H*")
c.iv = (0..15).map(&:chr).join
$stdout.binmode.write c.update($stdin.binmode.read) + c.final
"""
NODE = """\
const { createCipheriv, createDecipheriv } = require("crypto");
const [verb, key] = process.argv.slice(-2);
const make = verb === "seal" ? createCipheriv : createDecipheriv;
const c = make("aes-256-cbc", Buffer.from(key, "hex"), Buffer.from("000102030405060708090a0b0c0d0e0f", "hex"));
process.stdout.write(Buffer.concat([c.update(require("fs").readFileSync(0)), c.final()]));
"""
PYTHON_CBC = """\
import sys
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
verb, key = sys.argv[1:]
cipher = Cipher(algorithms.AES(bytes.fromhex(key)), modes.CBC(bytes(range(16))))
text = sys.stdin.buffer.read()
if verb == "seal":
    pad, c = PKCS7(128).padder(), cipher.encryptor()
    text = pad.update(text) + pad.finalize()
    sys.stdout.buffer.write(c.update(text) + c.finalize())
else:
    pad, c = PKCS7(128).unpadder(), cipher.decryptor()
    sys.stdout.buffer.write(pad.update(c.update(text) + c.finalize()) + pad.finalize())
"""
PYTHON_GCM = """\
import sys
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
verb, key = sys.argv[1:]
c = AESGCM(bytes.fromhex(key))
do = c.encrypt if verb == "seal" else c.decrypt
sys.stdout.buffer.write(do(bytes(range(12)), sys.stdin.buffer.read(), b"row 7"))
"""
PROGRAMS = {
    "openssl": (("sh", "-c", OPENSSL, "sh"), cbc),
    "php": (("php", "-r", PHP, "--"), cbc),
    "ruby": (("ruby", "-ropenssl", "-e", RUBY), cbc),
    "node": (("node", "-e", NODE, "--"), cbc),
    "python-cbc": (("/usr/bin/python3", "-c", PYTHON_CBC), cbc),
    "python-gcm": (("/usr/bin/python3", "-c", PYTHON_GCM), gcm),
}
each_program = pytest.mark.parametrize("name", PROGRAMS)


@pytest.fixture
def use(site, program):
    def run(name, verb, key, text, **options):
        words, _ = PROGRAMS[name]
        program(words[0])
        return site.run(*words, verb, key.encode().hex() if isinstance(key, str) else key.hex(), input=text, **options)

    return run


@each_program
def test_the_program_encrypts_under_the_key_behind_the_handle(site, use, name):
    handle, reference = site.handle(), PROGRAMS[name][1]
    sealed = use(name, "seal", handle, TEXT)
    assert sealed.stdout == reference(site.aes_key(handle)), sealed.stderr.decode()
    assert use(name, "open", handle, sealed.stdout).stdout == TEXT
    # Who has the handle, and no drop-in, has nothing.
    opened = use(name, "open", handle, sealed.stdout, env=site.without())
    assert opened.returncode != 0 and TEXT[:8] not in opened.stdout


@each_program
def test_an_ordinary_key_is_the_key(site, use, name):
    assert use(name, "seal", bytes(range(32)), TEXT).stdout == PROGRAMS[name][1](bytes(range(32)))


@each_program
def test_without_the_drop_in_the_handle_is_the_key(site, use, name):
    """It fails open: what the manual warns of, and check is there for."""
    handle = site.handle()
    assert use(name, "seal", handle, TEXT, env=site.without()).stdout == PROGRAMS[name][1](handle.encode())


@each_program
def test_a_damaged_handle_is_refused(site, use, name):
    handle = site.handle()
    damaged = handle[:-1] + ("A" if handle[-1] != "A" else "B")
    done = use(name, "seal", damaged, TEXT)
    assert done.returncode != 0 and done.stdout == b""


@each_program
def test_after_a_rotation_both_handles_work_and_are_two_keys(site, use, name):
    old = site.handle()
    before = use(name, "seal", old, TEXT).stdout
    site.rotate()
    new = site.handle()
    assert new != old
    assert use(name, "seal", old, TEXT).stdout == before
    after = use(name, "seal", new, TEXT).stdout
    assert after != before and after != PROGRAMS[name][1](new.encode())
    assert use(name, "open", new, after).stdout == use(name, "open", old, before).stdout == TEXT


# --- check --------------------------------------------------------------------


def test_check_says_that_it_is_in_force(site):
    code, said = site.check(site.handle())
    assert code == 0, said
    assert said.count("ok ") == 8 and "FAILED" not in said


def test_check_takes_the_handle_in_hex(site):
    """As files of keys have it: MariaDB's, for one."""
    code, said = site.check(site.handle().encode().hex())
    assert code == 0, said
    assert site.check(site.handle().encode().hex()[:-1])[0] == 1


WAYS_TO_FAIL_OPEN = {
    "no file": None,
    "no module": {"module": "/nowhere/kms-envelope.so"},
    "not activated": {"activate": None},
    "no property": {"default_properties": None},
    "a property of somebody else": {"default_properties": "?provider=kms-envelop"},
    "no drop-in": {"drop_in": None},
    "drop-in = no": {"drop_in": "no"},
}


@pytest.mark.parametrize("way", WAYS_TO_FAIL_OPEN)
def test_check_finds_each_way_to_fail_open(site, use, way):
    handle, settings = site.handle(), WAYS_TO_FAIL_OPEN[way]
    if settings is None:
        site.conf.unlink()
    else:
        site.configure(**settings)
    # The program notices nothing.
    assert use("openssl", "seal", handle, TEXT).stdout == cbc(handle.encode())
    code, said = site.check(handle)
    assert code == 1 and "not in force" in said and "encrypted under the handle itself" in said
    assert handle not in said


def test_check_needs_a_key_that_may_be_used(site):
    handle = site.handle()
    site.revoke()
    code, said = site.check(handle)
    assert code == 1 and "revoked" in said
    assert site.check(site.handle())[0] == 0
    code, said = site.check("kmsh" + "A" * 28)
    assert code == 1 and "not a handle of any key here" in said
    code, said = site.check("hunter2")
    assert code == 1 and "standard input" in said


# --- a revoked version --------------------------------------------------------

LOOP = """\
import sys
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
# One context that stays, and one for each line.
stays = Cipher(algorithms.AES(sys.argv[1].encode()), modes.CTR(bytes(16))).encryptor()
for line in sys.stdin:
    said = []
    for use in (lambda: stays.update(b"x" * 16),
                lambda: Cipher(algorithms.AES(sys.argv[1].encode()), modes.CTR(bytes(16))).encryptor().update(b"x" * 16)):
        try:
            said.append(use().hex())
        except BaseException:
            said.append("refused")
    print(*said, flush=True)
"""


def test_a_revocation_stops_a_running_program(site):
    handle = site.handle()
    process = site.start("/usr/bin/python3", "-c", LOOP, handle)

    def ask():
        process.stdin.write(b"\n")
        process.stdin.flush()
        return process.stdout.readline().split()

    assert b"refused" not in ask()
    site.revoke()
    until = time.monotonic() + REVOKED_WITHIN_S
    while (said := ask()) != [b"refused", b"refused"]:
        assert time.monotonic() < until, said
        time.sleep(0.02)
    process.communicate(timeout=TIMEOUT_S)


# --- what must go on as before ------------------------------------------------

CONFIGURATIONS = {
    "as documented": {},
    "the host's own context": {"library_context": "host"},
}


@pytest.fixture(params=CONFIGURATIONS)
def configured(request, site):
    site.configure(**CONFIGURATIONS[request.param])
    return site


SUITES = {
    "1.2 GCM": ("-tls1_2", "ECDHE-ECDSA-AES256-GCM-SHA384", "1.2"),
    "1.2 CBC": ("-tls1_2", "ECDHE-ECDSA-AES256-SHA384", "1.2"),
    "1.2 CBC, SHA-1": ("-tls1_2", "ECDHE-ECDSA-AES256-SHA", "1.2"),
    "1.2 CCM": ("-tls1_2", "ECDHE-ECDSA-AES256-CCM", "1.2"),
    "1.3 GCM": ("-tls1_3", "TLS_AES_256_GCM_SHA384", "1.3"),
}


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def tls(configured, authority, program):
    """openssl s_server, that has the drop-in, on a port of its own."""
    certificate = authority.issue("drop-in")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = configured.folder / "server.log"
    server = configured.serve(
        log, program("openssl"), "s_server", "-accept", f"127.0.0.1:{port}", "-cert", certificate.certificate,
        "-key", certificate.key, "-cipher", "ALL:@SECLEVEL=0", "-www",
    )  # fmt: skip
    try:
        until = time.monotonic() + TIMEOUT_S
        while not answers(port):
            assert server.poll() is None and time.monotonic() < until, log.read_text()
            time.sleep(0.02)
        yield port
    finally:
        stop(server, signal.SIGKILL)


@pytest.mark.parametrize("suite", SUITES)
def test_tls_is_as_before(configured, tls, authority, program, suite):
    """Both with the drop-in, and one of them without."""
    protocol, name, number = SUITES[suite]
    choice = "-ciphersuites" if name.startswith("TLS_") else "-cipher"
    for environment in (configured.environment, configured.without()):
        done = configured.run(
            program("openssl"), "s_client", "-connect", f"127.0.0.1:{tls}", "-CAfile", authority.bundle,
            protocol, choice, name, "-verify_return_error", "-ign_eof",
            input=b"GET / HTTP/1.0\r\n\r\n", env=environment,
        )  # fmt: skip
        said = done.stdout.decode()
        assert f"Cipher is {name}" in said and "HTTP/1.0 200 ok" in said, done.stderr.decode()
        option = {"1.2": "--tls-max", "1.3": "--tlsv1.3"}[number]
        words = [option, *(["1.2", "--ciphers", name] if number == "1.2" else ["--tls13-ciphers", name])]
        done = configured.run(
            program("curl"), "--silent", "--show-error", "--cacert", authority.bundle, *words,
            f"https://127.0.0.1:{tls}/", env=environment,
        )  # fmt: skip
        assert name.encode() in done.stdout, done.stderr.decode()


def test_random_bytes_keys_and_their_passwords(configured, program):
    openssl, plain = program("openssl"), {"env": configured.without()}
    one, two = (configured.ok(openssl, "rand", "32") for _ in range(2))
    assert len(one) == len(two) == 32 and one != two
    configured.ok(openssl, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
                  "-aes-256-cbc", "-pass", "pass:a password", "-out", "key.pem")  # fmt: skip
    read = (openssl, "pkey", "-in", "key.pem", "-passin", "pass:a password", "-pubout")
    assert configured.ok(*read) == configured.ok(*read, **plain)
    configured.ok(program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "a password", "-f", "id")
    read = ("ssh-keygen", "-y", "-P", "a password", "-f", "id")
    assert configured.ok(*read) == configured.ok(*read, **plain)


def test_where_it_stands_before_the_default_provider(site, use):
    """The first that offers AES is taken, if nothing else is said."""
    text = site.conf.read_text().replace("default = default_section\n", "", 1)
    text = text.replace("kms-envelope = kms_envelope_section\n", "kms-envelope = kms_envelope_section\ndefault = default_section\n")
    site.conf.write_text(text)
    assert site.check(site.handle())[0] == 0
    assert use("openssl", "seal", site.handle(), TEXT).stdout == cbc(site.aes_key(site.handle()))


def test_cms_under_a_handle(site, program):
    """EncryptedData: the handle is the content's key."""
    handle = site.handle()
    (site.folder / "text").write_bytes(TEXT)
    words = (program("openssl"), "cms", "-binary", "-secretkey")
    site.ok(*words, handle.encode().hex(), "-EncryptedData_encrypt", "-aes-256-cbc", "-in", "text", "-out", "cms")
    back = ("-EncryptedData_decrypt", "-in", "cms")
    assert site.ok(*words, handle.encode().hex(), *back) == TEXT
    assert site.ok(*words, site.aes_key(handle).hex(), *back, env=site.without()) == TEXT
    assert site.run(*words, handle.encode().hex(), *back, env=site.without()).stdout != TEXT
