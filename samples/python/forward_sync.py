#!/usr/bin/env python3
"""Plays two bars on Downbeat nodes by forward synchronisation: every stroke is sent ahead, stamped with its instant.

Needs only python-osc (pip install python-osc). The nodes hold each bundle until its timetag and play it on that sample,
so what the network does to a packet on the way is not heard, as long as it takes less than the lead.
"""

import argparse
import time

from pythonosc.osc_bundle_builder import OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.udp_client import UDPClient

# One bar in eighth notes: what sounds on each, and how loud.
BAR = [
    [("kick", 1.0), ("hat", 0.5)],
    [("hat", 0.3)],
    [("snare", 0.8), ("hat", 0.5)],
    [("hat", 0.3)],
    [("kick", 1.0), ("hat", 0.5)],
    [("kick", 0.6), ("hat", 0.3)],
    [("snare", 0.8), ("hat", 0.5)],
    [("hat", 0.3), ("tick", 0.4)],
]


def main():
    args = arguments()
    nodes = [UDPClient(host, port) for host, port in args.node]
    eighth = 60 / args.bpm / 2
    start = time.time() + args.lead
    strokes = [[("click", 0.5)]] * len(BAR) if args.click else BAR
    for number in range(args.bars * len(BAR)):
        due = start + number * eighth
        # Paced against the due time itself, so that errors of sleep() never add up.
        time.sleep(max(0, due - args.lead - time.time()))
        bundle = stroke(due, strokes[number % len(BAR)])
        for node in nodes:
            node.send(bundle)
    if not args.quiet:
        print(f"sent {args.bars} bars at {args.bpm:g} bpm, {args.lead:g} s ahead, to {len(nodes)} node(s)")


def stroke(due, sounds):
    """One bundle: these sounds, all on the sample that is due at `due` [Unix time, s]."""
    bundle = OscBundleBuilder(due)
    for name, gain in sounds:
        message = OscMessageBuilder(f"/{name}")
        message.add_arg(gain)
        bundle.add_content(message.build())
    return bundle.build()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("node", nargs="*", type=node, default=[("127.0.0.1", 9000)], metavar="HOST[:PORT]",
                        help="the nodes to play on (default: 127.0.0.1:9000)")
    parser.add_argument("--lead", type=float, default=0.5, metavar="S", help="how far ahead to send [s] (default: 0.5)")
    parser.add_argument("--bpm", type=float, default=120, help="quarter notes a minute (default: 120)")
    parser.add_argument("--bars", type=int, default=2, help="how many bars (default: 2)")
    parser.add_argument("--click", action="store_true", help="one-sample clicks on every eighth instead of drums")
    parser.add_argument("--quiet", action="store_true", help="print nothing")
    return parser.parse_args()


def node(text):
    host, _, port = text.partition(":")
    return host, int(port or 9000)


if __name__ == "__main__":
    main()
