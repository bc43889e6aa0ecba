"""Keyed hashes in place of paths and UIDs."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

from tier_cli.results.privacy import Hasher
from tier_cli.results.record import Result


def test_hash_is_hmac_with_the_key_of_the_environment(scored: Result, failed: Result) -> None:
    hasher = Hasher.from_environment({"TIER_HASH_KEY": "key"})
    hashed = hasher.apply(scored)
    assert hashed.study == hmac.new(b"key", b"1.2", hashlib.sha256).hexdigest()[:32]
    assert hashed.paths == (hmac.new(b"key", b"in/a,b.dcm", hashlib.sha256).hexdigest()[:32],)
    assert hashed.notes == scored.notes
    assert hashed.findings == scored.findings
    assert hasher.apply(failed).study == ""
    for secret in (*scored.paths, scored.study, scored.series, scored.instance):
        assert secret not in (hashed.study, hashed.series, hashed.instance, *hashed.paths)


def test_without_a_key_every_run_has_its_own_and_says_so(scored: Result) -> None:
    one, two = Hasher.from_environment({}), Hasher.from_environment({"TIER_HASH_KEY": ""})
    assert one.apply(scored).study != two.apply(scored).study
    assert one.apply(scored).study == one.apply(scored).study
    assert "TIER_HASH_KEY" in one.apply(scored).notes[-1]


def test_key_is_not_shown() -> None:
    assert "secret" not in repr(Hasher(b"secret"))


def test_odd_file_names_are_hashed_as_their_bytes(scored: Result) -> None:
    name = b"\xff".decode("utf-8", "surrogateescape")
    hashed = Hasher(b"key").apply(replace(scored, paths=(name,)))
    assert hashed.paths == (hmac.new(b"key", b"\xff", hashlib.sha256).hexdigest()[:32],)
