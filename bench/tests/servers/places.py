"""Asks the provider of a comparison, for the servers of these tests: the standard library alone, on a thread."""

import asyncio
import json
from urllib.request import urlopen


async def nearby(url, location, radius, bound):
    """The provider's answer as Python reads it, with so many results at the most."""

    def ask():
        with urlopen(f"{url}?location={location}&radius={radius}") as response:
            return json.loads(response.read())

    answer = await asyncio.to_thread(ask)
    answer["results"] = answer["results"][:bound]
    return answer
