"""Listing a prefix one request after another against ranges side by side, on a server that is slow to answer.

    python benchmarks/listing.py [--seconds 0.5] [--folders 20] [--names 300]

A real S3 server process behind a proxy that holds every listing back for `--seconds`; 100 names an answer, so that few
objects make many answers. Both listings are compared first. The last line is the ratio of the times.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from kie_ray.storage import s3  # noqa: E402
from kie_ray.storage.s3_listing import list_in_any_order  # noqa: E402
from tests.faults.s3_proxy import Fault, running_proxy  # noqa: E402
from tests.kie_ray.s3_server import environment, running_s3_server  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--folders", type=int, default=20)
    parser.add_argument("--names", type=int, default=300, help="in each folder")
    options = parser.parse_args()
    s3._PAGE_KEYS = 100
    keys = [f"in/{folder:03d}/{name:05d}.png" for folder in range(options.folders) for name in range(options.names)]
    with running_s3_server() as upstream, running_proxy(upstream) as proxy:
        os.environ.update(environment(upstream))
        client = boto3.client("s3")
        client.create_bucket(Bucket="forms")
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda key: client.put_object(Bucket="forms", Key=key, Body=b"x"), keys))
        os.environ.update(environment(proxy.endpoint))
        proxy.faults = [Fault("slow", lambda method, path: "list-type" in path, seconds=options.seconds)]
        started = time.perf_counter()
        in_order = list(s3.list_objects("forms", "in/"))
        between = time.perf_counter()
        side_by_side = list(list_in_any_order("forms", "in/"))
        ended = time.perf_counter()
    if sorted(side_by_side, key=lambda item: item.key) != in_order or len(in_order) != len(keys):
        raise SystemExit("the two listings differ")
    first, second = between - started, ended - between
    print(f"{len(keys)} names: one request after another {first:.1f} s, ranges side by side {second:.1f} s")
    print(f"ratio: {first / second:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
