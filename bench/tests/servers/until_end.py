"""What a public server of the course does: python3 until_end.py NAME PORT PLACES

It takes all that comes until the client half-closes for one command, answers, and closes. A location must have decimals.
What it refuses comes back as it came, with its newline. A report that is not newer is answered, and not kept.
"""

import asyncio
import json
import re
import sys
from time import time

from places import nearby

LOCATION = re.compile(r"[+-]\d+\.\d+[+-]\d+\.\d+")
newest = {}


async def answer(name, places, text):
    refusal, fields, now = f"? {text}", text.split(), time()
    if len(fields) != 4:
        return refusal
    verb, client, first, second = fields
    try:
        if verb == "IAMAT" and LOCATION.fullmatch(first):
            skew = now - float(second)
            sign = "+" if skew >= 0 else ""
            reply = f"AT {name} {sign}{skew} {client} {first} {second}\n"
            if client not in newest or float(second) > newest[client][0]:
                newest[client] = float(second), reply
            return reply
        if verb == "WHATSAT" and client in newest and 0 < float(first) <= 50 and 0 < int(second) <= 20:
            found = await nearby(places, "", first, int(second))
            return newest[client][1] + json.dumps(found, indent=3) + "\n\n"
    except ValueError:
        pass
    return refusal


async def run(name, port, places):
    async def serve(reader, writer):
        text = (await reader.read()).decode()
        writer.write((await answer(name, places, text)).encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "localhost", port) as server:
        await server.serve_forever()


asyncio.run(run(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
