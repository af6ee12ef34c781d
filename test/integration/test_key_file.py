# SPDX-License-Identifier: Apache-2.0
"""A key file that somebody changed, or that is not there, is not used."""
import copy
import json
import os
import shutil

import pytest

from conftest import TOOL


@pytest.fixture
def two_versions(site):
    """A site with versions 1 and 2, and a message of each."""
    site.messages = [site.encrypt(b"1")]
    site.rotate()
    site.messages.append(site.encrypt(b"2"))
    return site


def change(site, edit):
    """The file with an edit, written as an editor would."""
    content = json.loads(site.key_file().read_text())
    edit(content)
    site.key_file().write_text(json.dumps(content))


def encrypt_fails(site):
    return site.fails("openssl", "enc", "-kms-envelope", "-K", "0", input=b"x")


def swap_blobs(content):
    first, second = (version["copies"][0] for version in content["versions"])
    first["blob"], second["blob"] = second["blob"], first["blob"]


def swap_copies(content):
    first, second = content["versions"]
    first["copies"], second["copies"] = second["copies"], first["copies"]


def drop_newest(content):
    content["versions"].pop()


def flip(text):
    return ("1" if text[0] == "0" else "0") + text[1:]


TAMPERED = {
    "a state": (lambda c: c["versions"][0].update({"state": "retired"}), "does not fit its MAC"),
    "an active-from": (
        lambda c: c["versions"][1].update({"active-from": "2020-01-01T00:00:00Z"}),
        "does not fit its MAC",
    ),
    "a time": (lambda c: c.update({"created": "2020-01-01T00:00:00Z"}), "does not fit its MAC"),
    "the policy": (lambda c: c["policy"].update({"max-messages": 7}), "does not fit its MAC"),
    "the context": (lambda c: c["context"].update({"a": "b"}), "is not that of key and version"),
    "the MAC": (lambda c: c.update({"mac": flip(c["mac"])}), "does not fit its MAC"),
    "an old commitment": (
        lambda c: c["versions"][0].update({"commitment": flip(c["versions"][0]["commitment"])}),
        "does not fit its MAC",
    ),
    "the newest commitment": (
        lambda c: c["versions"][1].update({"commitment": flip(c["versions"][1]["commitment"])}),
        "is not this version's data key",
    ),
    "the id": (lambda c: c.update({"id": flip(c["id"])}), "is not this version's data key"),
    "the newest version is gone": (drop_newest, "does not fit its MAC"),
    "swapped blobs": (swap_blobs, "version 2"),
    "swapped copies": (swap_copies, "is not that of key and version"),
    "the order": (lambda c: c["versions"].reverse(), "version"),
    "another name": (lambda c: c.update({"name": "orders"}), "name"),
    "an unknown field": (lambda c: c.update({"colour": "red"}), "colour"),
    "a missing field": (lambda c: c.pop("policy"), "policy"),
    "a wrong type": (lambda c: c.update({"versions": {}}), "versions"),
    "an unknown state": (lambda c: c["versions"][0].update({"state": "lost"}), "state"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_nothing_is_encrypted_under_a_changed_file(two_versions, what):
    site = two_versions
    edit, words = TAMPERED[what]
    before = site.key_file().read_bytes()
    change(site, edit)
    error = encrypt_fails(site)
    assert "emails" in error and words in error, error
    changed = site.key_file().read_bytes()
    assert "emails" in site.fails(TOOL, "rotate", "emails", "--keys", site.keys)
    assert site.key_file().read_bytes() == changed, "a changed file is not built upon"
    site.key_file().write_bytes(before)
    assert [site.decrypt(message) for message in site.messages] == [b"1", b"2"]


@pytest.mark.parametrize("what", ["swapped blobs", "swapped copies", "the id", "the newest commitment"])
def test_nothing_opens_with_another_data_key(two_versions, what):
    change(two_versions, TAMPERED[what][0])
    assert "emails" in two_versions.decrypt_fails(two_versions.messages[1])


def test_every_field_is_needed_and_has_its_type(two_versions):
    site = two_versions
    original = json.loads(site.key_file().read_text())
    places = [(), ("versions", 0), ("versions", 0, "copies", 0)]
    for place in places:
        for field in list(walk(original, place)):
            for damage in ("drop", "retype"):
                content = copy.deepcopy(original)
                target = walk(content, place)
                if damage == "drop":
                    del target[field]
                else:
                    target[field] = None
                site.key_file().write_text(json.dumps(content))
                error = encrypt_fails(site)
                assert field in error and str(site.key_file()) in error, (place, field, error)


def walk(content, place):
    for step in place:
        content = content[step]
    return content


def test_a_file_cut_short_is_refused(two_versions):
    site = two_versions
    whole = site.key_file().read_bytes()
    for part in range(20):
        site.key_file().write_bytes(whole[: len(whole) * part // 20])
        error = encrypt_fails(site)
        assert str(site.key_file()) in error and "restore the file from a backup" in error


@pytest.mark.parametrize("mode", [0o666, 0o660, 0o644, 0o604, 0o622])
def test_a_mode_that_is_too_open_is_refused(site, mode):
    site.key_file().chmod(mode)
    error = encrypt_fails(site)
    assert str(site.key_file()) in error and "chmod" in error
    site.key_file().chmod(0o640)
    assert site.decrypt(site.encrypt(b"anna")) == b"anna"


def test_what_is_no_file_is_refused_at_once(site):
    away = site.key_file().rename(site.folder / "away")
    os.mkfifo(site.key_file(), 0o600)
    assert str(site.key_file()) in encrypt_fails(site)
    site.key_file().unlink()
    site.key_file().mkdir()
    assert str(site.key_file()) in encrypt_fails(site)
    site.key_file().rmdir()
    away.rename(site.key_file())
    assert site.decrypt(site.encrypt(b"anna")) == b"anna"


def test_the_file_of_another_key_is_refused(site):
    site.create("orders")
    shutil.copy(site.key_file("orders"), site.key_file("emails"))
    error = encrypt_fails(site)
    assert str(site.key_file()) in error and "name" in error


def test_a_deleted_file_is_named_with_the_mend(site):
    message = site.encrypt(b"anna")
    site.key_file().unlink()
    error = site.decrypt_fails(message)
    assert str(site.key_file()) in error and "backup" in error


def test_an_older_file_put_back_opens_what_it_knows(two_versions, site):
    """SECURITY.md: a new process cannot know; a message of version 2 says so."""
    older = json.loads(site.key_file().read_text())
    site.rotate()
    message = site.encrypt(b"3")
    site.key_file().write_text(json.dumps(older))
    assert site.decrypt(two_versions.messages[1]) == b"2"
    error = site.decrypt_fails(message)
    assert "version 3" in error and "emails" in error
