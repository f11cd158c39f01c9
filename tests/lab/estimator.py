"""Tests the estimator of samples/python/ensemble_clock.py in a time of its own: no socket, no clock, seeded chance.

Run by tests/ensemble_clients.rs, with the samples folder on the path.
"""

import random

from ensemble_clock import BURST, Estimator

N = 1_000_000_000
START = 500_000 * N
UNIX = 1_700_000_000 * N


class Host:
    """A host and a node whose oscillator is `ppm` faster; each way takes 100 us and what chance adds."""

    def __init__(self, ppm, jitter, seed):
        self.chance, self.jitter = random.Random(seed), jitter
        self.rates = [(START, UNIX, ppm)]
        self.estimator, self.now, self.asked, self.jumps = Estimator(), START, 0, 0

    def node(self, local):
        since, time, ppm = self.rates[-1]
        return time + (local - since) + round((local - since) * ppm * 1e-6)

    def change(self, ppm, step=0):
        """From now on another rate, and a clock that was set by `step` [ns]."""
        self.rates.append((self.now, self.node(self.now) + step, ppm))

    def way(self):
        return round((100e-6 + self.chance.expovariate(1 / self.jitter)) * N)

    def exchange(self):
        """One more. Returns the error of the line [s] and what it says of it."""
        self.now += round((0.03 if self.asked < BURST else 1) * N)
        self.asked += 1
        asked = self.now
        there = asked + self.way()
        self.now = there + self.way()
        line, jumped = self.estimator.add(asked, self.node(there), self.now)
        self.jumps += jumped
        return (line.at(self.now) - self.node(self.now)) / N, line.error(self.now), line


def mean_square(values):
    values = list(values)
    return (sum(value * value for value in values) / len(values)) ** 0.5


def it_is_as_good_as_it_says():
    # Jitter [s], and how good it must be with that after half a minute [s].
    for jitter, goal in [(20e-6, 3e-6), (1e-3, 100e-6), (8e-3, 800e-6)]:
        ratios, errors = [], []
        for seed in range(8):
            host = Host(ppm=80, jitter=jitter, seed=seed)
            results = [host.exchange() for _ in range(120)]
            assert host.jumps == 0, host.jumps
            errors += [error for error, _, _ in results[46:]]
            ratios += [error / said for error, said, _ in results[46:]]
        assert mean_square(errors) < goal, (jitter, mean_square(errors))
        assert 0.3 < mean_square(ratios) < 1.6, (jitter, mean_square(ratios))


def the_first_second_is_usable():
    errors = []
    for seed in range(20):
        host = Host(ppm=-50, jitter=2e-3, seed=seed)
        results = [host.exchange() for _ in range(BURST)]
        errors.append(results[-1][0])
        assert abs(results[0][0]) < 4 * results[0][1], results[0]
    assert mean_square(errors) < 500e-6, mean_square(errors)


def a_clock_that_was_set_is_followed_at_once():
    host = Host(ppm=20, jitter=1e-3, seed=3)
    for _ in range(60):
        host.exchange()
    host.change(20, step=-3_600 * N)
    error, _, _ = host.exchange()
    assert host.jumps == 1 and abs(error) < 5e-3, (host.jumps, error)


def another_rate_is_learned():
    host = Host(ppm=0, jitter=50e-6, seed=4)
    for _ in range(80):
        host.exchange()
    host.change(50)
    worst = max(abs(host.exchange()[0]) for _ in range(60))
    error, _, line = host.exchange()
    assert host.jumps == 0 and worst < 500e-6, (host.jumps, worst)
    assert abs(error) < 30e-6 and abs(line.rate * 1e6 - 50) < 3, (error, line.rate)


for test in [
    it_is_as_good_as_it_says,
    the_first_second_is_usable,
    a_clock_that_was_set_is_followed_at_once,
    another_rate_is_learned,
]:
    test()
