"""Mutation fuzzing of the decoder: `test_codec` runs it as a process whose kernels check every index."""

from __future__ import annotations

import os
import sys

import numpy as np

from setpoint.telemetry.codec import CorruptChunk, decode_chunks, encode_chunks

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 15_000


def samples(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    times = np.cumsum(rng.choice([[15_000], [14_999, 15_000, 15_001], [1, 2**40]][rng.integers(3)], count))
    make = rng.integers(5)
    if make == 0:
        values = np.cumsum(rng.poisson(3, count)) / 4
    elif make == 1:
        values = rng.integers(0, 2**63, count).view(np.float64)
    elif make == 2:
        values = np.full(count, 1.5)
    elif make == 3:
        values = np.round(rng.normal(0, 100, count), 1)
    else:
        values = np.cumsum(rng.random(count) < 0.1).astype(np.float64)
        values[rng.integers(count)] = np.nan
    return times.astype(np.int64), values.astype(np.float64)


def main() -> None:
    rng = np.random.default_rng(int.from_bytes(os.urandom(4), "little"))
    refused = 0
    for _ in range(ROUNDS):
        count = int(rng.integers(1, 90))
        times, values = samples(rng, count)
        payload, bounds = encode_chunks(times, values, np.array([0, count // 2, count], np.int64))
        counts = np.diff([0, count // 2, count])
        spoiled = payload.copy()
        kind = rng.integers(5)
        if kind <= 2:
            for _ in range(rng.integers(1, 5)):
                spoiled[rng.integers(len(spoiled))] ^= 1 << rng.integers(8)
        elif kind == 3:
            spoiled = spoiled[: rng.integers(len(spoiled) + 1)]
        bounds = bounds + rng.integers(-3, 4, 3) * (rng.random(3) < 0.2)
        if rng.random() < 0.2:
            counts = counts + rng.integers(-2, 3, 2)
        try:
            decode_chunks(spoiled, bounds, counts)
        except CorruptChunk:
            refused += 1
    if not 0 < refused < ROUNDS:
        sys.exit(f"{refused} of {ROUNDS} were refused: the damage is too weak or too strong to show anything")
    print(f"{refused} of {ROUNDS} refused")


if __name__ == "__main__":
    main()
