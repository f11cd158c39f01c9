#!/usr/bin/env python3
"""The ensemble's clock in Python: asks one Downbeat node for the time, and stamps bundles with it.

Needs only python-osc (pip install python-osc). This host's own clock may be wrong, or be set while you play: bundles are
stamped by the node's time, which is kept here as a straight line over a clock that nobody sets (CLOCK_MONOTONIC_RAW).

    from ensemble_clock import EnsembleClock, message

    with EnsembleClock("192.168.1.20") as clock:
        bundle = clock.bundle(0.5, message("/kick", 0.8))   # due in half a second, on every node of the ensemble
        UDPClient("192.168.1.20", 9000).send(bundle.build())

Nodes that have a key are asked with `key_file="stage.key"`, and then no stranger's answer is believed; what is sent to them is
sealed by sealed.py beside this file.

Not for: Downbeat's own followers, which exchange four stamps and know more.
"""

import argparse
import collections
import itertools
import random
import secrets
import socket
import threading
import time

from pythonosc.osc_bundle_builder import OscBundleBuilder
from pythonosc.osc_message import OscMessage, ParseError
from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.udp_client import UDPClient

NANOS = 1_000_000_000
# Seconds from the NTP epoch (1900) to the Unix epoch (1970).
NTP_TO_UNIX = 2_208_988_800
# Questions at the start and after a jump, and the time between them [s].
BURST, BURST_INTERVAL = 16, 0.03
# So many exchanges in a row are thought to give a line its error. Fewer than that: `settling`.
SETTLED = 8
# Nothing was heard for so long: `lost` [s]. The line is kept, and grows old.
LOST = 5.0
# The node's time lies between question and answer. A line that is further than this outside was jumped over [s].
JUMP = 0.01
# Questions that may be under way at once.
UNDER_WAY = 64


class EnsembleClock:
    """A running estimate of the ensemble's time, kept by a thread that asks a node about once a second.

    All methods may be called from any thread. Times are Unix seconds, as those of time.time().
    """

    def __init__(self, host="127.0.0.1", port=9000, interval=1.0, window=60.0, key_file=None):
        """Asks the node at `host` and `port` every `interval` [s]; the line is laid through the last `window` [s]. With the
        ensemble's key, only answers that are sealed with it are believed."""
        self._key = None
        if key_file is not None:
            import sealed
            self._sealed, self._key = sealed, sealed.read_key(key_file)
        self._socket = socket.socket(_family(host, port), socket.SOCK_DGRAM)
        self._socket.connect((host, port))
        self._interval = interval
        self._estimator = Estimator(window)
        self._line = None
        self._asked = collections.OrderedDict()
        self._number = 0
        self._burst = BURST
        self._heard = None
        self._ready = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ensemble clock", daemon=True)
        #: Questions without an answer so far.
        self.lost = 0
        #: Times that the ensemble's clock was set, as far as it was seen here, and how far it went by that [s].
        self.jumps, self.moved = 0, 0.0

    def __enter__(self):
        self.start()
        try:
            self.wait()
        except TimeoutError:
            self.stop()
            raise
        return self

    def __exit__(self, *exception):
        self.stop()

    def start(self):
        """Begins to ask. Only once; a clock that was stopped is not started again."""
        self._thread.start()

    def stop(self):
        """Ends the thread and closes the socket. What is known of the time stays."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()

    def wait(self, timeout=5.0):
        """Waits until the clock can be trusted; TimeoutError if the node does not answer in time [s]."""
        if not self._ready.wait(timeout):
            raise TimeoutError(f"no answer from {self._peer()}: is a node running there?")

    def now(self):
        """The ensemble's time [Unix time, s]."""
        return self._nanos(0.0) / NANOS

    def timetag(self, in_seconds=0.0):
        """The OSC timetag of the instant `in_seconds` from now, as an int of 64 bits."""
        seconds, nanos = divmod(self._nanos(in_seconds), NANOS)
        return ((seconds + NTP_TO_UNIX) % 2**32 << 32) + (nanos << 32) // NANOS

    def bundle(self, in_seconds=0.0, *messages):
        """An OscBundleBuilder that is due `in_seconds` from now, with these messages in it. Add more, then build()."""
        return bundle_at(self._nanos(in_seconds) / NANOS, *messages)

    def sleep_until(self, when):
        """Sleeps until the ensemble's time is `when` [Unix time, s]; a function is asked anew, for a clock may be set meanwhile."""
        while (rest := (when() if callable(when) else when) - self.now()) > 0:
            # By pieces, so that a better estimate, or a jump, is heeded.
            time.sleep(min(rest, 0.25))

    @property
    def state(self):
        """`waiting` for a first answer, `settling`, `steady`, or `lost`: no answer for 5 s."""
        if self._line is None:
            return "waiting"
        if raw_nanos() - self._heard > LOST * NANOS:
            return "lost"
        return "steady" if self._line.count >= SETTLED else "settling"

    @property
    def error(self):
        """Standard error of now() [s], but for a lasting difference of the ways there and back, which nobody can see."""
        return self._known().error(raw_nanos())

    @property
    def bound(self):
        """The error's limit, that difference included [s]: half of the shortest way there and back, and three errors."""
        return self._known().round_trip / 2 + 3 * self.error

    @property
    def drift(self):
        """How much faster the ensemble's time goes than this host's oscillator [ppm]."""
        return self._known().rate * 1e6

    @property
    def offset(self):
        """How far the ensemble's time is ahead of this host's wall clock [s]: what its stamps would be wrong by."""
        return (self._nanos(0.0) - time.time_ns()) / NANOS

    @property
    def round_trip(self):
        """The shortest way to the node and back [s]."""
        return self._known().round_trip

    def _nanos(self, in_seconds):
        return self._known().at(raw_nanos()) + round(in_seconds * NANOS)

    def _known(self):
        line = self._line
        if line is None:
            raise RuntimeError(f"the ensemble's time is not known yet: wait(), or ask {self._peer()}")
        return line

    def _peer(self):
        try:
            return "%s:%s" % self._socket.getpeername()[:2]
        except OSError:
            return "the node"

    def _run(self):
        due = raw_nanos()
        while not self._stopped.is_set():
            if (now := raw_nanos()) >= due:
                self._ask()
                # Never in step with anything that happens regularly on the way.
                pause = BURST_INTERVAL if self._burst > 0 else self._interval * random.uniform(0.9, 1.1)
                self._burst -= 1
                due = now + round(pause * NANOS)
            # Short, so that stop() does not wait.
            self._socket.settimeout(min(max((due - raw_nanos()) / NANOS, 1e-4), 0.1))
            try:
                packet = self._socket.recv(65_536)
            except TimeoutError:
                continue
            except OSError:
                # The node is not there (yet): ask on.
                self._stopped.wait(BURST_INTERVAL)
                continue
            self._answered(raw_nanos(), packet)

    def _ask(self):
        if self._key is None:
            self._number = (self._number + 1) % 2**31
            question = message("/sync/time/ii", self._number).dgram
        else:
            self._number = secrets.randbits(64) - 2**63
            question = self._sealed.question(self._key, self._number)
        while len(self._asked) >= UNDER_WAY:
            self._asked.popitem(last=False)
            self.lost += 1
        self._asked[self._number] = raw_nanos()
        try:
            self._socket.send(question)
        except OSError:
            self._asked.pop(self._number)
            self.lost += 1

    def _answered(self, returned, packet):
        told = self._told(packet)
        if told is None:
            return
        number, seconds, fraction = told
        asked = self._asked.pop(number, None)
        if asked is None:
            return
        line, jumped = self._estimator.add(asked, _unix_nanos(seconds, fraction), returned)
        if jumped:
            self.jumps += 1
            self.moved += (line.at(returned) - self._line.at(returned)) / NANOS
            self._burst = BURST
        self._heard = returned
        self._line = line
        if line.count >= SETTLED:
            self._ready.set()


    def _told(self, packet):
        """Number, seconds and fraction of an answer."""
        if self._key is not None:
            told = self._sealed.answer(self._key, packet)
            return told and (told[0], told[3] >> 32, told[3] % 2**32)
        try:
            answer = OscMessage(packet)
        except ParseError:
            return None
        is_ours = answer.address == "/sync/time/ii/reply" and len(answer.params) == 3
        return answer.params if is_ours else None


class Line:
    """Ensemble time over local time [both ns]: a straight line, and how well it is known."""

    def __init__(self, local, ensemble, offset, rate, round_trip, variance, rate_variance, count):
        self.local, self.ensemble, self.offset, self.rate = local, ensemble, offset, rate
        self.round_trip, self.variance, self.rate_variance, self.count = round_trip, variance, rate_variance, count

    def at(self, local):
        """Ensemble time at a local time [ns]."""
        since = local - self.local
        return self.ensemble + since + round(self.offset * NANOS + since * self.rate)

    def error(self, local):
        """Standard error there [s]."""
        since = (local - self.local) / NANOS
        return (self.variance + since * since * self.rate_variance) ** 0.5


class Estimator:
    """Finds the line in exchanges of three stamps: asked, the node's time, returned. It reads no clock.

    A packet can be held up but never comes early, so the node's time less `asked` has a sharp lower edge and the node's time
    less `returned` a sharp upper one. The exchanges are cut into blocks; of each block, the packet nearest to either edge is
    taken. Two parallel lines are laid through them, those that were held up counting less; the clock runs midway.
    """

    BLOCKS = 16
    ROUNDS = 4
    #: What no packet is better than [s], and how far oscillators differ [1].
    SHARPEST, USUAL_RATE = 5e-6, 100e-6

    def __init__(self, window=60.0):
        self._window = window
        self._exchanges = collections.deque(maxlen=4096)
        self._base = None
        self._rate = 0.0

    def add(self, asked, node, returned):
        """Takes an exchange [ns]. Returns the line, and whether the node's time has jumped before it."""
        if self._base is None:
            self._base = asked, node
        local, ensemble = self._base
        ask, answer, back = (asked - local) / NANOS, (node - ensemble) / NANOS, (returned - local) / NANOS
        exchange = (ask, answer - ask, back, answer - back)
        self._exchanges.append(exchange)
        while self._exchanges[0][0] < ask - self._window:
            self._exchanges.popleft()
        line, outside = self._fit(exchange)
        jumped = outside > JUMP + 4 * line.error(returned)
        # The node's rate has changed, or its time was set by a little: what is old misleads.
        while not jumped and outside > 4 * line.error(returned) + 20e-6 and len(self._exchanges) > SETTLED:
            for _ in range(len(self._exchanges) // 2):
                self._exchanges.popleft()
            line, outside = self._fit(exchange)
        if jumped:
            self._exchanges.clear()
            self._exchanges.append(exchange)
            line, _ = self._fit(exchange)
        return line, jumped

    def _fit(self, newest):
        """The line, and how far it lies outside of what the newest exchange leaves possible [s]."""
        exchanges = list(self._exchanges)
        now, rate, spread = newest[2], self._rate, self.SHARPEST
        count = min(max(len(exchanges) // 4, 1), self.BLOCKS)
        blocks = [exchanges[i * len(exchanges) // count:(i + 1) * len(exchanges) // count] for i in range(count)]
        edges = None
        for _ in range(self.ROUNDS):
            # Of both edges as (x, y): mirrored, the upper edge is a lower one.
            sides = [
                [min(((x, y) for x, y, _, _ in block), key=lambda p: p[1] - rate * p[0]) for block in blocks],
                [max(((x, y) for _, _, x, y in block), key=lambda p: p[1] - rate * p[0]) for block in blocks],
            ]
            sums = []
            held = []
            for sign, points, edge in zip((1, -1), sides, edges or (None, None)):
                # How much too late each is; one that is too early shows the edge itself.
                late = [max(sign * (y - edge[1] - rate * (x - edge[0])), 0.0) if edge else 0.0 for x, y in points]
                weights = [1 / (spread * spread + by * by) for by in late]
                total = sum(weights)
                x_mean = sum(w * x for w, (x, _) in zip(weights, points)) / total
                y_mean = sum(w * y for w, (_, y) in zip(weights, points)) / total
                across = sum(w * (x - x_mean) ** 2 for w, (x, _) in zip(weights, points))
                along = sum(w * (x - x_mean) * (y - y_mean) for w, (x, y) in zip(weights, points))
                sums.append((total, x_mean, y_mean, across, along))
                held += late
            certain = sum(s[3] for s in sums) + self.USUAL_RATE**-2
            rate = sum(s[4] for s in sums) / certain
            edges = [(x_mean, y_mean) for _, x_mean, y_mean, _, _ in sums]
            misses = sorted(abs(y - e[1] - rate * (x - e[0])) for e, points in zip(edges, sides) for x, y in points)
            spread = max(self.SHARPEST, misses[len(misses) // 2])
        self._rate = rate
        upper, lower = (y + rate * (now - x) for x, y in edges)
        offset = (upper + lower) / 2
        middle = (edges[0][0] + edges[1][0]) / 2
        variance = sum(1 / s[0] for s in sums) / 4 + (now - middle) ** 2 / certain
        # A few exchanges agree by chance.
        variance += ((upper - lower) / 2 * 0.5 ** (len(exchanges) - 1)) ** 2
        local, ensemble = self._base
        at = local + round(now * NANOS)
        line = Line(at, ensemble + round(now * NANOS), offset, rate, max(upper - lower, 0.0), variance, 1 / certain,
                    len(exchanges))
        return line, max(newest[3] - offset, offset - rate * (now - newest[0]) - newest[1], 0.0)


def message(address, *args):
    """An OSC message, ready for a bundle or to be sent."""
    builder = OscMessageBuilder(address)
    for arg in args:
        builder.add_arg(arg)
    return builder.build()


def bundle_at(when, *messages):
    """An OscBundleBuilder that is due at `when` [Unix time, s]."""
    builder = OscBundleBuilder(when)
    for content in messages:
        builder.add_content(content)
    return builder


def raw_nanos():
    """A clock that nobody sets or slews [ns]; where there is none, one that is at least never set."""
    if hasattr(time, "CLOCK_MONOTONIC_RAW"):
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
    return time.monotonic_ns()


def _unix_nanos(seconds, fraction):
    """Two halves of a timetag, signed as OSC's ints are, as nanoseconds since 1970."""
    seconds %= 2**32
    # The era that ends in 2036 is followed by another.
    seconds += 2**32 if seconds < 2**31 else 0
    return (seconds - NTP_TO_UNIX) * NANOS + ((fraction % 2**32) * NANOS >> 32)


def _family(host, port):
    return socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0][0]


def main():
    args = arguments()
    asked = args.node
    with EnsembleClock(*asked) as clock:
        beat = threading.Thread(target=play, args=(clock, args), daemon=True)
        if args.beat:
            beat.start()
        end = None if args.seconds is None else time.monotonic() + args.seconds
        while end is None or time.monotonic() < end:
            print(f"{clock.state:8} offset {clock.offset:+.6f} s  drift {clock.drift:+7.2f} ppm  "
                  f"error {clock.error * 1e6:6.1f} us  bound {clock.bound * 1e6:6.1f} us  jumps {clock.jumps}", flush=True)
            time.sleep(1.0 if end is None else min(1.0, max(end - time.monotonic(), 0.0)))


def play(clock, args):
    """A beat, each stroke sent ahead and stamped with the ensemble's time."""
    nodes = [UDPClient(host, port) for host, port in args.on or [args.node]]
    start, moved = clock.now() + args.lead, clock.moved
    for count in itertools.count():
        # When the ensemble's clock is set, what waits there keeps its instant: so does the beat, by the other time.
        due = lambda: start + clock.moved - moved + count * 60 / args.beat
        clock.sleep_until(lambda: due() - args.lead)
        stroke = bundle_at(due(), message(f"/{args.sound}", args.gain)).build()
        for node in nodes:
            node.send(stroke)


def arguments():
    parser = argparse.ArgumentParser(description="Prints how the ensemble's clock differs from this host's; plays a beat by it.")
    parser.add_argument("node", nargs="?", type=_node, default=("127.0.0.1", 9000), metavar="HOST[:PORT]",
                        help="the node to ask (default: 127.0.0.1:9000)")
    parser.add_argument("--beat", type=float, metavar="BPM", help="play a beat of so many strokes a minute")
    parser.add_argument("--on", nargs="+", type=_node, metavar="HOST[:PORT]", help="nodes to play on (default: the one asked)")
    parser.add_argument("--sound", default="tick", help="what to play: the address of a sample, without / (default: tick)")
    parser.add_argument("--gain", type=float, default=0.8, help="how loud (default: 0.8)")
    parser.add_argument("--lead", type=float, default=0.5, metavar="S", help="how far ahead to send [s] (default: 0.5)")
    parser.add_argument("--seconds", type=float, metavar="S", help="end after so long")
    return parser.parse_args()


def _node(text):
    host, _, port = text.partition(":")
    return host, int(port or 9000)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except TimeoutError as error:
        raise SystemExit(f"ensemble_clock: {error}")
