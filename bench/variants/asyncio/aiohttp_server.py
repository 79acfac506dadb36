"""herd's reports by HTTP on aiohttp: python3 aiohttp_server.py [--uvloop] NAME CONFIG

A rival of herd's door for HTTP, with what server.py makes of a report. A client's ID that a line
cannot hold as it stands is refused, as no workload has one.
"""

import argparse
import asyncio
import json
import re
import signal
import tomllib

import uvloop
from aiohttp import web

from server import BACKLOG, LOCATION, TIME, difference_to_now, record_of

ID = re.compile(r"[^\s%/\x00-\x1f\x7f]+")
MEMBERS = {"lat", "lon", "time"}


class Digits(str):
    """A number as it was written. A text in quotes is none."""


def parse(body):
    """The location and the time of a report as bytes; ValueError where it is none."""
    told = json.loads(body, parse_int=Digits, parse_float=Digits)
    if not isinstance(told, dict) or told.keys() != MEMBERS:
        raise ValueError("not lat, lon and time")
    if not all(type(value) is Digits for value in told.values()):
        raise ValueError("a member is no number")
    location = "".join(told[name] if told[name][0] == "-" else "+" + told[name] for name in ("lat", "lon"))
    location, time = location.encode(), told["time"].encode()
    if not (LOCATION.fullmatch(location) and TIME.fullmatch(time)):
        raise ValueError("no position")
    return location, time


class Reports:
    def __init__(self, name):
        self.name = name.encode()
        self.store = {}

    async def put(self, request):
        client = request.match_info["id"]
        try:
            location, time = parse(await request.read())
        except ValueError:
            raise web.HTTPBadRequest() from None
        if not ID.fullmatch(client):
            raise web.HTTPBadRequest()
        client = client.encode()
        record = record_of(self.name, difference_to_now(time), client, location, time)
        answer = {"news": self.learn(client, record), "at": record.line[:-1].decode()}
        body = json.dumps(answer, separators=(",", ":"), ensure_ascii=False) + "\n"
        return web.Response(body=body.encode(), content_type="application/json")

    def learn(self, client, record):
        # A report that is repeated differs in the difference, but is no news.
        stored = self.store.get(client)
        is_news = stored is None or record[:3] > stored[:3]
        if is_news:
            self.store[client] = record
        return is_news


async def run(name, config):
    host, _, port = config["servers"][name]["http"]["listen"].rpartition(":")
    app = web.Application()
    app.router.add_put("/v1/clients/{id}", Reports(name).put)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    # Without a line in the log for each request, and with connections that stay as long as herd's.
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=330)
    await runner.setup()
    site = web.TCPSite(runner, host.strip("[]"), int(port), backlog=BACKLOG, shutdown_timeout=0.1)
    await site.start()
    print(f"{name} serves HTTP on {host}:{runner.addresses[0][1]}", flush=True)
    await stop.wait()
    await runner.cleanup()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--uvloop", action="store_true", help="run on uvloop's event loop")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("config", metavar="CONFIG")
    arguments = parser.parse_args()
    with open(arguments.config, "rb") as file:
        config = tomllib.load(file)
    if "http" not in config["servers"].get(arguments.name, {}):
        parser.error(f"no server {arguments.name} with http.listen in {arguments.config}")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if arguments.uvloop else None) as runner:
        runner.run(run(arguments.name, config))


if __name__ == "__main__":
    main()
