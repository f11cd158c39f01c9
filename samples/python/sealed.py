#!/usr/bin/env python3
"""Seals what is sent to Downbeat nodes that have a key (downbeat node --key-file): they obey nobody else.

Needs only python-osc (pip install python-osc). It asks one node for the session's time, once a second, and seals by that. A
packet that somebody records and sends again is refused by every node.

    from ensemble_clock import message
    from sealed import Sealed

    with Sealed("192.168.1.20", key_file="stage.key") as node:
        node.send(message("/kick", 0.8))                 # or a bundle, or a packet's bytes

What cannot seal (Pd, SuperCollider, a phone's app through this host) sends to a relay on this host instead:

    python3 sealed.py 192.168.1.20 --key-file stage.key --relay 9100

Not for: hiding anything. Whoever listens hears what is sent.
"""

import argparse
import hashlib
import hmac
import random
import secrets
import socket
import struct
import sys
import threading
import time

from pythonosc.osc_message import OscMessage, ParseError
from pythonosc.osc_message_builder import OscMessageBuilder

# A shorter key can be guessed, a longer file is no key (bytes).
SHORTEST, LONGEST = 16, 4096
SEAL = 16
# The node is asked this often until it answers, and from then on: it may be started anew [s].
EAGER, USUAL = 0.25, 1.0
# An answer that comes later is not believed: somebody may have kept it [s].
PATIENCE = 2.0
# A packet is taken for so long after it was sealed [2^-32 s].
FRESH = 10 << 32
# What the parser raises at packets that are none, which anybody may send.
STRANGE = (ParseError, ValueError, IndexError, struct.error)


class Sealed:
    """A way to a node, or to all that hear a broadcast. All methods may be called from any thread."""

    def __init__(self, host="127.0.0.1", port=9000, key_file=None, key=None, answered=None):
        """The key is in `key_file`, or `key` itself [bytes]. `answered` is called with each packet that comes back."""
        self._key = read_key(key_file) if key is None else key
        family, _, _, _, self._to = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        # Not connected: whoever hears a broadcast answers from an address of its own.
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._answered = answered
        self._lock = threading.Lock()
        self._sender = _draw()
        self._asked = {}
        # Session, its age [ticks of 2^-32 s], and when it was that old, or older [ns].
        self._known = None
        self._last = None
        self._refusal = None
        self._ready = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sealed", daemon=True)

    def __enter__(self):
        self.start()
        try:
            self.wait()
        except (TimeoutError, PermissionError):
            self.stop()
            raise
        return self

    def __exit__(self, *exception):
        self.stop()

    def start(self):
        """Begins to ask the node. Only once."""
        self._thread.start()

    def stop(self):
        """Ends the thread and closes the socket."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()

    def wait(self, timeout=2.0):
        """Waits until there is something to seal by. PermissionError if the node has another key or none, TimeoutError if it
        does not answer in time [s]."""
        if not self._ready.wait(timeout):
            peer = "%s:%s" % self._to[:2]
            if self._refusal is not None:
                raise PermissionError(f"{peer} says: {self._refusal}")
            raise TimeoutError(f"no answer from {peer}: is a node running there?")

    def send(self, packet):
        """Seals and sends a packet: an OscMessage, an OscBundle, or bytes."""
        self._socket.sendto(self.seal(packet if isinstance(packet, bytes) else packet.dgram), self._to)

    def send_message(self, address, *args):
        """Seals and sends a message."""
        builder = OscMessageBuilder(address)
        for arg in args:
            builder.add_arg(arg)
        self.send(builder.build())

    def seal(self, packet):
        """The sealed packet of these bytes, good for every node of the ensemble, once, and for ten seconds."""
        with self._lock:
            if self._known is None:
                raise RuntimeError("there is nothing to seal by yet: wait()")
            session, age, since = self._known
            age += (time.monotonic_ns() - since << 32) // 1_000_000_000
            # Strictly rising, though a newer answer may tell a lower age.
            if self._last is not None and self._last[0] == session:
                age = max(age, self._last[1] + 1)
            self._last = session, age
        numbers = struct.pack(">qqq", self._sender, session, age)
        return close(self._key, "/sealed", "hhhb", numbers + blob(packet))

    def _run(self):
        due = 0
        while not self._stopped.is_set():
            if time.monotonic() >= due:
                self._ask()
                due = time.monotonic() + (USUAL if self._ready.is_set() else EAGER) * random.uniform(0.9, 1.1)
            # Short, so that stop() does not wait.
            self._socket.settimeout(min(max(due - time.monotonic(), 1e-4), 0.1))
            try:
                packet = self._socket.recv(65_536)
            except OSError:
                continue
            self._hear(packet)

    def _ask(self):
        now = time.monotonic()
        self._asked = {nonce: at for nonce, at in self._asked.items() if now - at <= PATIENCE}
        nonce = _draw()
        self._asked[nonce] = now
        try:
            self._socket.sendto(question(self._key, nonce), self._to)
        except OSError:
            # There is no way there now: ask on.
            pass

    def _hear(self, packet):
        now = time.monotonic_ns()
        told = answer(self._key, packet)
        if told is not None:
            nonce, session, age, _ = told
            asked = self._asked.pop(nonce, None)
            if asked is not None and now / 1e9 - asked <= PATIENCE:
                with self._lock:
                    self._known = session, age, now
                    last = self._last
                    if last is not None and last[0] == session and last[1] - age > FRESH:
                        # The session stood still, as a lone node's does that sleeps: begin again, as somebody else.
                        self._sender, self._last = _draw(), None
                self._ready.set()
            return
        try:
            message = OscMessage(packet)
        except STRANGE:
            message = None
        if message and message.address == "/error" and message.params[:1] == ["/sealed/time"]:
            # Anybody could say so: a good answer may be on its way.
            self._refusal = message.params[-1]
        elif self._answered:
            try:
                self._answered(packet)
            except OSError as error:
                print(f"sealed: cannot hand an answer on: {error}", file=sys.stderr)


def read_key(path):
    """The key in a file: all bytes of it but for spaces and line ends at the end."""
    with open(path, "rb") as file:
        key = file.read(LONGEST + 1)
    if len(key) > LONGEST:
        raise ValueError(f"{path} is no key: it is longer than {LONGEST} bytes")
    key = key.rstrip(b" \t\n\r\f")
    if len(key) < SHORTEST:
        raise ValueError(f"{path} is too short for a key: at least {SHORTEST} bytes")
    return key


def question(key, nonce):
    """`/sealed/time`: asks for the session's time. `nonce` is drawn at random [64 bits, signed]."""
    return close(key, "/sealed/time", "h", struct.pack(">q", nonce))


def answer(key, packet):
    """Nonce, session, age [2^-32 s] and ensemble time [timetag] of a `/sealed/time/reply`; None if it is no good one."""
    head = string("/sealed/time/reply") + string(",hhhtb")
    body = packet[len(head):]
    if not packet.startswith(head) or len(body) != 36 + SEAL or body[32:36] != struct.pack(">i", SEAL):
        return None
    if not hmac.compare_digest(packet[-SEAL:], _seal(key, packet[:-SEAL])):
        return None
    return struct.unpack(">qqqQ", body[:32])


def close(key, address, tags, data):
    """A message with a last argument more: the seal of all bytes before it."""
    head = string(address) + string(f",{tags}b") + data + struct.pack(">i", SEAL)
    return head + _seal(key, head)


def string(text):
    """An OSC string."""
    text = text.encode()
    return text + bytes(4 - len(text) % 4)


def blob(data):
    """An OSC blob."""
    return struct.pack(">i", len(data)) + data + bytes(-len(data) % 4)


def _seal(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()[:SEAL]


def _draw():
    return secrets.randbits(64) - 2**63


def main():
    args = arguments()
    host, _, port = args.node.partition(":")
    sender = None
    local = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def answered(packet):
        # Of a relay, to whoever sent last.
        if sender is not None:
            local.sendto(packet, sender)
        elif args.relay is None:
            report(packet)

    with Sealed(host, int(port or 9000), key_file=args.key_file, answered=answered) as node:
        if args.relay is None:
            node.send_message(args.address, *map(value, args.args))
            # An error would come by now.
            time.sleep(args.reply)
            return
        # For programs of this host only: whoever sends here needs no key.
        local.bind(("127.0.0.1", args.relay))
        print("sealing what comes on udp %s:%s" % local.getsockname(), file=sys.stderr, flush=True)
        while True:
            packet, sender = local.recvfrom(65_536)
            try:
                node.send(packet)
            except OSError as error:
                print(f"sealed: a packet of {len(packet)} bytes is lost: {error}", file=sys.stderr)


def report(packet):
    try:
        message = OscMessage(packet)
        print(message.address, *message.params, flush=True)
    except STRANGE:
        print("(not a message)", flush=True)


def value(text):
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def arguments():
    parser = argparse.ArgumentParser(description="Sends a message to Downbeat nodes that have a key, or relays what others send.")
    parser.add_argument("node", metavar="HOST[:PORT]", help="the node, or the broadcast address of all nodes")
    parser.add_argument("--key-file", required=True, metavar="FILE", help="the ensemble's key")
    parser.add_argument("--relay", type=int, metavar="PORT", help="seal all that comes on this port of this host")
    parser.add_argument("--reply", type=float, default=0.1, metavar="S", help="how long to wait for answers (default: 0.1)")
    parser.add_argument("address", nargs="?", help="an OSC address")
    parser.add_argument("args", nargs="*", help="its arguments")
    args = parser.parse_intermixed_args()
    if (args.relay is None) == (args.address is None):
        parser.error("give an address to send to, or --relay")
    return args


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except (OSError, ValueError) as error:
        raise SystemExit(f"sealed: {error}")
