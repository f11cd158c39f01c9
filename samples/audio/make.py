#!/usr/bin/env python3
"""Makes the sample kit in this folder: every sound is computed here, nothing is recorded or borrowed.

Needs only Python's standard library, and espeak-ng for the spoken word. Run it without arguments; the same files come
out every time (the word depends on the version of espeak-ng: 1.51 made the one in this folder).

Not for: use while a node runs. The files are committed, so nobody needs to run this.
"""

import math
import random
import subprocess
import tempfile
import wave
from pathlib import Path

HERE = Path(__file__).parent
RATE = 48_000
TAU = 2 * math.pi


def click():
    """One frame of exactly half of full scale, then silence: what arrives is what was placed."""
    return [0.5] + [0.0] * 47


def tick():
    """A wooden tick of 50 ms, its loudest frame in the first half millisecond."""
    partials = [(1_900, 90, 0.5), (2_740, 130, 0.3), (4_410, 260, 0.2)]
    return fade([struck(partials, t) for t in seconds(0.05)])


def kick():
    """A sine that falls from 180 to 48 Hz."""
    out, phase = [], 0.0
    for t in seconds(0.3):
        phase += TAU * (48 + 132 * math.exp(-t * 40)) / RATE
        out.append(0.9 * math.cos(phase) * math.exp(-t * 11))
    return fade(out)


def snare():
    """Two drum modes and high-passed noise."""
    noise = high_passed(white(2), 0.45)
    body = [(185, 22, 0.3), (331, 30, 0.2)]
    return at_level(0.8, fade([struck(body, t) + next(noise) * math.exp(-t * 24) for t in seconds(0.2)]))


def hat():
    """Noise with little below 7 kHz."""
    noise = high_passed(high_passed(white(3), 0.25), 0.25)
    return at_level(0.6, fade([next(noise) * math.exp(-t * 60) for t in seconds(0.08)]))


def bell():
    """The partials of a small bell: hum, prime, tierce, quint, nominal and two above."""
    ratios = [(0.5, 2.2, 0.5), (1, 2.6, 1), (1.183, 3.4, 0.7), (1.506, 4.5, 0.5), (2, 5.5, 0.7), (2.514, 7.5, 0.3), (3.011, 10, 0.2)]
    partials = [(660 * ratio, decay, level) for ratio, decay, level in ratios]
    return at_level(0.7, fade([struck(partials, t) for t in seconds(0.9)], 0.05))


def word():
    """The word "downbeat" by espeak-ng (22.05 kHz), doubled to 44.1 kHz, without the silence around it."""
    with tempfile.TemporaryDirectory() as folder:
        spoken = Path(folder) / "word.wav"
        subprocess.run(["espeak-ng", "-v", "en", "-s", "150", "-w", spoken, "downbeat"], check=True)
        with wave.open(str(spoken)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (22_050, 1, 2)
            raw = file.readframes(file.getnframes())
    frames = [int.from_bytes(raw[i : i + 2], "little", signed=True) / 32_768 for i in range(0, len(raw), 2)]
    loud = [i for i, frame in enumerate(frames) if abs(frame) > 0.005]
    return at_level(0.8, fade(twice_the_rate(frames[loud[0] : loud[-1]])))


def loop():
    """Two bars at 120 bpm, exactly 4 s: kick left of the middle, snare right of it, hats at the sides."""
    left, right = [0.0] * (4 * RATE), [0.0] * (4 * RATE)
    step = RATE // 8  # a sixteenth note at 120 bpm
    parts = [
        (kick(), [0, 8, 11, 16, 24, 26], 0.75, 0.65),
        (snare(), [4, 12, 20, 28, 31], 0.5, 0.6),
        (hat(), range(0, 32, 2), 0.25, 0.45),
        (tick(), [3, 14, 19, 22, 30], 0.35, 0.15),
    ]
    for sound, steps, gain_left, gain_right in parts:
        for at in steps:
            for i, frame in enumerate(sound):
                left[(at * step + i) % len(left)] += gain_left * frame
                right[(at * step + i) % len(right)] += gain_right * frame
    gain = 0.8 / max(map(abs, left + right))
    return [gain * frame for frame in left], [gain * frame for frame in right]


def seconds(length):
    """The time of every frame of a sound that long [s]."""
    return (i / RATE for i in range(round(length * RATE)))


def struck(partials, t):
    """Decaying sines at time t [s], each (frequency [Hz], decay [1/s], level)."""
    return sum(level * math.sin(TAU * freq * t + 0.3) * math.exp(-decay * t) for freq, decay, level in partials)


def white(seed):
    """White noise between -1 and 1, the same for one seed."""
    source = random.Random(seed)
    while True:
        yield source.uniform(-1, 1)


def high_passed(noise, coefficient):
    """A one-pole high-pass: the nearer the coefficient to 0, the less bass."""
    before, out = 0.0, 0.0
    for now in noise:
        out = coefficient * (out + now - before)
        before = now
        yield out


def twice_the_rate(frames):
    """Doubles the sample rate with a Blackman-windowed half-band filter of 63 taps."""
    window = lambda k: 0.42 + 0.5 * math.cos(math.pi * k / 32) + 0.08 * math.cos(math.pi * k / 16)
    taps = {k: math.sin(math.pi * k / 2) / (math.pi * k / 2) * window(k) for k in range(-31, 32, 2)}
    scale = 1 / sum(taps.values())
    out = []
    for i, frame in enumerate(frames):
        between = sum(tap * frames[j] for k, tap in taps.items() if 0 <= (j := i + (k + 1) // 2) < len(frames))
        out += [frame, between * scale]
    return out


def at_level(peak, frames):
    """The same frames, the loudest of them brought to `peak`."""
    gain = peak / max(map(abs, frames))
    return [gain * frame for frame in frames]


def fade(frames, length=0.01):
    """The same frames, brought to silence over their last `length` [s]."""
    n = round(length * RATE)
    return frames[:-n] + [frame * (n - 1 - i) / n for i, frame in enumerate(frames[-n:])]


def write(name, *channels, rate=RATE, bits=16):
    """Writes a WAV file of integers; what is too loud for it is an error, not clipped."""
    full = 1 << (bits - 1)
    data = bytearray()
    for frame in zip(*channels, strict=True):
        for value in frame:
            data += round(value * full).to_bytes(bits // 8, "little", signed=True)
    with wave.open(str(HERE / f"{name}.wav"), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(bits // 8)
        file.setframerate(rate)
        file.writeframes(bytes(data))


if __name__ == "__main__":
    write("click", click())
    write("tick", tick())
    write("kick", kick())
    write("snare", snare(), bits=24)
    write("hat", hat(), bits=24)
    write("bell", bell())
    write("downbeat", word(), rate=44_100)
    write("loop", *loop())
