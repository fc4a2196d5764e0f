"""Listings by many requests at a time, against a real S3 server that is asked for a few keys an answer."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

import boto3
import pytest

from kie_ray.errors import Category
from kie_ray.storage import list_files, s3, s3_listing
from kie_ray.storage.s3_client import S3Error
from tests.faults.s3_proxy import Fault, Proxy, proxied_s3_server

KEYS = {
    "flat": [f"flat/page_{number:03d}.png" for number in range(40)],
    "years": [f"years/{year}/{month:02d}/{n}.pdf" for year in (2023, 2024) for month in range(1, 13) for n in range(3)],
    "folder-a-document": [f"folder-a-document/{number:03d}/scan.png" for number in range(60)],
    "mixed": [
        *("mixed/!first.png", "mixed/a b/ü+1.png", "mixed/a b/50%.png", "mixed/b.png", "mixed/b/x.png", "mixed/b/"),
        *(f"mixed/c/{letter}/{number}.png" for letter in "äbz#" for number in range(5)),
        *("mixed/zz.png", "mixed/~last.png"),
    ],
    "one": ["one/only.png"],
}


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with proxied_s3_server() as proxy:
        client = boto3.client("s3")
        client.create_bucket(Bucket="forms")
        for keys in KEYS.values():
            for key in keys:
                client.put_object(Bucket="forms", Key=key, Body=b"x" * len(key))
        yield proxy


@pytest.fixture(autouse=True)
def few_keys_an_answer(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(s3, "_PAGE_KEYS", 7)
    yield
    proxy.calm()
    proxy.requests.clear()


def in_any_order(prefix: str) -> list[s3.S3Object]:
    return sorted(s3_listing.list_in_any_order("forms", prefix), key=lambda item: item.key)


@pytest.mark.parametrize("prefix", ["", "f", "mixed/c", *(f"{name}/" for name in KEYS), "nothing/"])
def test_every_object_is_listed_once(prefix: str) -> None:
    expected = list(s3.list_objects("forms", prefix))
    assert in_any_order(prefix) == expected
    named = sorted(key for keys in KEYS.values() for key in keys if key.startswith(prefix) and not key.endswith("/"))
    assert [item.key for item in expected] == named


@pytest.mark.parametrize("seed", range(4))
def test_any_cuts_give_every_object_once(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)
    keys = [key for keys in KEYS.values() for key in keys]
    points = sorted({key[: chance.randrange(1, len(key))] for key in chance.sample(keys, 9)})
    monkeypatch.setattr(s3_listing, "cuts", lambda bucket, prefix: points)
    assert in_any_order("") == list(s3.list_objects("forms", ""))


def test_a_folder_for_every_document_does_not_cost_a_request_each(proxy: Proxy) -> None:
    in_any_order("folder-a-document/")
    sequential = -(-len(KEYS["folder-a-document"]) // 7)
    assert len(proxy.requests) <= sequential + 1 + 1 + 7  # the first answer, then two levels of folders


def test_ranges_are_listed_side_by_side(proxy: Proxy) -> None:
    proxy.faults = [Fault("slow", lambda method, path: "list-type" in path, seconds=0.2)]
    started = time.monotonic()
    expected = list(s3.list_objects("forms", "years/"))
    sequential = time.monotonic() - started
    started = time.monotonic()
    assert in_any_order("years/") == expected
    assert time.monotonic() - started < 0.8 * sequential


def test_a_refused_range_ends_the_listing_and_its_threads(proxy: Proxy) -> None:
    proxy.faults = [Fault("403", lambda method, path: "start-after" in path, skip=2)]
    with pytest.raises(S3Error, match="AccessDenied") as caught:
        in_any_order("years/")
    assert caught.value.category == Category.FORBIDDEN
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("s3 listing")]


def test_an_abandoned_listing_ends_its_threads() -> None:
    listing = s3_listing.list_in_any_order("forms", "")
    for _ in range(9):  # beyond the first answer
        next(listing)
    listing.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("s3 listing")]


@pytest.mark.parametrize("name", ["s3://forms/years/", "s3://forms/years", "s3://forms/years/*/0[1-6]/*.pdf"])
def test_inputs_mean_the_same_in_any_order(name: str) -> None:
    found = list(list_files([name], any_order=True))
    assert sorted(found, key=lambda file: file.uri) == list(list_files([name]))
    assert found
