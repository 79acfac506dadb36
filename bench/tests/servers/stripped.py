"""The asyncio variant with all taken away that the course's text does not ask for: python3 stripped.py NAME PORT PLACES

A line is a command and gets a reply, for as long as the client has some. Times are floats, what is refused is nearly
nothing, and there is no neighbour.
"""

import asyncio
import json
import sys
from time import time

from places import nearby

store = {}


async def answer(name, places, line):
    match line.split():
        case ["IAMAT", client, location, sent]:
            try:
                reply = f"AT {name} {time() - float(sent):+} {client} {location} {sent}\n"
            except ValueError:
                return f"? {line}\n"
            store[client] = location, reply
            return reply
        case ["WHATSAT", client, radius, bound] if client in store:
            if radius.isdigit() and bound.isdigit() and int(radius) <= 50 and int(bound) <= 20:
                location, reply = store[client]
                found = await nearby(places, location, 1000 * int(radius), int(bound))
                return f"{reply}{json.dumps(found, indent=3)}\n\n"
    return f"? {line}\n"


async def run(name, port, places):
    async def serve(reader, writer):
        while line := await reader.readline():
            writer.write((await answer(name, places, line.decode().strip())).encode())
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", port) as server:
        await server.serve_forever()


asyncio.run(run(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
