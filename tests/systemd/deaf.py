"""Asks the server at a port for more than fits, and reads nothing of it: deaf.py PORT. It says so by /tmp/deaf."""
import socket, sys, time

asker = socket.socket()
asker.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
asker.connect(("127.0.0.1", int(sys.argv[1])))
asker.sendall(b"IAMAT kiwi +34.06-118.44 1\n")
asker.setblocking(False)
try:
    while True:
        asker.send(b"WHATSAT kiwi 50 20\n" * 1000)
except BlockingIOError:
    # It has so much to answer that it reads no more.
    time.sleep(1)
open("/tmp/deaf", "w").close()
time.sleep(60)
