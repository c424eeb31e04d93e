"""What the peers' programs share: guarded imports, the clock, and the JSON line.

Each program prints one JSON object per figure on stdout, and nothing else there:

    row       stable name of the row, for whoever compares
    peer      whose figure it is
    what      the work in words
    figure    median of the samples; null when the goal of a run was not reached
    unit      steps/s, s, rows/s, GFLOP/s
    samples   the single measurements, in order
    versions  of the packages that did the work, and of Python
    settings  everything that a repetition needs
"""

import contextlib
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time

SKIPPED = 77  # the exit status that means "could not be tried here", as for test programs


def skip(reason):
    """Leave with one line on stderr; under mpirun only rank 0 speaks."""
    if os.environ.get("OMPI_COMM_WORLD_RANK", "0") == "0":
        print(f"{os.path.basename(sys.argv[0])} skipped: {reason}", file=sys.stderr)
    else:
        time.sleep(5)  # mpirun ends all ranks at the first one's exit: let rank 0 speak before
    sys.exit(SKIPPED)


@contextlib.contextmanager
def imports():
    """Turn a failed import into one line and exit status 77."""
    try:
        yield
    except (ImportError, OSError, RuntimeError) as error:  # mpi4py without libmpi: RuntimeError
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        skip(f"{reason} (bench/peers/setup.sh installs what the peers need)")


def process_age_s():
    """Seconds since the kernel started this process: the interpreter's start is in it."""
    with open("/proc/self/stat") as stat:
        after_name = stat.read().rpartition(")")[2].split()
    started_s = int(after_name[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started_s


def rates(work, seconds, samples=5, agree=lambda full: full):
    """Call work(), which returns how much it did, for about `seconds`; give `samples` rates per second.

    `agree` lets ranks settle together whether a sample is full.
    """
    measured = []
    for _ in range(samples):
        done, start, full = 0, time.perf_counter(), False
        while not full:
            done += work()
            elapsed_s = time.perf_counter() - start
            full = agree(elapsed_s >= seconds / samples)
        measured.append(done / elapsed_s)
    return measured


def report(row, peer, what, unit, samples, packages, settings):
    """Print the JSON line."""
    versions = {name: importlib.metadata.version(name) for name in packages}
    line = {
        "row": row,
        "peer": peer,
        "what": what,
        "figure": _digits(statistics.median(samples)) if samples else None,
        "unit": unit,
        "samples": [_digits(sample) for sample in samples],
        "versions": versions | {"python": platform.python_version()},
        "settings": settings,
    }
    print(json.dumps(line), flush=True)


def _digits(value):
    """Five significant digits: more would be noise."""
    return float(f"{value:.5g}")
