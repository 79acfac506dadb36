"""One server of the herd on asyncio streams: python3 server.py [--uvloop] [--kept] NAME CONFIG

With --kept it promises what herd does: a report is in its journal before the reply is written, the journal is synced once a
second, and the log has every line in and out.

A coroutine per connection and one per neighbour, all on one thread, so nothing needs a lock.
Everything a client says stays bytes: its ID need not be UTF-8.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import socket
import tomllib
import zlib
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from time import time_ns
from typing import NamedTuple
from urllib.parse import quote

import aiohttp
import uvloop

LINE_MAX = 4096  # bytes, without the line end
BACKLOG = 4096
QUEUE_MAX = 10_000  # lines waiting for a neighbour
RETRY_MIN_S, RETRY_MAX_S = 0.1, 2
LINGER_S, HTTP_TIMEOUT_S = 2, 5
HTTP_CONNECTIONS = 256
NS = 1_000_000_000

# The ranges are in the patterns: a float would take 90.00000000000000000001 for 90.
LOCATION = re.compile(
    rb"([+-](?:[0-8]?\d(?:\.\d+)?|90(?:\.0+)?))"
    rb"([+-](?:(?:0\d\d|1[0-7]\d|\d\d?)(?:\.\d+)?|180(?:\.0+)?))"
)
TIME = re.compile(rb"(\d+)(?:\.(\d{1,9}))?")
DIFFERENCE = re.compile(rb"[+-]\d+(?:\.\d+)?")
RADIUS_KM = re.compile(rb"0*(?:[0-4]?\d(?:\.\d+)?|50(?:\.0+)?)")
BOUND = re.compile(rb"0*(?:1?\d|20)")
NEWLINES = re.compile(rb"\n+")


class LineTooLong(Exception):
    def __init__(self, head):
        self.head = head


class Record(NamedTuple):
    """What is known of a client. Compared as a tuple, the newer one is the greater one, the same
    on every server."""

    time: tuple[int, bytes, bytes]
    location: bytes
    origin: bytes
    difference: bytes
    line: bytes  # the AT line with its newline


def record_of(origin, difference, client, location, time):
    whole, _, fraction = time.partition(b".")
    whole = whole.lstrip(b"0")
    # Compares as a number, of any size and without rounding.
    exact = len(whole), whole, fraction.rstrip(b"0")
    line = b"AT %s %s %s %s %s\n" % (origin, difference, client, location, time)
    return Record(exact, location, origin, difference, line)


def difference_to_now(time):
    whole, fraction = TIME.fullmatch(time).groups(b"")
    difference = time_ns() - int(whole) * NS - int(fraction.ljust(9, b"0"))
    seconds, nanoseconds = divmod(abs(difference), NS)
    return b"%s%d.%09d" % (b"-" if difference < 0 else b"+", seconds, nanoseconds)


def degrees(text):
    """Plain decimals, which str(float) is not for small numbers."""
    return f"{float(text):.9f}".rstrip("0").rstrip(".")


def to_json(value):
    return json.dumps(value, indent=3, separators=(",", " : "), ensure_ascii=False).encode()


def no_results(status, **more):
    return to_json({"html_attributions": [], "results": [], "status": status, **more})


class Link:
    """The way to one neighbour: what it has not been told yet, and the connection for it."""

    def __init__(self, address, store):
        self.address = address
        self.store = store
        self.pending = []
        self.behind = True  # it is due the whole store, which has all that is pending
        self.wake = asyncio.Event()

    def tell(self, line):
        if self.behind:
            return
        if len(self.pending) < QUEUE_MAX:
            self.pending.append(line)
        else:
            self.behind = True
        self.wake.set()

    def take(self):
        lines = [record.line for record in self.store.values()] if self.behind else self.pending
        self.pending = []
        self.behind = False
        self.wake.clear()
        return b"".join(lines)

    async def keep(self):
        rest = RETRY_MIN_S
        while True:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection(*self.address)
                rest = RETRY_MIN_S
                await self.feed(reader, writer)
            await asyncio.sleep(rest)
            rest = min(2 * rest, RETRY_MAX_S)

    async def feed(self, reader, writer):
        # A neighbour that went away is seen by reading only: a write would succeed once more.
        gone = asyncio.create_task(discard(reader))
        gone.add_done_callback(lambda _: self.wake.set())
        try:
            while not gone.done():
                await send(writer, self.take())
                await self.wake.wait()
        finally:
            self.behind = True
            gone.cancel()
            writer.close()


async def send(writer, data):
    # Writing to what is closed is an error in uvloop and none in asyncio.
    if writer.is_closing():
        raise ConnectionResetError
    writer.write(data)
    await writer.drain()


async def discard(reader):
    with suppress(OSError):
        while await reader.read(65536):
            pass


class Keeper:
    """A journal and a log, in the shape of herd's."""

    def __init__(self, name, folder, config):
        data = folder / config.get("data_dir", "data") / name
        logs = folder / config.get("log_dir", "log")
        for made in data, logs:
            made.mkdir(parents=True, exist_ok=True)
        self.path = data / "asyncio.journal"
        # Unbuffered: what a reply tells of is with the system before it.
        self.journal = self.path.open("ab", buffering=0)
        self.log = (logs / f"{name}.log").open("ab", buffering=0)
        self.logged = []

    def lines(self):
        """The AT lines of the journal, up to the first that is damaged."""
        with self.path.open("rb") as file:
            for entry in file:
                checksum, _, line = entry.partition(b" ")
                if not line.endswith(b"\n") or checksum != self.checksum(line):
                    return
                yield line

    @staticmethod
    def checksum(line):
        return b"%08x" % zlib.crc32(line[:-1])

    def keep(self, line):
        self.journal.write(b"%s %s" % (self.checksum(line), line))

    def note(self, peer, what, text):
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self.logged.append(b"%s [INFO] %s %s:%d %s" % (now.encode(), what, peer[0].encode(), peer[1], text))

    async def tend(self):
        while True:
            await asyncio.sleep(1)
            logged, self.logged = self.logged, []
            self.log.write(b"".join(logged))
            # On a thread, as a sync takes as long as the disk does.
            await asyncio.to_thread(os.fdatasync, self.journal.fileno())


class Server:
    def __init__(self, name, neighbours, places_url, http, keeper):
        self.name = name.encode()
        self.keeper = keeper
        self.store = {}
        self.links = [Link(address, self.store) for address in neighbours]
        found = [socket.getaddrinfo(host, port) for host, port in neighbours]
        self.neighbour_hosts = {info[4][0] for infos in found for info in infos}
        self.places_url = places_url
        self.places_key = quote(os.environ.get("HERD_PLACES_KEY", ""))
        self.http = http

    async def serve(self, reader, writer):
        peer = writer.get_extra_info("peername")
        is_neighbour = peer is not None and peer[0] in self.neighbour_hosts
        # It ends with an error when the client is gone or this server is told to stop.
        with suppress(OSError, asyncio.CancelledError), closing(writer):
            try:
                while line := await read_line(reader, is_neighbour):
                    reply = await self.answer(line, is_neighbour)
                    if self.keeper is not None:
                        self.keeper.note(peer, b"in", line)
                        self.keeper.note(peer, b"out", reply or b"\n")
                    if reply:
                        await send(writer, reply)
            except LineTooLong as line:
                await send(writer, b"? " + line.head + b"\n")
                writer.write_eof()
                # Closing with input unread would reset the reply away.
                with suppress(TimeoutError):
                    await asyncio.wait_for(discard(reader), LINGER_S)

    async def answer(self, line, is_neighbour):
        match line.split():
            case []:
                return None
            case [b"IAMAT", client, location, time] if is_position(location, time):
                record = record_of(self.name, difference_to_now(time), client, location, time)
                self.learn(client, record, is_report=True)
                return record.line
            case [b"WHATSAT", client, radius, bound] if (
                client in self.store and RADIUS_KM.fullmatch(radius) and BOUND.fullmatch(bound)
            ):
                return await self.whatsat(self.store[client], float(radius), int(bound))
            case [b"AT", *fields] if is_neighbour:
                # A link that died within a line leaves a stump whose cut time is still a time.
                if len(fields) == 5 and line.endswith(b"\n"):
                    self.at(*fields)
                return None
        if line.endswith(b"\n"):
            line = line[:-1].removesuffix(b"\r")
        return b"? " + line + b"\n"

    def at(self, origin, difference, client, location, time):
        if is_position(location, time) and DIFFERENCE.fullmatch(difference):
            record = record_of(origin, difference, client, location, time)
            self.learn(client, record, is_report=False)

    def learn(self, client, record, is_report):
        # A client's own report that is repeated differs in the difference, but is no news.
        compared = slice(3 if is_report else None)
        stored = self.store.get(client)
        if stored is None or record[compared] > stored[compared]:
            self.store[client] = record
            if self.keeper is not None:
                self.keeper.keep(record.line)
            # Also to the one it came from, which drops it: neighbours may share an address.
            for link in self.links:
                link.tell(record.line)

    def restore(self):
        """Learns what is in the journal, in whatever order it is there."""
        for line in self.keeper.lines():
            _, origin, difference, client, location, time = line.split()
            record = record_of(origin, difference, client, location, time)
            if client not in self.store or record > self.store[client]:
                self.store[client] = record

    async def whatsat(self, record, radius_km, bound):
        radius_m = round(radius_km * 1000)
        is_asked = radius_m > 0 and bound > 0
        text = await self.places(record, radius_m, bound) if is_asked else no_results("ZERO_RESULTS")
        return record.line + text + b"\n\n"

    async def places(self, record, radius_m, bound):
        latitude, longitude = map(degrees, LOCATION.fullmatch(record.location).groups())
        query = f"location={latitude},{longitude}&radius={radius_m}&key={self.places_key}"
        try:
            async with self.http.get(f"{self.places_url}?{query}") as response:
                response.raise_for_status()
                text = await response.read()
            answer = json.loads(text)
            if len(answer["results"]) > bound:
                return to_json(answer | {"results": answer["results"][:bound]})
            return NEWLINES.sub(b"\n", text).rstrip(b"\n")
        except (aiohttp.ClientError, TimeoutError, ValueError, LookupError, TypeError) as why:
            # Only the kind: the text of an error may have the URL and so the key.
            message = f"the places provider failed: {type(why).__name__}"
            return no_results("UNKNOWN_ERROR", error_message=message)


async def read_line(reader, is_neighbour):
    """A line with its newline; without it at the end of the stream, which is empty after that."""
    try:
        return await reader.readuntil()
    except asyncio.IncompleteReadError as end:
        return end.partial
    except asyncio.LimitOverrunError:
        head = await reader.readexactly(LINE_MAX)
    # An AT line is longer than the IAMAT it tells of, by a name and a difference.
    if is_neighbour and head.split(None, 1)[:1] == [b"AT"]:
        return head + await read_line(reader, False)
    if await reader.read(1) == b"\r" and await reader.read(1) == b"\n":
        return head + b"\r\n"
    raise LineTooLong(head)


def is_position(location, time):
    return LOCATION.fullmatch(location) and TIME.fullmatch(time)


def address_of(server):
    host, _, port = server["listen"].rpartition(":")
    return host.strip("[]"), int(port)


async def run(name, config, keeper):
    servers = config["servers"]
    own = servers[name]
    # Talking is mutual: naming a neighbour on one side is enough.
    named = own.get("neighbours", [])
    naming = [other for other in servers if name in servers[other].get("neighbours", [])]
    neighbours = [address_of(servers[other]) for other in {*named, *naming}]
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=HTTP_CONNECTIONS),
        # Without the threshold it would round a time-out of 5 s up to a whole second of its clock.
        timeout=aiohttp.ClientTimeout(total=HTTP_TIMEOUT_S, ceil_threshold=2 * HTTP_TIMEOUT_S),
    ) as http:
        server = Server(name, neighbours, config.get("places", {}).get("url", ""), http, keeper)
        if keeper is not None:
            server.restore()
        host, port = address_of(own)
        listener = await asyncio.start_server(server.serve, host, port, limit=LINE_MAX, backlog=BACKLOG)
        print(f"{name} listens on {host}:{listener.sockets[0].getsockname()[1]}", flush=True)
        # Held in a list: the event loop itself has only weak references to its tasks.
        tasks = [asyncio.create_task(link.keep()) for link in server.links]
        if keeper is not None:
            tasks.append(asyncio.create_task(keeper.tend()))
        await stop.wait()
        for task in tasks:
            task.cancel()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--uvloop", action="store_true", help="run on uvloop's event loop")
    parser.add_argument("--kept", action="store_true", help="have a journal and a log, as herd")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("config", metavar="CONFIG")
    arguments = parser.parse_args()
    with open(arguments.config, "rb") as file:
        config = tomllib.load(file)
    if arguments.name not in config["servers"]:
        parser.error(f"no server {arguments.name} in {arguments.config}")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if arguments.uvloop else None) as runner:
        keeper = Keeper(arguments.name, Path(arguments.config).parent, config) if arguments.kept else None
        runner.run(run(arguments.name, config, keeper))


if __name__ == "__main__":
    main()
