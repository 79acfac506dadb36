"""Reads requests by h11: on stdin each is its length in four bytes and itself, and a length of nothing ends a batch. For
each there is a line: `bad WHY`, `more`, or what the request says, in hexadecimal digits."""

import sys

import h11


def read(request):
    connection = h11.Connection(h11.SERVER)
    body, head = b"", None
    try:
        connection.receive_data(request)
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                return "more"
            if isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return f"bad {event!r}"
    except h11.RemoteProtocolError as why:
        return f"bad {why}"
    length = len(request) - len(connection.trailing_data[0])
    fields = [part for name, value in head.headers for part in (name, value)]
    parts = [head.method, head.target, head.http_version, body, *fields]
    return " ".join(["ok", str(length), *(bytes(part).hex() or "-" for part in parts)])


lines = []
while prefix := sys.stdin.buffer.read(4):
    length = int.from_bytes(prefix, "big")
    if length > 0:
        lines.append(read(sys.stdin.buffer.read(length)).replace("\n", " ").encode() + b"\n")
    else:
        sys.stdout.buffer.write(b"".join(lines))
        sys.stdout.buffer.flush()
        lines = []
