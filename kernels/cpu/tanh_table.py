#!/usr/bin/env python3
"""Writes kernels/cpu/tanh_table.h: tanh on [0, 7.875) as 32 polynomials of degree 4.

Segment j is |x| in [j/4 - 1/8, j/4 + 1/8] in the local variable t = |x| - j/4; each is the minimax polynomial by Remez'
exchange. Segment 0 is fitted for relative error with c0 = 0 and c1 = 1, so that tanh(x) -> x. Segment 31 is the line
through tanh(7.625) and 1 at 7.875, where the argument is cut: tanh saturates to exactly 1.
Usage: python3 tanh_table.py > tanh_table.h
"""
import math
import struct


def solve(a, b):
    n = len(b)
    a = [row[:] + [v] for row, v in zip(a, b)]
    for i in range(n):
        p = max(range(i, n), key=lambda k: abs(a[k][i]))
        a[i], a[p] = a[p], a[i]
        for k in range(i + 1, n):
            f = a[k][i] / a[i][i]
            for j in range(i, n + 1):
                a[k][j] -= f * a[i][j]
    x = [0.0] * n
    for i in range(n - 1, -1, -1):
        x[i] = (a[i][n] - sum(a[i][j] * x[j] for j in range(i + 1, n))) / a[i][i]
    return x


def remez(f, powers, lo, hi, weight, grid=2000):
    """minimises max |weight (f - sum c t^p)|; returns the coefficients"""
    n = len(powers)
    g = [lo + (hi - lo) * (0.5 - 0.5 * math.cos(math.pi * (i + 0.5) / grid)) for i in range(grid)]
    want = [f(t) for t in g]
    w = [weight(t) for t in g]
    basis = [[t**p for p in powers] for t in g]
    at = [int((grid - 1) * (0.5 - 0.5 * math.cos(math.pi * i / n))) for i in range(n + 1)]
    best = (math.inf, None)
    for _ in range(20):
        c = solve([basis[i] + [(-1) ** k / w[i]] for k, i in enumerate(at)], [want[i] for i in at])[:n]
        e = [w[i] * (want[i] - sum(x * y for x, y in zip(c, basis[i]))) for i in range(grid)]
        worst = max(map(abs, e))
        best = min(best, (worst, c))
        peaks, peak = [], 0
        for i in range(1, grid):
            if e[i] * e[peak] < 0:
                peaks.append(peak)
                peak = i
            elif abs(e[i]) > abs(e[peak]):
                peak = i
        peaks.append(peak)
        while len(peaks) > n + 1:
            peaks.pop(0 if abs(e[peaks[0]]) < abs(e[peaks[-1]]) else -1)
        if len(peaks) < n + 1:
            break
        at = peaks
    return best[1]


def segment(j):
    if j == 0:
        c = remez(lambda t: math.tanh(t) - t, [2, 3, 4], 1e-4, 0.125, lambda t: 1 / t)
        return [0.0, 1.0] + c
    if j == 31:
        return [1 - 2.0**-22, 2.0**-19, 0.0, 0.0, 0.0]
    return remez(lambda t: math.tanh(j / 4 + t), list(range(5)), -0.125, 0.125, lambda t: 1.0)


def f32(x):
    return struct.unpack("f", struct.pack("f", x))[0]


table = [segment(j) for j in range(32)]
print("// Written by kernels/cpu/tanh_table.py. Row p holds the coefficients of t^p of the 32 segments.")
print("static const float tanh_table[5][32] __attribute__((aligned(64))) = {")
for p in range(5):
    row = ["%.9gf" % f32(c[p]) if f32(c[p]) % 1 else "%.1ff" % f32(c[p]) for c in table]
    print("    {" + ",\n     ".join(", ".join(row[i : i + 8]) for i in range(0, 32, 8)) + "},")
print("};")
