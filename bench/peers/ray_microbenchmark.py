#!/usr/bin/env python3
"""Ray's own microbenchmark (`ray microbenchmark`) on this machine, for bench/runtime/microbenchmark.c to be held against.

The work of every row is Ray's, as its package has it (ray._private.ray_perf); only the clock is ours: a second of warm-up and
five samples, without the pause of ten seconds before each row. Rows of Ray's remote client are left out: manta has none.
"""

import argparse
import contextlib
import os
import re
import sys
import time

import peer

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--seconds", type=float, default=5.0, help="of measurement for each row (default: 5)")
parser.add_argument("--only", default="", help="rows whose name holds this text")
options = parser.parse_args()

# nothing is told to anybody outside, and no page is served
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # as it was before 2.60, and no token in the home folder
with peer.imports():
    import ray
    from ray._private import ray_perf

SAMPLES = 5
stdout = sys.stdout


def timeit(name, fn, multiplier=1, **_):
    """Stands in for Ray's function of this name: prints the row."""
    if options.only not in name:
        return [None]

    def work():
        fn()
        return multiplier

    start, warm = time.perf_counter(), 0
    while time.perf_counter() - start < min(1.0, options.seconds / 2):
        fn()
        warm += 1
    # a call of some rows takes half a minute on a small machine: fewer samples then
    call_s = (time.perf_counter() - start) / warm
    count = max(1, min(SAMPLES, int(4 * options.seconds / call_s)))
    samples = peer.rates(work, options.seconds * count / SAMPLES, count)
    row = "ray-" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    settings = {"cores": os.cpu_count(), "seconds": options.seconds}
    with contextlib.redirect_stdout(stdout):
        peer.report(row, f"Ray {ray.__version__}", name, "GB/s" if "gigabytes" in name else "1/s", samples, ["ray"], settings)
    return [None]


ray_perf.timeit = timeit
ray_perf.client_microbenchmark_main = lambda results: None
try:
    with contextlib.redirect_stdout(sys.stderr):
        ray_perf.main()
except (OSError, RuntimeError, ray.exceptions.RayError) as error:
    # what was measured until then has been printed
    peer.skip((str(error).strip() or type(error).__name__).splitlines()[0])
