#!/usr/bin/env python3
"""Writes two_bars.osc, the demonstration score beside this script: two bars of drums at 120 bpm, a bell and a word.

The form is SuperCollider's NRT score, which `downbeat render` and `downbeat play` read: OSC bundles, each after its length
as a big-endian int32, their timetags counted from 0. Needs only Python's standard library.
"""

import struct
from pathlib import Path

BEAT = 0.5  # s, at 120 bpm
BAR = ["kick hat", "hat", "snare hat", "hat", "kick hat", "kick hat", "snare hat", "hat"]
GAINS = {"kick": 0.9, "snare": 0.6, "hat": 0.3}


def main():
    events = [(number * BEAT / 2, drums.split()) for number, drums in enumerate(BAR + BAR)]
    score = [(at, [message(f"/{drum}", GAINS[drum]) for drum in drums]) for at, drums in events]
    score.append((0.0, [message("/play", "bell", "gain", 0.3, "pan", -0.5)]))
    score.append((4 * BEAT, [message("/play", "bell", "gain", 0.3, "pan", 0.5, "rate", 1.5)]))
    score.append((8 * BEAT, [message("/play", "downbeat", "gain", 0.9), message("/kick", 0.9)]))
    score.sort(key=lambda entry: entry[0])
    Path(__file__).with_suffix(".osc").write_bytes(b"".join(entry(at, messages) for at, messages in score))


def entry(at, messages):
    """A bundle due at `at` [s] after its own length."""
    bundle = b"#bundle\0" + struct.pack(">Q", round(at * 2**32))
    bundle += b"".join(struct.pack(">i", len(packed)) + packed for packed in messages)
    return struct.pack(">i", len(bundle)) + bundle


def message(address, *args):
    tags = "," + "".join("s" if isinstance(arg, str) else "f" for arg in args)
    values = b"".join(padded(arg) if isinstance(arg, str) else struct.pack(">f", arg) for arg in args)
    return padded(address) + padded(tags) + values


def padded(text):
    """An OSC string: at least one NUL, to a multiple of four bytes."""
    return text.encode() + b"\0" * (4 - len(text) % 4)


if __name__ == "__main__":
    main()
