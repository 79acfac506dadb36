"""What another public server of the course does: python3 own_port.py NAME PLACES

It chooses its port itself and says nothing on stdout. Lines are commands, one after another. A difference has six
decimals, a location is not looked at, what is refused comes back with single blanks between its fields, and an AT of
anybody is believed and gets no reply.
"""

import asyncio
import json
import sys
from time import time

from places import nearby

known = {}


async def answer(name, places, fields):
    refusal = "? " + " ".join(fields) + "\n"
    try:
        if fields[0] == "AT" and len(fields) == 6:
            known[fields[3]] = float(fields[5]), " ".join(fields)
            return ""
        if fields[0] == "IAMAT" and len(fields) == 4:
            sent = float(fields[3])
            line = f"AT {name} {time() - sent:+f} " + " ".join(fields[1:])
            if sent > known.get(fields[1], (float("-inf"), ""))[0]:
                known[fields[1]] = sent, line
            return line + "\n"
        if fields[0] == "WHATSAT" and len(fields) == 4:
            radius, bound = float(fields[2]), int(fields[3])
            if radius <= 50 and bound <= 20 and fields[1] in known:
                found = await nearby(places, "", 1000 * radius, bound)
                return known[fields[1]][1] + "\n" + json.dumps(found, indent=4) + "\n\n"
    except ValueError:
        pass
    return refusal


async def run(name, places):
    async def serve(reader, writer):
        while line := await reader.readline():
            if fields := line.decode().split():
                writer.write((await answer(name, places, fields)).encode())
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        await server.serve_forever()


asyncio.run(run(sys.argv[1], sys.argv[2]))
