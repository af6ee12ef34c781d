# SPDX-License-Identifier: Apache-2.0
"""Several wrapped copies of each version: one is enough, and none is lost."""
import json
import random
import signal
import subprocess
import time

import pytest

from conftest import TOOL

LETTERS = "abc"


def uri(site, letter):
    return f"local:{site.folder}/{letter}.key"


def uris(site, letters):
    return [uri(site, letter) for letter in letters]


def options(site, name, letters):
    return [word for each in uris(site, letters) for word in (f"--{name}", each)]


def rewrap(site, name=None, letters=""):
    return site.tool("rewrap", "emails", "--keys", site.keys, *options(site, name, letters))


def rewrap_fails(site, name=None, letters=""):
    before = site.key_file().read_bytes()
    error = site.fails(TOOL, "rewrap", "emails", "--keys", site.keys, *options(site, name, letters))
    assert site.key_file().read_bytes() == before
    return error


def copies(site):
    """Of each version, the letters of its master keys, as status has them."""
    status = json.loads(site.tool("status", "emails", "--keys", site.keys, "--json"))
    versions = status["keys"][0]["versions"]
    for version in versions:
        assert version["master-keys"] == [copy["master-key"] for copy in version["copies"]]
    return ["".join(copy["master-key"][-5] for copy in version["copies"]) for version in versions]


def opens(site):
    return [site.decrypt(message) for message in site.messages] == [b"1", b"2"]


class Away:
    """A master key that is somewhere else for a while."""

    def __init__(self, site, letter):
        self.path = site.folder / f"{letter}.key"

    def __enter__(self):
        self.away = self.path.rename(self.path.with_suffix(".away"))

    def __exit__(self, *_):
        self.away.rename(self.path)


@pytest.fixture
def rows(empty_site):
    """Two versions under master keys a and b, and a message of each."""
    site = empty_site
    site.tool("create", "emails", "--keys", site.keys, *options(site, "master-key", "ab"))
    site.messages = [site.encrypt(b"1")]
    site.rotate()
    site.messages.append(site.encrypt(b"2"))
    return site


def test_to_another_master_key_and_back_with_a_third(rows):
    assert "2 made, 4 dropped" in rewrap(rows, "to", "c")
    assert copies(rows) == ["c", "c"]
    for letter in "ab":
        (rows.folder / f"{letter}.key").unlink()
    assert opens(rows)
    assert "4 made, 0 dropped" in rewrap(rows, "to", "bc")
    assert copies(rows) == ["bc", "bc"], "in the order in which they were named"


def test_one_more_and_one_less(rows):
    assert "2 made, 0 dropped" in rewrap(rows, "add", "c")
    assert copies(rows) == ["abc", "abc"]
    with Away(rows, "a"), Away(rows, "b"):
        assert opens(rows)
    assert "0 made, 4 dropped" in rewrap(rows, "drop", "ab")
    assert copies(rows) == ["c", "c"]
    assert opens(rows)


def test_the_file_of_a_copy_for_a_safe_need_not_stay(rows):
    """A break-glass copy: made, and its master key taken away."""
    rewrap(rows, "add", "c")
    safe = (rows.folder / "c.key").rename(rows.folder / "safe")
    assert opens(rows)
    error = rewrap_fails(rows)
    assert uri(rows, "c") in error, "renewing it needs it back"
    error = rows.fails(TOOL, "rotate", "emails", "--keys", rows.keys)
    assert uri(rows, "c") in error, "a version without the copy would be a hole"
    (rows.folder / "a.key").unlink()
    (rows.folder / "b.key").unlink()
    assert uri(rows, "c") in rows.decrypt_fails(rows.messages[0])
    safe.rename(rows.folder / "c.key")
    assert opens(rows)
    assert "0 made, 4 dropped" in rewrap(rows, "drop", "ab")
    rows.rotate()
    assert copies(rows) == ["c", "c", "c"]


def test_what_is_gone_is_dropped_and_what_is_not_the_last(rows):
    (rows.folder / "a.key").unlink()
    assert "0 made, 2 dropped" in rewrap(rows, "drop", "a")
    error = rewrap_fails(rows, "drop", "b")
    assert "version 1" in error and "never dropped" in error
    assert opens(rows)


def test_nothing_is_dropped_while_the_rest_does_not_open(rows):
    with Away(rows, "b"):
        error = rewrap_fails(rows, "drop", "a")
        assert "nothing is dropped" in error and uri(rows, "b") in error
    rewrap(rows, "drop", "a")
    assert opens(rows)


def test_a_failure_tells_of_each_copy(rows):
    (rows.folder / "a.key").unlink()
    loop = rows.folder / "b.key"
    loop.unlink()
    loop.symlink_to(loop)
    error = rows.decrypt_fails(rows.messages[0])
    assert "key emails, version 1: 1) the master key is not found" in error
    assert "2) the KMS is unreachable" in error
    assert uri(rows, "a") in error and uri(rows, "b") in error


def test_a_master_key_is_named_once(rows):
    error = rows.fails(
        TOOL, "rewrap", "emails", "--keys", rows.keys, "--to", uri(rows, "a"), "--to", "local:a.key"
    )
    assert "named twice" in error
    error = rows.fails(
        TOOL, "create", "other", "--keys", rows.keys, *options(rows, "master-key", "aa")
    )
    assert "named twice" in error and not rows.key_file("other").exists()


def test_one_kind_of_change_at_a_time(rows):
    words = ["rewrap", "emails", "--keys", rows.keys, "--to", uri(rows, "a"), "--drop", uri(rows, "b")]
    assert "only one of them" in rows.fails(TOOL, *words, code=2)


def test_what_there_is_no_copy_under_is_said(rows):
    error = rewrap_fails(rows, "drop", "c")
    assert f"has no copy under {uri(rows, 'c')}" in error and "kms-envelope status emails" in error
    assert not (rows.folder / "c.key").exists(), "no master key is made to be dropped"
    error = rows.fails(TOOL, "rewrap", "emails", "--keys", rows.keys, "--drop", "aws-kms:")
    assert "as kms-envelope status emails prints it" in error


def test_a_key_that_one_master_key_does_not_take_is_not_made(empty_site):
    site = empty_site
    loop = site.folder / "b.key"
    loop.symlink_to(loop)
    error = site.fails(TOOL, "create", "emails", "--keys", site.keys, *options(site, "master-key", "ab"))
    assert uri(site, "b") in error
    assert not site.key_file().exists()


def test_status_has_a_line_for_each_copy(rows):
    rewrap(rows, "add", "c")
    lines = rows.tool("status", "--keys", rows.keys).splitlines()
    assert [line.split()[-1] for line in lines[1:-1]] == uris(rows, "abc") * 2
    starts = {line.index("local:") for line in lines[1:-1]}
    assert starts == {lines[0].index("MASTER KEYS")}


# Killed at any moment.


def kill_at(site, seconds, command):
    process = subprocess.Popen(
        [str(word) for word in command], env=site.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    return process.wait()


def test_rewrap_killed_at_any_moment_loses_nothing(rows):
    """Each time to other master keys, and those that were not named go."""
    site, chance, killed, moved = rows, random.Random(4), 0, 0
    for letters in ("abc", "ab"):  # all are made, and the time it takes
        start = time.monotonic()
        rewrap(site, "to", letters)
        whole = time.monotonic() - start
    before = "ab"
    for _ in range(150):
        after = "".join(chance.sample(LETTERS, chance.choice((1, 2, 3))))
        command = [TOOL, "rewrap", "emails", "--keys", site.keys, *options(site, "to", after)]
        killed += kill_at(site, chance.uniform(0, 1.2 * whole), command) == -signal.SIGKILL
        found = copies(site)
        assert found in ([before] * 2, [after] * 2), "neither the old file nor the new one"
        moved += found == [after] * 2
        before = found[0]
        # What the file has no copy under any more is not needed for it.
        for letter in set(LETTERS) - set(before):
            (site.folder / f"{letter}.key").rename(site.folder / f"{letter}.away")
        assert opens(site)
        for path in site.folder.glob("*.away"):
            path.rename(path.with_suffix(".key"))
    assert killed > 30, "most runs ended before they were killed"
    assert moved > 10, "hardly a run came to its end"
    rewrap(site)
    assert sorted(path.name for path in site.keys.iterdir()) == [".emails.lock", "emails.json"]
