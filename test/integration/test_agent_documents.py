# SPDX-License-Identifier: Apache-2.0
"""What docs/agent.md tells a reader to type is typed, and the files that it
shows are used, all but their paths and users as they stand."""
import grp
import os
import pwd
import re
import time

import pytest

from conftest import ROOT, version_of
from php_site import IS_ROOT, KEYS_GID, POOL_UID, STRANGER_UID, WORKERS, Fpm, PhpSite
from test_aws_documents import ensure_alias

TEXT = (ROOT / "docs" / "agent.md").read_text()
MARK = "<!-- test -->"
KEY = "customer-emails"
TEXTS = [f"user {number}: anna@example.org".encode() for number in range(WORKERS)]
# No systemd here: what it is told is written down.
SYSTEMCTL = '#!/bin/sh\necho "$*" >> "$0.told"\n'
TOLD = [
    "daemon-reload",
    "enable --now kms-envelope-agent.socket kms-envelope-agent",
    "restart php8.2-fpm",
]


def fenced(language):
    """Blocks of a language, each with the line before it."""
    return re.findall(rf"^([^\n]*)\n```{language}\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)


def configuration(path):
    """The block after the paragraph that begins with the name of the file."""
    after = re.split(rf"^{re.escape(path)}[.,:]", TEXT, flags=re.MULTILINE)[1]
    return re.search(r"^```ini\n(.*?)^```$", after, re.MULTILINE | re.DOTALL)[1]


class DocumentedFpm(Fpm):
    def pool(self):
        settings = configuration("/etc/php/8.2/fpm/php-fpm.conf") + f"error_log = {self.log}\n"
        return self.application.here(settings + configuration("/etc/php/8.2/fpm/pool.d/www.conf"))


class Documented(PhpSite):
    """The document's host in a folder."""

    def __init__(self, folder):
        super().__init__(folder)
        self.etc = folder / "etc"
        self.etc.mkdir()
        self.keys = self.etc / "keys"
        self.agent_conf = self.etc / "agent.cnf"
        self.systemctl = self.programs / "systemctl"
        self.systemctl.write_text(SYSTEMCTL)
        self.systemctl.chmod(0o755)
        self.aws["PATH"] = f"{self.programs}:{os.environ['PATH']}"
        self.aws["OPENSSL_MODULES"] = str(self.programs)

    def here(self, text):
        pool = pwd.getpwuid(POOL_UID)
        for old, new in {
            "/etc/kms-envelope": self.etc,
            "/run/kms-envelope": self.socket.parent,
            "/run/php/php8.2-fpm.sock": self.folder / "web" / "fpm.sock",
            "listen.group = www-data": f"listen.group = {grp.getgrgid(pool.pw_gid).gr_name}",
            "www-data": pool.pw_name,
            "group = kms-envelope": f"group = {KEYS_GID}",
            "regid=kms-envelope": f"regid={KEYS_GID}",
            "chgrp -R kms-envelope": f"chgrp -R {KEYS_GID}",
        }.items():
            text = text.replace(old, str(new))
        return text

    def shell(self, block):
        return self.ok("sh", "-eu", "-c", self.here(block)).decode()

    def configure_as_told(self):
        for name in ("agent.cnf", "openssl.cnf"):
            (self.etc / name).write_text(self.here(configuration(f"/etc/kms-envelope/{name}")))

    def pool_of_php(self):
        made = self.application()
        # Beside the provider there is no HTTP module.
        made.aws["OPENSSL_MODULES"] = str(self.www)
        drop_in = self.here(configuration("/etc/systemd/system/php8.2-fpm.service.d/kms-envelope.conf"))
        made.conf = re.fullmatch(r"\[Service\]\nEnvironment=OPENSSL_CONF=(.*)\n", drop_in)[1]
        return made


@pytest.fixture
def host(open_folder, moto):
    made = Documented(open_folder)
    made.at(moto.url)
    made.aws["AWS_REGION"] = moto.region
    made.use(moto.credentials)
    ensure_alias(moto, "alias/customer-data")
    return made


def test_every_block_is_marked_as_tested():
    languages = re.findall(r"^```(.+)$", TEXT, flags=re.MULTILINE)
    assert {name: languages.count(name) for name in languages} == {"sh": 4, "ini": 5, "php": 1}
    assert [block for before, block in fenced("sh") if before != MARK] == []


def write_code(host):
    """The document's PHP, in a page that answers as the others do."""
    ((_, code),) = fenced("php")
    (host.www / "mail.php").write_text(
        f'<?php $email = file_get_contents("php://input");\n{code}'
        'echo json_encode(["pid" => getmypid(), "out" => base64_encode("$box $email"), "errors" => []]);\n'
    )


def test_php_fpm_behind_the_agent(host):
    create, start, _, look = (block for _, block in fenced("sh"))
    host.configure_as_told()
    host.shell(create)
    host.shell(start)
    assert (host.programs / "systemctl.told").read_text().splitlines() == TOLD
    write_code(host)
    with host.agent() as agent, DocumentedFpm(host.pool_of_php()) as web:
        old = web.each_does("encrypt", TEXTS, key=KEY)
        assert web.each_does("decrypt", old, key=KEY) == TEXTS
        box, email = web.ask("", b"anna@example.org", script="mail.php").out.split()
        assert len(box) > 60 and email == b"anna@example.org"
        assert agent.number("unwraps_total") == 1

        shown = host.shell(look)
        assert re.search(rf"^{KEY} +1 ", shown, re.MULTILINE)
        assert f"{KEY}: version 1 is revoked" in shown
        time.sleep(1)
        for error in web.each_refuses("decrypt", old, key=KEY):
            assert "the key version is revoked" in error
        new = web.each_does("encrypt", TEXTS, key=KEY)
        assert {version_of(message) for message in new} == {2}
        assert agent.number("unwraps_total") == 2


@pytest.mark.skipif(not IS_ROOT, reason="only root can be somebody else")
def test_doctor_sees_what_the_pool_would_meet(host):
    create, _, doctor, _ = (block for _, block in fenced("sh"))
    host.configure_as_told()
    host.shell(create)
    stranger = host.here(doctor.replace("www-data", pwd.getpwuid(STRANGER_UID).pw_name))
    with host.agent():
        shown = host.shell(doctor)
        assert f"{KEY}: the agent lends 1 version\n0 findings\n" in shown
        shown = host.run("sh", "-eu", "-c", stranger).stdout.decode()
        assert f"user {STRANGER_UID} may not have the key {KEY}" in shown


def test_the_pool_s_environment_is_too_late(host):
    class Late(DocumentedFpm):
        def pool(self):
            return f"{super().pool()}env[OPENSSL_CONF] = {host.etc}/openssl.cnf\n"

    host.configure_as_told()
    host.shell(fenced("sh")[0][1])
    application = host.pool_of_php()
    application.conf = "/dev/null"
    with host.agent(), Late(application) as web:
        assert web.environment()["OPENSSL_CONF"] == f"{host.etc}/openssl.cnf"
        assert web.ask("encrypt", b"anna", key=KEY).out is None
        assert "Unknown cipher algorithm" in web.said()


def test_the_reasons_are_the_provider_s():
    table = TEXT.split("| reason | what to do |")[1]
    told = re.findall(r"^\| ([A-Za-z ]+) \|", table, flags=re.MULTILINE)
    known = (ROOT / "provider" / "base" / "status.h").read_text()
    assert len(told) == 4
    for reason in told:
        assert f'"{reason}"' in known
