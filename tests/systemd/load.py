"""Clients at both doors of a server: reports by lines, by PUT and as a phone sends them, some of them in two halves; those
who ask, of which some have to wait for what takes long; with a connection for each or with one for all; and those who
watch, by WATCH and by /v1/events. Prints what became of them, and to stderr each fresh one that had no whole answer.

load.py LINE-PORT HTTP-PORT FILE-THAT-ENDS-IT [tls]: prints counts as JSON when the file is there.
"""
import json
import os
import socket
import ssl
import sys
import threading
import time
import traceback

LINE, HTTP, END = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
# A phone whose time is none of these years is ignored.
BEGAN = int(time.time())
# How many of each are fresh, and how many stay.
SHAPES = {"line": 2, "put": 2, "phone": 2, "count": 1, "near": 1, "whatsat": 1, "list": 1, "line in halves": 1, "put in halves": 1}
TLS = None
if sys.argv[4:] == ["tls"]:
    TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    TLS.check_hostname, TLS.verify_mode = False, ssl.CERT_NONE
counts = {}
lock = threading.Lock()


def count(what):
    with lock:
        counts[what] = counts.get(what, 0) + 1


def message(shape, client, number):
    """What is sent, and whether that is by HTTP."""
    if shape == "phone":
        request = b"GET /osmand?id=%s&lat=1&lon=1&timestamp=%d HTTP/1.1\r\nHost: localhost\r\n\r\n"
        return request % (client, BEGAN + number), True
    if shape == "list":
        return b"GET /v1/clients?limit=1 HTTP/1.1\r\nHost: localhost\r\n\r\n", True
    if shape in ("put", "put in halves"):
        body = b'{"lat":1,"lon":1,"time":%d}' % number
        head = b"PUT /v1/clients/%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        return head % (client, len(body)) + body, True
    if shape == "count":
        return b"COUNT\n", False
    if shape == "near":
        return b"NEAR +1+1 1 3\n", False
    told = b"IAMAT %s +1+1 %d\n" % (client, number)
    return (told + b"WHATSAT %s 1 0\n" % client if shape == "whatsat" else told), False


def is_refused(said):
    """Whether its last line, which is whole, says that it is not done."""
    return said.endswith(b"\n") and said[:-1].rsplit(b"\n", 1)[-1].startswith(b"? ")


def is_whole(shape, said):
    """Whether all lines that answer it are there."""
    if shape in ("near", "whatsat"):
        # Nobody is near where nobody is known.
        return said.endswith(b"\n\n") or is_refused(said) or said == b"\n"
    return said.endswith(b"\n")


def report(stream, shape, client, number):
    """Whether there was an answer; what else, by the name of what happened; and what was said."""
    sent, is_http = message(shape, client, number)
    good = b"COUNT " if shape == "count" else b"AT "
    said = b""
    try:
        if shape.endswith("in halves"):
            stream.sendall(sent[: len(sent) // 2])
            time.sleep(0.03)
            sent = sent[len(sent) // 2 :]
        stream.sendall(sent)
        while True:
            piece = stream.recv(65536)
            if not piece:
                return "unanswered" if not said else "cut", said
            said += piece
            if not is_http and is_whole(shape, said):
                is_good = said.startswith(good) and not is_refused(said)
                return "ok" if is_good else "another answer", said
            if is_http and b"\r\n\r\n" in said:
                head, body = said.split(b"\r\n\r\n", 1)
                length = next(int(l.split(b":")[1]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length:"))
                if len(body) >= length:
                    if not head.startswith(b"HTTP/1.1 20"):
                        return head.split(b"\r\n")[0].decode(), said
                    return "ok, and closed" if b"\r\nconnection: close" in head.lower() else "ok", said
    except TimeoutError:
        return "silent for 30 s", said
    except ConnectionResetError:
        return "reset", said
    except (BrokenPipeError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
        return "unanswered", said


def connect(is_http):
    stream = socket.create_connection(("127.0.0.1", HTTP if is_http else LINE), timeout=30)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return TLS.wrap_socket(stream) if is_http and TLS else stream


def watch(shape):
    """Opens it again whenever it ends. That it ends is announced; that it cannot be opened is not."""
    asked = b"WATCH\n" if shape == "line" else b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
    while not os.path.exists(END):
        try:
            with connect(shape != "line") as stream:
                stream.settimeout(1)
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
        except (ConnectionRefusedError, ConnectionResetError, BrokenPipeError, ssl.SSLError) as why:
            count(f"watch: {type(why).__name__}")


def run(shape, stays, number):
    client = b"%s-%s-%d" % (b"stays" if stays else b"fresh", shape.split()[0].encode(), number)
    kind = "persistent" if stays else "fresh"
    is_http = message(shape, client, 1)[1]
    stream, i = None, 0
    while not os.path.exists(END):
        i += 1
        if stream is None:
            try:
                stream = connect(is_http)
            except ConnectionRefusedError:
                count(f"{kind}: refused")
                continue
            except (ConnectionResetError, ssl.SSLError):
                count(f"{kind}: reset")
                continue
        port = stream.getsockname()[1]
        what, said = report(stream, shape, client, i)
        count(f"{kind}: {what}")
        if not stays and what not in ("ok", "ok, and closed"):
            sys.stderr.write(f"from port {port}: {shape}: {what}: {said!r}\n")
        if what != "ok" or not stays:
            stream.close()
            stream = None


def guard(work, kind, *arguments):
    """What ends a client is counted, too, and is allowed nowhere."""
    try:
        work(*arguments)
    except Exception as why:
        count(f"{kind}: ended by {type(why).__name__}")
        sys.stderr.write(f"{kind} {arguments}: {traceback.format_exc()}\n")


# So that somebody is near.
with connect(False) as stream:
    assert report(stream, "line", b"first", BEGAN)[0] == "ok"
threads = [threading.Thread(target=guard, args=(run, ("fresh", "persistent")[s], h, s, n)) for h in SHAPES for s in (0, 1) for n in range(SHAPES[h])]
threads += [threading.Thread(target=guard, args=(watch, "watch", shape)) for shape in ("line", "events")]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps(counts, sort_keys=True))
