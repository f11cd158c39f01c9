"""Counts /play with python-osc. Prints its port, then the count for every line on standard input."""

import asyncio
import sys
import threading

from pythonosc import dispatcher, osc_server

count = 0


def play(address, sample, key, value):
    global count
    count += 1


def answer():
    for _ in sys.stdin:
        print(count, flush=True)


def serve_threading(routes):
    server = osc_server.ThreadingOSCUDPServer(("127.0.0.1", 0), routes)
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    answer()


async def serve_asyncio(routes):
    loop = asyncio.get_running_loop()
    server = osc_server.AsyncIOOSCUDPServer(("127.0.0.1", 0), routes, loop)
    transport, _ = await server.create_serve_endpoint()
    print(transport.get_extra_info("sockname")[1], flush=True)
    await asyncio.to_thread(answer)


routes = dispatcher.Dispatcher()
routes.map("/play", play)
if sys.argv[1] == "asyncio":
    asyncio.run(serve_asyncio(routes))
else:
    serve_threading(routes)
