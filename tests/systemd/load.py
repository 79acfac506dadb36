"""Clients at both doors of a server: reports by lines, by PUT and as a phone sends them, with a connection for each report or
with one for all; and those who watch, by WATCH and by /v1/events. Prints what became of them.

load.py LINE-PORT HTTP-PORT FILE-THAT-ENDS-IT: prints counts as JSON when the file is there.
"""
import json
import os
import socket
import sys
import threading
import time

LINE, HTTP, END = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
# A phone whose time is none of these years is ignored.
BEGAN = int(time.time())
counts = {}
lock = threading.Lock()


def count(what):
    with lock:
        counts[what] = counts.get(what, 0) + 1


def report(stream, shape, client, number):
    """Whether there was an answer; what else, by the name of what happened."""
    is_http = shape != "line"
    if shape == "phone":
        sent, end = b"GET /osmand?id=%s&lat=1&lon=1&timestamp=%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % (client, BEGAN + number), b"\n"
    elif is_http:
        body = b'{"lat":1,"lon":1,"time":%d}' % number
        head = b"PUT /v1/clients/%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        sent, end = head % (client, len(body)) + body, b"\n"
    else:
        sent, end = b"IAMAT %s +1+1 %d\n" % (client, number), b"\n"
    said = b""
    try:
        stream.sendall(sent)
        while True:
            piece = stream.recv(65536)
            if not piece:
                return "unanswered" if not said else "cut"
            said += piece
            if not is_http and said.endswith(end):
                return "ok" if said.startswith(b"AT ") else "refused line"
            if is_http and b"\r\n\r\n" in said:
                head, body = said.split(b"\r\n\r\n", 1)
                length = next(int(l.split(b":")[1]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length:"))
                if len(body) >= length:
                    if not head.startswith(b"HTTP/1.1 20"):
                        return head.split(b"\r\n")[0].decode()
                    return "ok, and closed" if b"\r\nconnection: close" in head.lower() else "ok"
    except ConnectionResetError:
        return "reset"
    except BrokenPipeError:
        return "unanswered"


def watch(shape):
    """Opens it again whenever it ends. That it ends is announced; that it cannot be opened is not."""
    asked = b"WATCH\n" if shape == "line" else b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
    while not os.path.exists(END):
        try:
            with socket.create_connection(("127.0.0.1", LINE if shape == "line" else HTTP), timeout=1) as stream:
                stream.sendall(asked)
                has_begun = False
                while not os.path.exists(END):
                    try:
                        piece = stream.recv(65536)
                    except TimeoutError:
                        continue
                    if not piece:
                        count("watch: ended" if has_begun else "watch: never begun")
                        break
                    if not has_begun:
                        is_good = shape == "line" or piece.startswith(b"HTTP/1.1 200 ")
                        count("watch: ok" if is_good else piece.split(b"\r\n")[0].decode())
                    has_begun = True
        except (ConnectionRefusedError, ConnectionResetError, BrokenPipeError) as why:
            count(f"watch: {type(why).__name__}")


def run(shape, stays, number):
    client = b"%s-%s-%d" % (b"stays" if stays else b"fresh", shape.encode(), number)
    kind = "persistent" if stays else "fresh"
    stream, i = None, 0
    while not os.path.exists(END):
        i += 1
        if stream is None:
            try:
                stream = socket.create_connection(("127.0.0.1", LINE if shape == "line" else HTTP), timeout=30)
            except ConnectionRefusedError:
                count(f"{kind}: refused")
                continue
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        what = report(stream, shape, client, i)
        count(f"{kind}: {what}")
        if what != "ok" or not stays:
            stream.close()
            stream = None


threads = [threading.Thread(target=run, args=(h, s, n)) for h in ("line", "put", "phone") for s in (0, 1) for n in range(2)]
threads += [threading.Thread(target=watch, args=(shape,)) for shape in ("line", "events")]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps(counts, sort_keys=True))
