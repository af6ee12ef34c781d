# SPDX-License-Identifier: Apache-2.0
"""Perl, Python, Lua, Erlang and builds of Node.js, as Debian ships them.

The programs are those of docs/programs.md, which a reader saves and runs: they
seal or open their stdin.
"""
import pytest

import programs_document
from conftest import DEBIAN, MODULE, ROOT, version_of
from doubles import moto
from test_guest import with_properties
from test_programs import NODE, SHORT, SIZES

pytestmark = DEBIAN
NODES = ROOT / "build" / "nodes"
FILES = {
    "perl": ("perl", "envelope.pl"),
    "python": ("/usr/bin/python3", "envelope.py"),
    "lua": ("lua5.4", "envelope.lua"),
}
PROGRAMS = [*FILES, "node-debian", "node-upstream"]


@pytest.fixture
def command(site, program):
    """The words of a command that seals or opens its stdin with a program."""

    def words(name, verb, key="emails"):
        if name in FILES:
            interpreter, file = FILES[name]
            programs_document.save(site.folder, file)
            return [program(interpreter), file, verb, key]
        node = NODES / name.removeprefix("node-") / "node"
        if not node.exists():
            pytest.skip(f"{node} is not there: sh cmake/nodes.sh")
        return [node, "-e", NODE, "--", verb, key]

    return words


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_it_writes_openssl_opens(site, command, name):
    for size in SIZES:
        plaintext = bytes(i * 13 & 0xFF for i in range(size))
        message = site.ok(*command(name, "seal"), input=plaintext)
        assert len(message) == size + 32
        assert version_of(message) == 1
        assert site.decrypt(message, "emails") == plaintext


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_openssl_writes_it_opens(site, command, name):
    site.rotate()
    for size in SIZES:
        plaintext = bytes(i * 17 & 0xFF for i in range(size))
        message = site.encrypt(plaintext, "emails")
        assert version_of(message) == 2
        assert site.ok(*command(name, "open"), input=message) == plaintext


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_was_changed_or_cut_gives_nothing(site, command, name):
    for text in (SHORT, SHORT * 500):
        message = site.encrypt(text, "emails")
        flipped = bytes([*message[:-1], message[-1] ^ 1])
        for bad in (flipped, message[:-1], message[:31], b"?" + message[1:]):
            done = site.run(*command(name, "open"), input=bad)
            assert done.returncode != 0 and done.stdout == b"", name
    done = site.run(*command(name, "open"), input=flipped)
    assert b"not made with this key and AAD, or was changed" in done.stderr


@pytest.mark.parametrize("verb", ["seal", "open"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_key_that_does_not_exist_fails(site, command, name, verb):
    given = SHORT if verb == "seal" else site.encrypt(SHORT, "emails")
    done = site.run(*command(name, verb, "nobody"), input=given)
    assert done.returncode != 0 and done.stdout == b""
    # Node.js has one text for whatever fails in update.
    wanted = "unsupported state" if name.startswith("node") else "key is not found"
    assert wanted in done.stderr.decode(errors="replace")


def test_aad_goes_before_the_data(site, program):
    """As docs/programs.md has it for Python, and for Perl in its own words."""
    changes = {
        "envelope.py": (
            "        and crypto.EVP_CipherUpdate(ctx, out",
            "        and crypto.EVP_CipherUpdate(ctx, None, n, b'row 1', len(b'row 1'))\n",
        ),
        "envelope.pl": (
            "        && (!length $in",
            "        && EVP_CipherUpdate($ctx, undef, \\$n, (scalar_to_buffer 'row 1')[0], 5)\n",
        ),
    }
    programs_document.save(site.folder)
    for file, (before, line) in changes.items():
        text = (site.folder / file).read_text()
        assert text.count(before) == 1
        (site.folder / f"aad-{file}").write_text(text.replace(before, line + before))
    with_aad = [(program(FILES[name][0]), f"aad-{FILES[name][1]}") for name in ("python", "perl")]
    for writer in with_aad:
        message = site.ok(*writer, "seal", "emails", input=SHORT)
        assert [site.ok(*reader, "open", "emails", input=message) for reader in with_aad] == [SHORT, SHORT]
        assert "not made with this key and AAD" in site.decrypt_fails(message, "emails")


# Room in their buffers: docs/programs.md has it from their sources. These two
# reserve no more than they must. valgrind has nothing to say of Lua, whose buffer
# is on the stack, and cannot run Node.js.

LENGTHS = {
    "php": (
        "-r",
        """
        foreach ([0, 1, 16, 31, 32, 33, 1000] as $n) {
            $box = openssl_encrypt(str_repeat("a", $n), "kms-envelope", "emails", OPENSSL_RAW_DATA);
            if (strlen(openssl_decrypt($box, "kms-envelope", "emails", OPENSSL_RAW_DATA)) !== $n) exit(1);
        }
        """,
    ),
    "ruby": (
        "-ropenssl",
        "-e",
        """
        key = "emails".ljust(32, "\\0")
        [1, 16, 31, 32, 33, 1000].each do |n|
          c = OpenSSL::Cipher.new("kms-envelope").encrypt; c.key = key
          d = OpenSSL::Cipher.new("kms-envelope").decrypt; d.key = key
          exit 1 unless (d.update(c.update("a" * n) + c.final) + d.final).size == n
        end
        """,
    ),
}


@pytest.mark.parametrize("name", LENGTHS)
def test_its_buffers_have_room(site, program, name):
    """valgrind says nothing of us. Of Ruby it does, which looks for objects on its stack."""
    environment = {**site.environment, "USE_ZEND_ALLOC": "0"}
    watched = (program("valgrind"), program(name), *LENGTHS[name])
    done = site.run(*watched, env=environment)
    said = done.stderr.decode(errors="replace")
    assert done.returncode == 0 and "ERROR SUMMARY" in said, said
    assert "kms-envelope.so" not in said, said


# Which OpenSSL it is.


@pytest.mark.parametrize("name, own", [("node-debian", False), ("node-upstream", True)])
def test_node_has_its_own_openssl_or_the_system_s(site, command, name, own):
    node, *_ = command(name, "seal")
    system = site.ok("openssl", "version").split()[1].decode()
    inside = site.ok(node, "-p", "process.versions.openssl").decode().strip()
    shared = site.ok(node, "-p", "process.config.variables.node_shared_openssl").decode().strip()
    assert shared == ("false" if own else "true")
    assert own or inside == system


@pytest.mark.parametrize("name", ["node-debian", "node-upstream"])
def test_node_reads_the_section_of_others_if_it_is_told(site, command, name):
    site.conf.write_text(site.conf.read_text().replace("nodejs_conf = init\n", ""))
    node, *words = command(name, "seal")
    assert "Unknown cipher" in site.fails(node, *words, input=SHORT)
    message = site.ok(node, "--openssl-shared-config", *words, input=SHORT)
    assert site.decrypt(message, "emails") == SHORT


# Perl.


def test_net_ssleay_finds_it_and_cannot_encrypt(site, program):
    code = """
        print Net::SSLeay::EVP_get_cipherbyname("kms-envelope") ? "found" : "unknown";
        print " ", join " ", grep /^EVP_.*(cipher|crypt)/i, keys %Net::SSLeay::;
    """
    assert site.ok(program("perl"), "-MNet::SSLeay", "-e", code) == b"found EVP_get_cipherbyname"


def test_net_ssleay_hashes_as_before(site, program):
    code = 'print unpack "H*", Net::SSLeay::EVP_Digest("x", Net::SSLeay::EVP_get_digestbyname("SHA256"));'
    assert site.ok(program("perl"), "-MNet::SSLeay", "-e", code).endswith(b"4881")


def test_cryptx_has_no_libcrypto(site, program):
    code = """
        print Crypt::Digest::digest_data_hex("SHA256", "x"), "\\n";
        open my $maps, "<", "/proc/self/maps"; print grep /CryptX|libcrypto/, <$maps>;
    """
    said = site.ok(program("perl"), "-MCrypt::Digest", "-e", code).decode()
    assert said.splitlines()[0].endswith("4881")
    assert "CryptX.so" in said and "libcrypto" not in said


# Python.


def test_m2crypto_has_a_fixed_list(site, program):
    code = """
from M2Crypto import EVP
def cipher(name, op):
    return EVP.Cipher(alg=name, key=b"k" * 32, iv=b"i" * 16, op=op)
c, d = cipher("aes_256_cbc", 1), cipher("aes_256_cbc", 0)
box = c.update(b"anna") + c.final()
print((d.update(box) + d.final()).decode())
cipher("kms_envelope", 1)
"""
    done = site.run("/usr/bin/python3", "-c", code)
    assert done.stdout == b"anna\n", done.stderr.decode()
    assert b"unknown cipher" in done.stderr


CRYPTOGRAPHY = """
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers import Cipher, CipherAlgorithm
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

class Ours(CipherAlgorithm):
    name = "KMS-ENVELOPE"
    key_sizes = frozenset([256])
    key_size = 256
    key = b"emails".ljust(32, b"\\0")

for text in (AESGCM(b"k" * 32).decrypt(b"n" * 12, AESGCM(b"k" * 32).encrypt(b"n" * 12, b"anna", None), None),
             (fernet := Fernet(Fernet.generate_key())).decrypt(fernet.encrypt(b"anna"))):
    print(text.decode())
print(*{line.split()[-1] for line in open("/proc/self/maps") if "kms-envelope.so" in line})
try:
    Cipher(Ours(), None).encryptor()
except UnsupportedAlgorithm as error:
    print(error)
"""


@pytest.mark.parametrize("whose", ["debian", "pypi"])
def test_cryptography_has_a_fixed_list(site, whose):
    python = "/usr/bin/python3" if whose == "debian" else moto.botocore_python()
    anna, once_more, module, error = site.ok(python, "-c", CRYPTOGRAPHY).decode().splitlines()
    assert (anna, once_more, module) == ("anna", "anna", str(MODULE))
    assert error.startswith("cipher KMS-ENVELOPE in None mode is not supported")


def test_cryptography_wants_the_legacy_provider_where_openssl_modules_points(site):
    """Debian's. So docs/programs.md says to name the module instead."""
    site.configure(module=None)
    environment = {**site.environment, "OPENSSL_MODULES": str(MODULE.parent)}
    error = site.fails("/usr/bin/python3", "-c", CRYPTOGRAPHY, env=environment)
    assert "could not load the shared library" in error or "legacy provider failed to load" in error


# Lua.


def test_luaossl_wants_a_whole_key(site, program):
    code = 'require("openssl.cipher").new("kms-envelope"):encrypt("emails")'
    assert "should be 32" in site.fails(program("lua5.4"), "-e", code)


def test_luaossl_needs_no_default_key(site, command):
    """It sets a key of zeros in new(), before it has the real one."""
    site.configure(default_key=None)
    message = site.ok(*command("lua", "seal"), input=b"anna")
    assert site.ok(*command("lua", "open"), input=message) == b"anna"


# Erlang.


def test_erlang_s_crypto_has_a_fixed_list(site, program):
    code = """
        Try = fun(Name) ->
            try crypto:crypto_one_time(Name, <<0:256>>, <<"anna">>, true)
            catch error:{_, _, Why} -> io:format("~s~n", [Why]) end end,
        Try(kms_envelope), Try('kms-envelope'), Try(<<"kms-envelope">>),
        io:format("~p~n", [[C || C <- crypto:supports(ciphers), C =:= kms_envelope]]),
        {Box, Tag} = crypto:crypto_one_time_aead(aes_256_gcm, <<0:256>>, <<0:96>>, <<"anna">>, <<>>, true),
        io:format("~s~n", [crypto:crypto_one_time_aead(aes_256_gcm, <<0:256>>, <<0:96>>, Box, <<>>, Tag, false)]),
        {ok, Maps} = file:read_file("/proc/self/maps"),
        io:format("~p~n", [re:run(Maps, "kms-envelope.so", [{capture, none}])]), halt().
    """
    said = site.ok(program("erl"), "-noshell", "-eval", code).decode().splitlines()
    assert said == ["Unknown cipher", "Unknown cipher", "Cipher id is not an atom", "[]", "anna", "match"]


def test_erlang_has_files_encrypted_by_openssl(site, program):
    programs_document.save(site.folder, "envelope.escript")
    command = (program("escript"), "envelope.escript")
    (site.folder / "row").write_bytes(SHORT)
    site.ok(*command, "seal", "emails", "row", "row.kmse")
    message = (site.folder / "row.kmse").read_bytes()
    assert site.decrypt(message) == SHORT
    site.ok(*command, "open", "emails", "row.kmse", "row.back")
    assert (site.folder / "row.back").read_bytes() == SHORT
    (site.folder / "row.kmse").write_bytes(bytes([*message[:-1], message[-1] ^ 1]))
    site.fails(*command, "open", "emails", "row.kmse", "row.back")
    assert not (site.folder / "row.back").exists()
    site.fails(*command, "seal", "nobody", "row", "row.kmse")
    assert not (site.folder / "row.kmse").exists()


# The drop-in, for those with a fixed list: AES-256-CBC and GCM, with fixed IVs,
# of the key in the first argument.

CBC_AND_GCM = {
    "cryptography": """
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
import sys
key = sys.argv[1].encode()
cbc = Cipher(algorithms.AES(key), modes.CBC(b"i" * 16)).encryptor()
print((cbc.update(b"anna" * 4) + cbc.finalize()).hex(), AESGCM(key).encrypt(b"n" * 12, b"anna", None)[:4].hex())
""",
    "m2crypto": """
from M2Crypto import EVP
import sys
cbc = EVP.Cipher(alg="aes_256_cbc", key=sys.argv[1].encode(), iv=b"i" * 16, op=1)
print((cbc.update(b"anna" * 4) + cbc.final())[:16].hex())
""",
    "erlang": """
    Key = list_to_binary(hd(init:get_plain_arguments())),
    Cbc = crypto:crypto_one_time(aes_256_cbc, Key, <<"iiiiiiiiiiiiiiii">>, <<"annaannaannaanna">>, true),
    {Gcm, _} = crypto:crypto_one_time_aead(aes_256_gcm, Key, <<"nnnnnnnnnnnn">>, <<"anna">>, <<>>, true),
    io:format("~s~n", [string:lowercase([binary:encode_hex(Cbc), " ", binary:encode_hex(Gcm)])]), halt().
    """,
}


def cbc_and_gcm(site, name, key, **options):
    """What each program makes of them: hex."""
    python = moto.botocore_python() if name == "cryptography-pypi" else "/usr/bin/python3"
    code = CBC_AND_GCM[name.removesuffix("-pypi")]
    words = ("erl", "-noshell", "-eval", code, "-extra") if name == "erlang" else (python, "-c", code)
    return site.ok(*words, key, **options).decode().split()


@pytest.mark.parametrize("name", ["cryptography", "cryptography-pypi", "m2crypto", "erlang"])
def test_the_drop_in_reaches_it(site, name):
    handle = site.tool("handle", "emails", "--keys", site.keys).strip()
    assert len(handle) == 32
    own = "k" * 32
    without = {**site.environment, "OPENSSL_CONF": "/dev/null"}
    plain = {key: cbc_and_gcm(site, name, key, env=without) for key in (handle, own)}
    with_properties(site, "?provider=kms-envelope", drop_in="yes")
    assert cbc_and_gcm(site, name, own) == plain[own]
    replaced = cbc_and_gcm(site, name, handle)
    assert len(replaced) == len(plain[handle])
    assert all(one != other for one, other in zip(replaced, plain[handle]))
    # It is the same key for openssl enc, which opens what the program wrote.
    enc = ("openssl", "enc", "-d", "-aes-256-cbc", "-nopad", "-K", handle.encode().hex(), "-iv", b"i".hex() * 16)
    assert site.ok(*enc, input=bytes.fromhex(replaced[0])) == b"anna" * 4
