# SPDX-License-Identifier: Apache-2.0
"""A key says when it is to be rotated; a timer does it, and its owner is warned."""
import json
import re
import subprocess

import pytest

from conftest import TOOL, version_of
from evp_programs import decrypt, encrypt, encrypt_fails

USAGE = 2
DAY_S = 86400

# The clock of the tool alone, some time later: no test waits.
LATER = """\
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
time_t time(time_t *out)
{
    time_t (*real)(time_t *) = (time_t(*)(time_t *))dlsym(RTLD_NEXT, "time");
    time_t now = real(NULL) + atol(getenv("LATER_S"));
    if (out != NULL)
        *out = now;
    return now;
}
"""


@pytest.fixture(scope="session")
def later_library(tmp_path_factory, program):
    folder = tmp_path_factory.mktemp("later")
    (folder / "later.c").write_text(LATER)
    subprocess.run(
        [program("gcc"), "-shared", "-fPIC", "-o", folder / "later.so", folder / "later.c", "-ldl"], check=True
    )
    return folder / "later.so"


@pytest.fixture
def later(site, later_library):
    """The environment of a program that runs so many days from now."""

    def at(days):
        sanitizer = site.environment.get("ASAN_OPTIONS", "")
        return {
            **site.environment,
            "LD_PRELOAD": str(later_library),
            "LATER_S": str(int(days * DAY_S)),
            # A sanitizer wants to be the first, and there is no need for it.
            "ASAN_OPTIONS": f"{sanitizer}:verify_asan_link_order=0",
        }

    return at


def set_policy(site, *words, name="emails"):
    return site.tool("policy", name, "--keys", site.keys, *words)


def file_policy(site, name="emails"):
    return json.loads(site.key_file(name).read_text())["policy"]


def count_versions(site, name="emails"):
    return len(json.loads(site.key_file(name).read_text())["versions"])


def rotate_all(site, days, later, code=0):
    done = site.run(TOOL, "rotate", "--all", "--if-due", "--keys", site.keys, env=later(days))
    assert done.returncode == code, done.stderr.decode()
    return done.stdout.decode(), done.stderr.decode()


# The policy.


def test_create_takes_it(site):
    site.create("orders", "--rotate-after", "90d", "--max-messages", "5")
    assert file_policy(site, "orders") == {"max-messages": 5, "rotate-after": 90 * DAY_S}
    assert decrypt(site, encrypt(site, name="orders"), "orders") == "anna"
    site.create("letters", "--rotate-after", "never")
    assert file_policy(site, "letters") == {}


def test_it_is_changed_and_the_rest_stays(site):
    message = encrypt(site)
    ends = ", destroy-after 30d, census-fence 1m\n"
    assert set_policy(site) == f"emails: rotate-after never, max-messages none, max-bytes none{ends}"
    assert (
        set_policy(site, "--rotate-after", "36h", "--max-bytes", "1000")
        == f"emails: rotate-after 36h, max-messages none, max-bytes 1000{ends}"
    )
    assert file_policy(site) == {"max-bytes": 1000, "rotate-after": 36 * 3600}
    assert decrypt(site, encrypt(site)) == "anna", "the MAC is right"
    set_policy(site, "--max-messages", "7")
    set_policy(site, "--max-bytes", "none")
    assert set_policy(site) == f"emails: rotate-after 36h, max-messages 7, max-bytes none{ends}"
    set_policy(site, "--rotate-after", "never", "--max-messages", "none")
    assert file_policy(site) == {}
    assert decrypt(site, message) == "anna"


@pytest.mark.parametrize(
    "words",
    [
        ["--rotate-after", "0"], ["--rotate-after", "soon"], ["--rotate-after", "3661d"], ["--rotate-after", "-1d"],
        ["--rotate-after", ""], ["--max-messages", "0"], ["--max-bytes", "x"], ["--max-bytes", ""],
    ],
)  # fmt: skip
def test_a_bad_value_changes_nothing(site, words):
    before = site.key_file().read_bytes()
    assert words[0] in site.fails(TOOL, "policy", "emails", "--keys", site.keys, *words, code=USAGE)
    assert site.key_file().read_bytes() == before


def test_the_limit_of_a_running_key_holds_at_once(site):
    set_policy(site, "--max-bytes", "3")
    assert "reached its limit" in encrypt_fails(site)


def test_a_policy_made_laxer_by_hand_is_found(site):
    set_policy(site, "--rotate-after", "90d")
    text = site.key_file().read_text()
    site.key_file().write_text(text.replace(str(90 * DAY_S), str(900 * DAY_S)))
    assert "does not fit its MAC" in encrypt_fails(site)
    assert "does not fit its MAC" in site.fails(TOOL, "policy", "emails", "--keys", site.keys, "--max-bytes", "3")


# rotate --if-due.


def test_what_is_not_due_is_left(site, later):
    set_policy(site, "--rotate-after", "90d")
    before = site.key_file().read_bytes()
    site.master_key.unlink()  # no KMS is asked
    said = site.ok(TOOL, "rotate", "emails", "--if-due", "--keys", site.keys, env=later(80)).decode()
    assert re.fullmatch(r"emails: not due until 20\d\d-.*Z, in (9|10)d\n", said), said
    assert site.key_file().read_bytes() == before


def test_a_key_without_a_policy_is_never_due(site, later):
    said = site.ok(TOOL, "rotate", "emails", "--if-due", "--keys", site.keys, env=later(3000)).decode()
    assert said == "emails: not due: its policy has no rotate-after\n"
    out, error = rotate_all(site, 3000, later)
    assert out == "" and f"no key of {site.keys} has a rotate-after" in error
    assert count_versions(site) == 1


def test_what_is_due_is_rotated_once(site, later):
    old = encrypt(site)
    set_policy(site, "--rotate-after", "90d")
    words = (TOOL, "rotate", "emails", "--if-due", "--keys", site.keys)
    assert site.ok(*words, env=later(90)) == b"emails: version 2 encrypts from now on\n"
    assert b"not due until" in site.ok(*words, env=later(91))
    assert count_versions(site) == 2
    assert decrypt(site, old) == "anna"


def test_a_fleet_gets_it_ahead(site, later):
    set_policy(site, "--rotate-after", "90d")
    words = (TOOL, "rotate", "--all", "--if-due", "--active-in", "1h", "--keys", site.keys)
    assert re.fullmatch(rb"emails: version 2 encrypts from 20.*Z on\n", site.ok(*words, env=later(91)))
    # The timer comes again before the hour is over.
    assert b"not due until" in site.ok(*words, env=later(91.01))
    assert count_versions(site) == 2


def test_all_of_a_folder_and_a_broken_one_keeps_none_from_its_turn(site, later):
    site.create("broken", "--rotate-after", "30d")
    site.create("letters", "--rotate-after", "300d")
    site.create("orders", "--rotate-after", "30d")
    content = json.loads(site.key_file("broken").read_text())
    content["policy"]["rotate-after"] += 1
    site.key_file("broken").write_text(json.dumps(content))
    out, error = rotate_all(site, 40, later, code=1)
    assert "key broken: its file does not fit its MAC" in error
    lines = out.splitlines()
    assert lines[0].startswith("letters: not due until ")
    assert lines[1:] == ["orders: version 2 encrypts from now on"]
    assert count_versions(site, "orders") == 2
    assert count_versions(site, "broken") == count_versions(site) == 1


def test_of_many_timers_one_makes_the_version(site, later, monkeypatch):
    site.create("orders", "--rotate-after", "30d")
    set_policy(site, "--rotate-after", "30d")
    for name, value in later(31).items():
        monkeypatch.setenv(name, value)
    started = [site.start(TOOL, "rotate", "--all", "--if-due", "--keys", site.keys) for _ in range(8)]
    said = b""
    for process in started:
        out, error = process.communicate(timeout=60)
        assert process.returncode == 0, error
        said += out
    for name in ("emails", "orders"):
        assert said.count(b"%s: version 2 encrypts" % name.encode()) == 1
        assert said.count(b"%s: not due until" % name.encode()) == 7
        assert count_versions(site, name) == 2


def test_a_revocation_is_a_rotation(site, later):
    set_policy(site, "--rotate-after", "30d")
    words = ("revoke", "emails", "--keys", site.keys, "--version", "1", "--rotate", "--yes")
    site.ok(TOOL, *words, env=later(29))
    out, _ = rotate_all(site, 31, later)
    assert "not due until" in out
    assert count_versions(site) == 2
    assert version_of(encrypt(site, env=later(29))) == 2


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--if-due"], "NAME is missing"),
        (["--all"], "--all goes with --if-due"),
        (["emails", "--all", "--if-due"], "only one of them"),
    ],
)
def test_what_does_not_go_together(site, words, complaint):
    assert complaint in site.fails(TOOL, "rotate", *words, "--keys", site.keys, code=USAGE)


# Warnings.


def status(site, env, *more):
    done = site.run(TOOL, "status", *more, env=env)
    assert done.returncode == 0
    return done.stdout.decode(), done.stderr.decode()


def doctor(site, env, code=0):
    done = site.run(TOOL, "doctor", env=env)
    assert done.returncode == code, done.stdout
    return done.stdout.decode()


@pytest.mark.parametrize(
    ("days", "shown", "warned"),
    [
        (10, "due in 8\\d?d", None),
        (71, "due in (18|19)d", None),
        (72.5, "due in 17d", "its rotation is due in 17d"),
        (93.5, "overdue", "its rotation is 3d overdue"),
    ],
)
def test_status_shows_when(site, later, days, shown, warned):
    set_policy(site, "--rotate-after", "90d")
    site.create("letters")
    table, hint = status(site, later(days))
    lines = {line.split()[0]: line for line in table.splitlines()}
    assert re.search(rf"  {shown}  ", lines["emails"]), table
    assert re.search(r"  -  ", lines["letters"]), table
    if warned is None:
        assert hint == ""
    else:
        assert hint == f"kms-envelope: emails: {warned}: kms-envelope rotate emails --keys {site.keys}\n"


def test_only_the_newest_version_s_line_has_it(site, later):
    set_policy(site, "--rotate-after", "90d")
    site.rotate()
    table, _ = status(site, later(1))
    assert [("due in" in line, " - " in line) for line in table.splitlines()[1:3]] == [(False, True), (True, False)]


def test_status_as_json(site, later):
    site.create("letters")
    set_policy(site, "--rotate-after", "90d")
    out, hint = status(site, later(91), "--json")
    emails, letters = json.loads(out)["keys"]
    assert emails["rotate-after-seconds"] == 90 * DAY_S
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", emails["rotation-due"])
    assert -DAY_S - 60 < emails["rotation-due-in-seconds"] <= -DAY_S + 1
    assert "overdue" in hint
    assert letters["rotate-after-seconds"] == 0
    assert letters["rotation-due"] is letters["rotation-due-in-seconds"] is None


def test_the_doctor_warns(site, later):
    set_policy(site, "--rotate-after", "90d")
    assert "rotation" not in doctor(site, later(71))
    assert "note     emails: its rotation is due in 17d" in doctor(site, later(72.5))
    out = doctor(site, later(93.5), code=1)
    assert "FINDING  emails: its rotation is 3d overdue" in out
    assert f"kms-envelope rotate emails --keys '{site.keys}'" in out and "1 finding\n" in out
