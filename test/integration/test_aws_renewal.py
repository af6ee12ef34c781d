# SPDX-License-Identifier: Apache-2.0
"""Credentials that end, or go: a program that stays gets them anew."""
import time

import pytest

from aws_sources import container, files, identity, instance, keys_of, site, user  # noqa: F401

HOUR_S = 3600


def never_fails(loop, site, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert loop.decrypt(site.message) == "anna"
        time.sleep(0.05)


def test_a_file_is_looked_at_again_when_kms_says_no(site, kms, accounts, files, user):
    site.configure(max_age="1s", stale_if_unreachable="0")
    old, new = user("AKIAOLD0000000000001"), user("AKIANEW0000000000001")
    files.credentials(default=keys_of(old))
    with site.loop() as loop:
        assert loop.decrypt(site.message) == "anna"
        files.credentials(default=keys_of(new))
        accounts.remove(old.access_key_id)
        never_fails(loop, site, 2)
    assert kms.counts[f"by.{new.access_key_id}"] > 0


# Each way that temporary ones are got anew.


def renews(site, accounts, issuer, kms, rotate=None):
    """No message fails over the end of a session."""
    site.configure(max_age="1s", stale_if_unreachable="0")
    with site.loop() as loop:
        assert loop.decrypt(site.message) == "anna"
        if rotate is not None:
            rotate()
        accounts.clock.advance_s += 2 * HOUR_S
        accounts.clock.skew_s -= 2 * HOUR_S
        never_fails(loop, site, 2.2)
    assert kms.counts["error.ExpiredTokenException"] == 1


def test_a_rotated_web_identity_token_is_read_again(site, accounts, issuer, kms, identity):
    def rotate():
        issuer.web_identity_token = "header.the-next-token-0123456789.signature"
        site.secrets.add(issuer.web_identity_token)
        identity.write_text(issuer.web_identity_token)

    renews(site, accounts, issuer, kms, rotate)
    assert issuer.counts["sts AssumeRoleWithWebIdentity"] == 2


def test_a_rotated_container_token_is_read_again(site, accounts, issuer, kms, container):
    def rotate():
        issuer.authorization = "Token the-next-authorization-0123456789"
        site.secrets.add(issuer.authorization)
        container.write_text(issuer.authorization)

    renews(site, accounts, issuer, kms, rotate)
    assert issuer.counts["GET /v1/credentials"] == 2


def test_a_role_is_assumed_again(site, accounts, issuer, kms, files, user):
    files.credentials(base=keys_of(user("AKIABASE000000000001")))
    files.config({"default": {"role_arn": issuer.role_arn, "source_profile": "base"}})
    renews(site, accounts, issuer, kms)
    assert issuer.counts["sts AssumeRole"] == 2


@pytest.mark.usefixtures("instance")
def test_instance_metadata_is_asked_again(site, accounts, issuer, kms):
    renews(site, accounts, issuer, kms)
    assert issuer.counts["role document"] == 2


@pytest.mark.usefixtures("container")
def test_short_sessions_are_renewed_ahead(site, issuer, kms):
    """Of four seconds: nobody ever sees one that has ended."""
    issuer.lifetime_s = 4
    site.configure(max_age="1s", stale_if_unreachable="0")
    with site.loop() as loop:
        never_fails(loop, site, 6)
    assert issuer.counts["GET /v1/credentials"] in (2, 3)
    assert kms.counts["error.ExpiredTokenException"] == 0


@pytest.mark.usefixtures("container")
def test_a_source_that_is_away_is_no_reason_to_stop_using_what_it_gave(site, issuer):
    site.configure(max_age="1s", stale_if_unreachable="0")
    with site.loop() as loop:
        assert loop.decrypt(site.message) == "anna"
        issuer.stop()
        never_fails(loop, site, 2)
        issuer.start()


@pytest.mark.usefixtures("container")
def test_a_source_that_is_away_counts_as_a_kms_that_is(site, accounts, issuer, kms):
    """Its credentials have ended, and there are no new ones: a data key may be
    stale for that."""
    site.configure(max_age="1s", stale_if_unreachable="1h", kms_timeout="500ms")
    with site.loop() as loop:
        assert loop.decrypt(site.message) == "anna"
        issuer.control({"fault": "503"})
        accounts.clock.advance_s += 2 * HOUR_S
        accounts.clock.skew_s -= 2 * HOUR_S
        never_fails(loop, site, 3)
        assert kms.counts["error.ExpiredTokenException"] > 0, "it did not ask"
    assert "the KMS is unreachable" in site.decrypt_fails(site.message)
