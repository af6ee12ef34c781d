# SPDX-License-Identifier: Apache-2.0
"""nginx, Apache, curl and OpenSSH with the provider in their openssl.cnf.

None of them uses it, and none of them may notice it. They serve on loopback,
from a temporary folder; what is compared is what they do without it.
"""
import collections
import contextlib
import grp
import hashlib
import os
import pathlib
import pwd
import re
import signal
import socket
import subprocess
import tempfile
import time

import pytest

import programs_document
from conftest import DEBIAN, TIMEOUT_S
from test_guest import with_properties

pytestmark = DEBIAN
APACHE_MODULES = pathlib.Path("/usr/lib/apache2/modules")
START_S = 30
IS_ROOT = os.geteuid() == 0
# Who serves, where the master is root.
SERVANT = pwd.getpwnam("daemon")
BIG = bytes(i * 251 & 0xFF for i in range(1 << 20))


def digest(data):
    return hashlib.sha256(data).hexdigest()


# Options of curl for a protocol and cipher, and what curl is to say of it.
TLS = {
    "TLSv1.3 / TLS_AES_256_GCM_SHA384": ("--tls13-ciphers", "TLS_AES_256_GCM_SHA384"),
    "TLSv1.3 / TLS_AES_128_GCM_SHA256": ("--tls13-ciphers", "TLS_AES_128_GCM_SHA256"),
    "TLSv1.3 / TLS_CHACHA20_POLY1305_SHA256": ("--tls13-ciphers", "TLS_CHACHA20_POLY1305_SHA256"),
} | {
    f"TLSv1.2 / {name}": ("--tls-max", "1.2", "--ciphers", name, *more)
    for name, *more in (
        ("ECDHE-ECDSA-AES256-GCM-SHA384",),
        ("ECDHE-ECDSA-CHACHA20-POLY1305",),
        # HTTP/2 does not go over CBC.
        ("ECDHE-ECDSA-AES128-SHA256", "--http1.1"),
        ("ECDHE-ECDSA-AES256-SHA", "--http1.1"),
    )
}

# Headers that differ from one time to the next.
CHANGING = ("date", "last-modified", "etag")

Answer = collections.namedtuple("Answer", "tls status headers body")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment_of(site, with_provider):
    """A service's, or that of a program without a configuration."""
    told = programs_document.service_environment(site.conf) if with_provider else {"OPENSSL_CONF": "/dev/null"}
    return {name: value for name, value in os.environ.items() if not name.startswith("OPENSSL_")} | told


def check_loaded(libraries, with_provider):
    """The module is among the libraries of a process, or is not."""
    assert "libcrypto.so" in libraries, f"nothing is proved by {libraries!r}"
    assert ("kms-envelope.so" in libraries) == with_provider


def run_client(site, with_provider, *command, **options):
    """Run what must work; what it writes, and says. The loader says more: which
    libraries it has."""
    done = site.run(*command, env=environment_of(site, with_provider) | {"LD_DEBUG": "files"}, **options)
    loader, said = [], []
    for line in done.stderr.decode().splitlines():
        (loader if re.match(r" +\d+:\t", line) else said).append(line.strip())
    assert done.returncode == 0, said
    check_loaded("\n".join(loader), with_provider)
    return done.stdout, said


class Server:
    """One that stays in the foreground, and ends when it is told."""

    def __init__(self, site, with_provider, folder, command):
        self.with_provider = with_provider
        self.log = folder / "log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(word) for word in command], env=environment_of(site, with_provider), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, cwd=folder, start_new_session=True,
            )  # fmt: skip

    def wait_for(self, port):
        until = time.monotonic() + START_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), START_S):
                return
            assert time.monotonic() < until and self.process.poll() is None, self.said()
            time.sleep(0.02)

    def wait_to_say(self, what, count):
        until = time.monotonic() + START_S
        while self.said().count(what) < count:
            assert time.monotonic() < until, self.said()
            time.sleep(0.02)

    def said(self):
        return self.log.read_text()

    def check(self):
        check_loaded(pathlib.Path(f"/proc/{self.process.pid}/maps").read_text(), self.with_provider)

    def end(self):
        self.process.terminate()
        return self.process.wait(TIMEOUT_S)


# Web servers.


class Web:
    """A server of files by TLS."""

    def __init__(self, site, with_provider, pair):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="web.", dir=site.folder))
        self.port = free_port()
        self.pair = pair
        # Who serves has no way into the site's folder.
        self.www = tempfile.TemporaryDirectory(prefix="kmse-www-")
        pathlib.Path(self.www.name).chmod(0o755)
        pathlib.Path(self.www.name, "big").write_bytes(BIG)
        configuration = self.folder / "conf"
        configuration.write_text(self.configuration())
        self.server = Server(site, with_provider, self.folder, self.command(configuration))

    def __enter__(self):
        try:
            self.server.wait_for(self.port)
            self.server.check()
        except BaseException:
            self.server.end()
            raise
        return self

    def __exit__(self, *error):
        code = self.server.end()
        self.www.cleanup()
        assert error[0] is not None or code == 0, self.server.said()

    @property
    def url(self):
        return f"https://localhost:{self.port}/big"

    def reload(self):
        self.server.process.send_signal(self.reload_signal)
        self.server.wait_to_say(self.reloaded, 2)


class Nginx(Web):
    reload_signal = signal.SIGHUP
    reloaded = "exited with code 0"  # each old worker

    def command(self, configuration):
        return ["/usr/sbin/nginx", "-p", self.folder, "-c", configuration, "-e", "stderr"]

    def configuration(self):
        user = f"user {SERVANT.pw_name} {grp.getgrgid(SERVANT.pw_gid).gr_name};" if IS_ROOT else ""
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"    {kind}_temp_path {self.folder}/{kind};\n" for kind in kinds)
        return f"""\
daemon off;
{user}
worker_processes 2;
pid {self.folder}/pid;
error_log stderr notice;
events {{ }}
http {{
    access_log off;
{paths}
    server {{
        listen 127.0.0.1:{self.port} ssl http2;
        ssl_certificate {self.pair.certificate};
        ssl_certificate_key {self.pair.key};
        ssl_protocols TLSv1.2 TLSv1.3;
        root {self.www.name};
    }}
}}
"""


class Apache(Web):
    reload_signal = signal.SIGUSR1
    reloaded = "resuming normal operations"  # at its start, and again

    def command(self, configuration):
        return ["/usr/sbin/apache2", "-f", configuration, "-D", "FOREGROUND"]

    def configuration(self):
        names = ("mpm_event", "authz_core", "unixd", "http2", "socache_shmcb", "ssl")
        files = {name: APACHE_MODULES / f"mod_{name}.so" for name in names}
        modules = "\n".join(f"LoadModule {name}_module {file}" for name, file in files.items() if file.exists())
        user = f"User {SERVANT.pw_name}\nGroup #{SERVANT.pw_gid}" if IS_ROOT else ""
        return f"""\
{modules}
{user}
ServerRoot {self.folder}
ServerName localhost
DefaultRuntimeDir {self.folder}
PidFile {self.folder}/pid
ErrorLog {self.folder}/log
LogLevel notice
StartServers 2
Listen 127.0.0.1:{self.port}
DocumentRoot {self.www.name}
Protocols h2 http/1.1
SSLEngine on
SSLProtocol -all +TLSv1.2 +TLSv1.3
SSLCertificateFile {self.pair.certificate}
SSLCertificateKeyFile {self.pair.key}
"""


@pytest.fixture(scope="module")
def pair(authority):
    return authority.issue("web")


class Curl:
    """curl, with the provider or without."""

    def __init__(self, site, path, bundle):
        self.site = site
        self.words = (path, "--silent", "--show-error", "--fail", "--cacert", bundle)

    def run(self, with_provider, *words):
        return run_client(self.site, with_provider, *self.words, *words)

    def get(self, url, with_provider, *options):
        """What came, and by which TLS."""
        body, said = self.run(with_provider, "--verbose", *options, url)
        (tls,) = (line.split("using ")[1] for line in said if "SSL connection using" in line)
        status, *headers = (line[2:] for line in said if line.startswith("< "))
        told = sorted(line for line in headers if not line.lower().startswith(CHANGING))
        return Answer(tls, status, told, digest(body))

    def by_all_ciphers(self, url, with_provider):
        return {wanted: self.get(url, with_provider, *options) for wanted, options in TLS.items()}


@pytest.fixture
def curl(site, authority, program):
    return Curl(site, program("curl"), authority.bundle)


@pytest.fixture(params=["the-ciphers", "drop-in"])
def offered(request, site):
    """What the provider has for others; the drop-in stands before their AES-256."""
    if request.param == "drop-in":
        with_properties(site, "?provider=kms-envelope", drop_in="yes")


@pytest.mark.parametrize("make", [Nginx, Apache])
def test_tls_is_as_before(site, offered, curl, pair, make):
    with make(site, False, pair) as server:
        before = curl.by_all_ciphers(server.url, False)
    assert {wanted: answer.tls for wanted, answer in before.items()} == {wanted: wanted for wanted in TLS}
    assert {answer.status for answer in before.values()} == {"HTTP/2 200", "HTTP/1.1 200 OK"}
    assert {answer.body for answer in before.values()} == {digest(BIG)}
    with make(site, True, pair) as server:
        assert curl.by_all_ciphers(server.url, True) == before
        server.reload()
        assert curl.by_all_ciphers(server.url, False) == before
        assert curl.get(server.url, True, "--http1.1").status == "HTTP/1.1 200 OK"
        apart = ("--no-verbose", "--http1.1", "--header", "Connection: close", "--range", "0-99")
        bodies, _ = curl.run(True, *apart, f"{server.url}?[1-100]")
        assert bodies == BIG[:100] * 100


# OpenSSH.

# A login each: the kind of the user's key, cipher, key exchange.
LOGINS = (
    ("ed25519", "aes256-gcm@openssh.com", "curve25519-sha256"),
    ("ecdsa", "aes128-ctr", "ecdh-sha2-nistp256"),
    ("rsa", "chacha20-poly1305@openssh.com", "diffie-hellman-group16-sha512"),
)


@pytest.fixture
def ssh_keys(site, program):
    """Throw-away keys: the host's, and one of each kind for the user."""
    for name in ("host", *(kind for kind, *_ in LOGINS)):
        kind = "ed25519" if name == "host" else name
        site.ok(program("ssh-keygen"), "-q", "-t", kind, "-N", "", "-C", name, "-f", site.folder / name)
    public = [(site.folder / f"{kind}.pub").read_text() for kind, *_ in LOGINS]
    (site.folder / "authorized").write_text("".join(public))
    return site.folder


@pytest.fixture
def run_sshd():
    """The folder that sshd of root goes into, which its service makes."""
    folder = pathlib.Path("/run/sshd")
    missing = IS_ROOT and not folder.exists()
    if missing:
        folder.mkdir(mode=0o755)
    yield
    if missing:
        folder.rmdir()


@contextlib.contextmanager
def sshd(site, folder, with_provider):
    port = free_port()
    configuration = folder / "sshd.conf"
    configuration.write_text(f"""\
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
""")
    host = (folder / "host.pub").read_text()
    (folder / "known").write_text(f"[127.0.0.1]:{port} {host}")
    server = Server(site, with_provider, folder, ("/usr/sbin/sshd", "-D", "-e", "-f", configuration))
    try:
        server.wait_for(port)
        server.check()
        yield port
    finally:
        server.end()


class Ssh:
    """A user at that port."""

    def __init__(self, site, folder, port):
        self.site = site
        self.folder = folder
        self.port = port

    def run(self, with_provider, login, command, **options):
        kind, cipher, exchange = login
        settings = {
            "IdentitiesOnly": "yes",
            "BatchMode": "yes",
            "UserKnownHostsFile": self.folder / "known",
            "StrictHostKeyChecking": "yes",
            "Ciphers": cipher,
            "KexAlgorithms": exchange,
        }
        words = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        words += ["-v", "-F", "/dev/null", "-p", self.port, "-i", self.folder / kind, *words]
        to = f"{pwd.getpwuid(os.geteuid()).pw_name}@127.0.0.1"
        return run_client(self.site, with_provider, "ssh", *words, to, command, **options)

    def log_in(self, with_provider, login):
        """BIG goes there and back; what ssh says of how."""
        echoed, said = self.run(with_provider, login, "cat", input=BIG)
        assert digest(echoed) == digest(BIG)
        return [line for line in said if line.startswith("debug1: kex: ")]

    def libraries_of_the_session(self):
        maps, _ = self.run(True, LOGINS[0], "cat /proc/$PPID/maps")
        return maps.decode()


def test_ssh_is_as_before(site, offered, ssh_keys, run_sshd):
    with sshd(site, ssh_keys, False) as port:
        ssh = Ssh(site, ssh_keys, port)
        before = [ssh.log_in(False, login) for login in LOGINS]
        check_loaded(ssh.libraries_of_the_session(), False)
    assert all(cipher in "".join(said) for said, (_, cipher, _) in zip(before, LOGINS))
    with sshd(site, ssh_keys, True) as port:
        ssh = Ssh(site, ssh_keys, port)
        assert [ssh.log_in(True, login) for login in LOGINS] == before
        assert ssh.log_in(False, LOGINS[0]) == before[0]
        check_loaded(ssh.libraries_of_the_session(), True)


def test_ssh_says_its_version(site, program):
    before, after = (site.run(program("ssh"), "-V", env=environment_of(site, each)) for each in (False, True))
    assert before.returncode == after.returncode == 0
    assert before.stderr.startswith(b"OpenSSH_") and before.stderr == after.stderr
