# SPDX-License-Identifier: Apache-2.0
"""A folder with a master key, keys and an openssl.cnf for each test."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The doubles are a package in test/.
sys.path.insert(0, str(ROOT / "test"))
BUILD = pathlib.Path(os.environ.get("KMSE_BUILD", ROOT / "build" / "release"))
MODULE = BUILD / "kms-envelope.so"
TOOL = BUILD / "kms-envelope"
TIMEOUT_S = 120
# Of tests of programs as Debian ships them.
DEBIAN = pytest.mark.skipif(not os.path.exists("/etc/debian_version"), reason="this is no Debian")


def pytest_configure(config):
    config.addinivalue_line("markers", "matrix: also run in the other releases of OpenSSL: cmake/matrix.sh")
    config.addinivalue_line("markers", "since(release): about what openssl(1) has since that release")


def openssl_release():
    """(3, 5) of the openssl of PATH."""
    said = subprocess.run(["openssl", "version"], capture_output=True, check=True, text=True).stdout
    major, minor = said.split()[1].split(".")[:2]
    return int(major), int(minor)


def pytest_collection_modifyitems(config, items):
    """Stories about a newer openssl are for cmake/matrix.sh."""
    found = openssl_release()
    wanted = os.environ.get("KMSE_OPENSSL", "%d.%d" % found)
    assert wanted == "%d.%d" % found, f"KMSE_OPENSSL is {wanted}, and openssl is {found}"

    def is_of_time(item):
        marks = item.iter_markers("since")
        return all(found >= tuple(int(part) for part in mark.args[0].split(".")) for mark in marks)

    later = [item for item in items if not is_of_time(item)]
    config.hook.pytest_deselected(items=later)
    items[:] = [item for item in items if item not in later]


CONFIGURATION = """\
openssl_conf = init
nodejs_conf = init
[init]
providers = providers
[providers]
default = default_section
kms-envelope = kms_envelope_section
[default_section]
activate = 1
[kms_envelope_section]
"""


class Site:
    """What an administrator sets up: a master key, key files, openssl.cnf."""

    def __init__(self, folder):
        self.folder = folder
        self.keys = folder / "keys"
        self.master_key = folder / "master-key"
        self.conf = folder / "openssl.cnf"
        self.configure()

    def configure(self, **settings):
        """openssl.cnf anew; a setting of None is left out."""
        section = {
            "module": MODULE,
            "activate": 1,
            "keys": self.keys,
            "default-key": "emails",
            **{name.replace("_", "-"): value for name, value in settings.items()},
        }
        lines = [f"{name} = {value}" for name, value in section.items() if value is not None]
        self.conf.write_text(CONFIGURATION + "\n".join(lines) + "\n")

    @property
    def environment(self):
        return {
            **os.environ,
            "OPENSSL_CONF": str(self.conf),
            "LC_ALL": "C.UTF-8",
        }

    def run(self, *command, **options):
        """Run to its end, whatever that is; bytes in and out."""
        options.setdefault("env", self.environment)
        options.setdefault("timeout", TIMEOUT_S)
        return subprocess.run(
            [str(word) for word in command], capture_output=True, cwd=self.folder, check=False, **options
        )

    def start(self, *command, **options):
        return subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env=self.environment,
            **options,
        )

    def ok(self, *command, **options):
        """Run what must work; its standard output."""
        done = self.run(*command, **options)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def fails(self, *command, code=1, **options):
        """Run what must fail with that exit code; its standard error."""
        done = self.run(*command, **options)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stderr.decode()

    # The tool, with the folder of keys where the verb wants one.

    def tool(self, *words):
        return self.ok(TOOL, *words).decode()

    def create(self, name="emails", *more):
        return self.tool("create", name, "--keys", self.keys, "--master-key", f"local:{self.master_key}", *more)

    def rotate(self, name="emails", *more):
        return self.tool("rotate", name, "--keys", self.keys, *more)

    def key_file(self, name="emails"):
        return self.keys / f"{name}.json"

    # openssl enc.

    @staticmethod
    def enc_key(name):
        """A key's name as -K wants it; none: the default key."""
        return name.encode().hex() if name else "0"

    def encrypt(self, plaintext, name=None):
        return self.ok("openssl", "enc", "-kms-envelope", "-K", self.enc_key(name), input=plaintext)

    def decrypt(self, message, name=None):
        return self.ok("openssl", "enc", "-d", "-kms-envelope", "-K", self.enc_key(name), input=message)

    def decrypt_fails(self, message, name=None):
        return self.fails("openssl", "enc", "-d", "-kms-envelope", "-K", self.enc_key(name), input=message)


def version_of(message):
    """The tag of a message: docs/format.md."""
    assert message[0] == 0x4B
    return int.from_bytes(message[1:4], "big")


@pytest.fixture
def empty_site(tmp_path):
    for needed in (MODULE, TOOL):
        assert needed.exists(), f"{needed} is missing: build first"
    return Site(tmp_path)


@pytest.fixture
def site(empty_site):
    empty_site.create("emails")
    return empty_site


@pytest.fixture(scope="session")
def program():
    """The path of a program; a missing one is a failure."""

    def find(name):
        path = shutil.which(name)
        assert path is not None, f"{name} is not installed: sh cmake/check.sh install"
        return path

    return find


# An AWS on loopback: test/doubles. moto is a KMS written by others; the strict
# double does what moto does not, and has faults. Without moto tests fail.


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory):
    from doubles.moto import Moto

    with Moto(tmp_path_factory.mktemp("moto")) as started:
        yield started


@pytest.fixture
def moto(moto_server):
    moto_server.proxy.reset()
    yield moto_server
    moto_server.proxy.reset()


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    from doubles.certificates import Authority

    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def accounts():
    from doubles.kms_server import Accounts
    from doubles.messages import Clock

    return Accounts(Clock())


@pytest.fixture
def administrator(accounts):
    """Permanent credentials that may do all."""
    from doubles.sigv4 import Credentials

    secret = "administrator+secret/0123456789ABCDEFGHI"
    return accounts.add(Credentials("AKIADOUBLE0000000001", secret))


@pytest.fixture
def kms(accounts):
    from doubles.kms_server import KmsDouble

    started = KmsDouble(accounts).start()
    yield started
    started.stop()


@pytest.fixture
def issuer(accounts):
    """IMDSv2, container endpoint and STS."""
    from doubles.credentials_server import CredentialsDouble

    started = CredentialsDouble(accounts, "eu-west-1").start()
    yield started
    started.stop()


@pytest.fixture
def aws_site(empty_site, tmp_path, kms, administrator):
    """A site at the strict double, with the administrator's credentials."""
    from aws_site import AwsSite

    made = AwsSite(empty_site.folder, kms)
    made.use(administrator)
    return made


@pytest.fixture
def agent_site(empty_site):
    """A host whose master key is a file, with an agent to be started."""
    from agent_site import AgentSite

    made = AgentSite(empty_site.folder)
    made.create("emails")
    return made


@pytest.fixture
def aws_agent_site(empty_site, kms, administrator):
    """The same, with a master key in the strict double."""
    from agent_site import AgentSite

    made = AgentSite(empty_site.folder, kms)
    made.use(administrator)
    made.create_at(kms.store.create("eu-west-1").arn)
    return made


@pytest.fixture
def agent_rows(agent_site):
    """A file with an old row, which the administrator has written."""
    path = agent_site.folder / "rows"
    path.write_text(f"{agent_site.loop_once('anna@example.org').hex()} anna@example.org\n")
    return path


@pytest.fixture
def open_folder():
    """A short name for sockets, and a way in for other users, both of which
    pytest's own folders have not."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        path.chmod(0o755)
        yield path
