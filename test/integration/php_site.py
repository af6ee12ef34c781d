# SPDX-License-Identifier: Apache-2.0
"""A web server with 50 PHP workers, who have an agent and no credentials."""
import base64
import collections
import concurrent.futures
import glob
import http.client
import json
import os
import pathlib
import pwd
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

import pytest

from agent_site import AgentSite
from aws_site import SANITIZER_OPTIONS, sanitizers
from conftest import MODULE, ROOT, TIMEOUT_S, TOOL

WORKERS = 50
HTTP_MODULE = MODULE.with_name("kms-envelope-http.so")
SCRIPT = ROOT / "test" / "integration" / "programs" / "crypt.php"
START_S = 30
IS_ROOT = os.geteuid() == 0
# Users that every Linux has, for Apache wants names. Who is not root is himself.
AGENT_UID, POOL_UID, STRANGER_UID = (
    pwd.getpwnam(name).pw_uid if IS_ROOT else os.geteuid() for name in ("bin", "daemon", "nobody")
)
# A group that Debian reserves, and gives to nobody.
KEYS_GID = 65504 if IS_ROOT else os.getegid()

Answer = collections.namedtuple("Answer", "pid out error")


class PhpSite(AgentSite):
    """The administrator's. The agent and the workers are users of their own."""

    def __init__(self, folder, kms=None):
        super().__init__(folder, kms)
        # The tree may be where others have no way in. What the workers have
        # speaks no HTTP.
        self.programs = self.install("programs", MODULE, HTTP_MODULE, TOOL)
        self.agent_program = self.programs / TOOL.name
        self.www = self.install("www", MODULE, SCRIPT)
        self.socket = folder / "agent" / "agent.sock"
        self.socket.parent.mkdir()
        self.keys.mkdir(mode=0o750)
        if IS_ROOT:
            os.chown(self.socket.parent, AGENT_UID, KEYS_GID)
            os.chown(self.keys, 0, KEYS_GID)
        self.allow()

    def install(self, name, *files):
        made = self.folder / name
        made.mkdir()
        made.chmod(0o755)
        for file in files:
            shutil.copy(file, made)
        return made

    def allow(self, rules=None, **settings):
        super().allow(rules or {"pool": {"key": "emails", "uid": POOL_UID}}, **settings)

    def create_for_all(self, master_key):
        """The agent and the pool read key files, and root writes them."""
        self.create_at(master_key)
        if IS_ROOT:
            os.chown(self.key_file(), 0, KEYS_GID)
            self.key_file().chmod(0o640)

    def agent(self, *words, **options):
        return super().agent(*words, prefix=as_user(AGENT_UID, KEYS_GID), **options)

    def application(self, **settings):
        made = super().application(**{"module": self.www / MODULE.name, **settings})
        made.aws |= sanitizer_first()
        return made


def sanitizer_first():
    """A host that is not instrumented has the sanitizer loaded before all else.
    PHP loads extensions in a way that it forbids, and frees little at its end."""
    if not sanitizers():
        return {}
    if sanitizers() == "thread":
        pytest.skip("PHP's workers have no threads")
    names = [f"lib{name}.so" for name in ("asan", "ubsan")]
    paths = [subprocess.check_output(["gcc", f"-print-file-name={name}"], text=True).strip() for name in names]
    options = f"{SANITIZER_OPTIONS['ASAN_OPTIONS']}:detect_leaks=0"
    return {"LD_PRELOAD": " ".join(paths), "PHP_INI_SCAN_DIR": "/nonexistent", "ASAN_OPTIONS": options}


def as_user(uid, gid):
    return ("setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups") if IS_ROOT else ()


class Door:
    """Where requests wait, until as many are there as are wanted."""

    def __init__(self, path, count):
        self.path = path
        self.count = count
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(path))
        path.chmod(0o666)
        self.listening.listen(count)
        self.listening.settimeout(START_S)
        self.waiting = []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for client in (self.listening, *self.waiting):
            client.close()
        self.path.unlink()

    def open(self):
        while len(self.waiting) < self.count:
            try:
                self.waiting.append(self.listening.accept()[0])
            except TimeoutError:
                raise AssertionError(f"{len(self.waiting)} of {self.count} requests came") from None
        for client in self.waiting:
            client.send(b"\n")


class Server:
    """Real workers behind a real front, from their start to their end."""

    def __init__(self, application, uid=POOL_UID, workers=WORKERS, name="web"):
        self.application = application
        self.uid = uid
        self.workers = workers
        self.folder = application.folder / name
        self.folder.mkdir()
        self.log = self.folder / "log"
        self.processes = []

    def __enter__(self):
        try:
            self.start()
            self.wait_until_it_answers()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *error):
        codes = self.end()
        self.application.check_secrets(self.log.read_bytes())
        if error[0] is None:
            assert codes == [0] * len(codes), (codes, self.said())

    def end(self):
        try:
            for process in self.processes:
                process.terminate()
            return [process.wait(timeout=TIMEOUT_S) for process in self.processes]
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self):
        """With their workers."""
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(timeout=TIMEOUT_S)

    def run(self, *command, env=None):
        """In the foreground, it is a child of ours; and in a process group of
        its own, for Apache ends all of its group."""
        options = {"stdin": subprocess.DEVNULL, "cwd": "/", "env": env, "start_new_session": True}
        with self.log.open("ab") as log:
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=log, **options))

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def apache_begins(self, *modules):
        """What any Apache needs; modules that are no files are built in."""
        files = {name: apache_modules() / f"mod_{name}.so" for name in ("authz_core", "unixd", *modules)}
        lines = [f"LoadModule {name}_module {file}" for name, file in files.items() if file.exists()]
        who = [f"User #{self.uid}", f"Group #{KEYS_GID}"] if IS_ROOT else []
        lines += [f"ServerRoot {self.folder}", "ServerName localhost", f"PidFile {self.folder}/pid"]
        lines += [f"DefaultRuntimeDir {self.folder}", f"ErrorLog {self.log}", *who]
        lines += [f"Listen 127.0.0.1:{self.port}", "KeepAlive Off", f"DocumentRoot {self.application.www}"]
        return "\n".join(lines)

    def wait_until_it_answers(self):
        until = time.monotonic() + START_S
        while True:
            try:
                self.environment()
                return
            except (OSError, http.client.HTTPException, AssertionError):
                assert time.monotonic() < until, self.said()
                assert all(process.poll() is None for process in self.processes), self.said()
                time.sleep(0.05)

    def said(self):
        return self.log.read_text()[-2000:]

    # Requests.

    def ask(self, do, body=b"", key="emails", door=None, script="crypt.php"):
        query = {"do": do, "key": key} | ({"door": str(door.path)} if door else {})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        try:
            connection.request("POST", f"/{script}?{urllib.parse.urlencode(query)}", body)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        self.application.check_secrets(text)
        assert response.status == 200, (response.status, text, self.said())
        told = json.loads(text)
        out = None if told["out"] is None else base64.b64decode(told["out"])
        return Answer(told["pid"], out, "; ".join(told["errors"]))

    def environment(self):
        return json.loads(self.ask("environment").out)

    def each(self, do, bodies, **options):
        """A request for each worker, all at the same moment; the answers."""
        assert len(bodies) == self.workers
        with (
            Door(self.application.folder / "door", len(bodies)) as door,
            concurrent.futures.ThreadPoolExecutor(len(bodies)) as pool,
        ):
            asked = [pool.submit(self.ask, do, body, door=door, **options) for body in bodies]
            door.open()
            answers = [answer.result(TIMEOUT_S) for answer in asked]
        assert len({answer.pid for answer in answers}) == self.workers
        return answers

    def each_does(self, do, bodies, **options):
        """The same, and all of them work; what they give."""
        answers = self.each(do, bodies, **options)
        failed = [answer for answer in answers if answer.out is None]
        assert not failed, (len(failed), failed[0], self.said())
        return [answer.out for answer in answers]

    def each_refuses(self, do, bodies, **options):
        """The same, and none of them works; what they say."""
        answers = self.each(do, bodies, **options)
        assert all(answer.out is None for answer in answers), "it worked"
        return [answer.error for answer in answers]

    def reload(self):
        """The graceful one: who has a request ends it."""
        before = self.pids()
        self.processes[0].send_signal(self.reload_signal)
        until = time.monotonic() + START_S
        while any(os.path.exists(f"/proc/{pid}") for pid in before):
            assert time.monotonic() < until, "the old workers stay"
            time.sleep(0.02)

    def pids(self):
        return {answer.pid for answer in self.each("environment", [b""] * self.workers)}


class Fpm(Server):
    """php-fpm behind Apache."""

    reload_signal = signal.SIGUSR2

    def start(self):
        self.run(php_fpm(), "--nodaemonize", "--fpm-config", self.write("fpm.conf", self.pool()),
                 env=self.application.environment)  # fmt: skip
        self.port = free_port()
        # The front is no application: it has no configuration of OpenSSL.
        self.run(apache(), "-f", self.write("apache.conf", self.front()), "-D", "FOREGROUND",
                 env={"PATH": os.environ["PATH"]})  # fmt: skip

    def pool(self):
        who = f"user = {pwd.getpwuid(self.uid).pw_name}\ngroup = {KEYS_GID}" if IS_ROOT else ""
        return f"""\
[global]
error_log = {self.log}
process_control_timeout = 30s
[web]
{who}
listen = {self.folder}/fpm.sock
listen.mode = 0666
pm = static
pm.max_children = {self.workers}
catch_workers_output = yes
clear_env = yes
env[AWS_EC2_METADATA_DISABLED] = true
"""

    def front(self):
        return f"""\
{self.apache_begins("mpm_event", "proxy", "proxy_fcgi")}
ServerLimit 1
ThreadLimit 100
ThreadsPerChild 100
MaxRequestWorkers 100
<Files *.php>
    SetHandler proxy:unix:{self.folder}/fpm.sock|fcgi://localhost
</Files>
"""


class Prefork(Server):
    """Apache's prefork, with PHP as a module of it."""

    reload_signal = signal.SIGUSR1

    def start(self):
        self.port = free_port()
        self.run(apache(), "-f", self.write("apache.conf", self.configuration()), "-D", "FOREGROUND",
                 env=self.application.environment)  # fmt: skip

    def configuration(self):
        return f"""\
{self.apache_begins("mpm_prefork")}
LoadModule php_module {mod_php()}
ServerLimit {self.workers}
StartServers {self.workers}
MinSpareServers {self.workers}
MaxSpareServers {self.workers}
MaxRequestWorkers {self.workers}
<Files *.php>
    SetHandler application/x-httpd-php
</Files>
"""


def found(*patterns):
    paths = [path for pattern in patterns for path in sorted(glob.glob(pattern))]
    assert paths, f"{patterns[0]} is not there: sh cmake/check.sh install"
    return paths[-1]


def php_fpm():
    """Debian has the release in the name."""
    return found("/usr/sbin/php-fpm*")


def apache():
    return found("/usr/sbin/apache2", "/usr/sbin/httpd")


def apache_modules():
    return pathlib.Path(found("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules"))


def mod_php():
    if not shutil.which("apt-get") and not list(apache_modules().glob("libphp*.so")):
        pytest.skip("Fedora has no PHP for Apache's prefork")
    return found(f"{apache_modules()}/libphp*.so")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Load:
    """Users who write and read, each message another, until the end."""

    def __init__(self, server, users=8):
        self.server = server
        self.ended = threading.Event()
        self.rounds = [0] * users
        self.mistakes = []
        self.threads = [threading.Thread(target=self._user, args=(number,)) for number in range(users)]

    def _user(self, number):
        chance = random.Random(number)
        while not self.ended.is_set():
            try:
                self._write_and_read(chance.randbytes(chance.randrange(1, 2000)))
                self.rounds[number] += 1
            except Exception as error:  # whatever it is, it is told at the end
                self.mistakes.append(error)

    def _write_and_read(self, text):
        written = self.server.ask("encrypt", text)
        assert written.out is not None, written.error
        read = self.server.ask("decrypt", written.out)
        assert read.out is not None, read.error
        assert read.out == text, "another text came back"

    def goes_on(self):
        """Every user has had more messages back."""
        before = list(self.rounds)
        until = time.monotonic() + START_S
        while any(now < then + 2 for now, then in zip(self.rounds, before, strict=True)):
            assert time.monotonic() < until and not self.mistakes, self.mistakes[:3]
            time.sleep(0.02)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        try:
            self.goes_on()
        except BaseException:
            self.ended.set()
            raise
        return self

    def __exit__(self, *error):
        self.ended.set()
        for thread in self.threads:
            thread.join(TIMEOUT_S)
        assert error[0] is not None or not self.mistakes, self.mistakes[:3]
