#!/usr/bin/env bash
# A first sound: starts a node with the kit, plays two bars on it through its own OSC port, and leaves it listening.
# `make run` calls this. Usage: samples/demo.sh [path of the downbeat program]
set -euo pipefail
cd "$(dirname "$0")/.."
downbeat=${1:-target/release/downbeat}
port=${DOWNBEAT_PORT:-9000}

options=(--port "$port" --samples samples/audio)
if ! grep -qs '^ *[0-9]' /proc/asound/cards; then
    echo "demo: there is no sound card here; what would be heard is recorded to demo.wav"
    options+=(--record demo.wav)
fi

"$downbeat" node "${options[@]}" &
node=$!
# The node finishes its recording when it is asked to stop; wait for that.
trap 'kill -TERM "$node" 2>/dev/null || true; wait "$node" || true' EXIT
trap 'exit 0' INT TERM

for _ in $(seq 100); do
    # TCP is refused until the node listens; UDP would say nothing.
    if "$downbeat" send "tcp://127.0.0.1:$port" /status 2>/dev/null; then ready=yes; break; fi
    kill -0 "$node" 2>/dev/null || { echo "demo: the node did not start" >&2; exit 1; }
    sleep 0.05
done
[ "${ready:-}" ] || { echo "demo: the node does not answer on port $port" >&2; exit 1; }

"$downbeat" play samples/scores/two_bars.osc "127.0.0.1:$port"
echo "demo: played two bars. The node keeps listening on port $port; try this in another terminal:"
echo "    $downbeat send localhost:$port /play bell rate 0.5"
echo "Ctrl-C ends it."
wait "$node"
