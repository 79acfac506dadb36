"""What some public servers of the course do: python3 closes.py NAME PORT

It reads once, answers without a newline, and closes. It has no provider, so that a WHATSAT ends with an error and without
an answer. With `wrong` behind the port it also says `AT` in lower case, and refuses nothing; with `slow` it takes half a
second for the clients of a load.
"""

import asyncio
import sys
from time import time


def answer(name, is_wrong, text):
    fields = text.split()
    if is_wrong:
        return f"at {name} " + " ".join(fields[1:])
    if len(fields) == 4 and fields[0] == "IAMAT" and fields[3].replace(".", "").isdigit():
        return f"AT {name} {time() - float(fields[3]):+.9f} " + " ".join(fields[1:])
    if len(fields) == 4 and fields[0] == "WHATSAT" and fields[1] != "nobody":
        if fields[2].isdigit() and int(fields[2]) <= 50 and int(fields[3]) <= 20:
            raise ConnectionError("no provider")
    return "? " + text.strip()


async def run(name, port, is_wrong, is_slow):
    async def serve(reader, writer):
        try:
            text = (await reader.read(1000)).decode()
            if is_slow and text.startswith("IAMAT c0"):
                await asyncio.sleep(0.5)
            writer.write(answer(name, is_wrong, text).encode())
            await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", port) as server:
        await server.serve_forever()


asyncio.run(run(sys.argv[1], int(sys.argv[2]), "wrong" in sys.argv, "slow" in sys.argv))
