# Starts a program as systemd does: with the sockets that the test hands over, from descriptor 3 on.
import fcntl
import os
import socket
import sys

with socket.socket(socket.AF_UNIX) as test:
    test.connect(sys.argv[1])
    names, sockets, _, _ = socket.recv_fds(test, 4096, 32)
away = [fcntl.fcntl(one, fcntl.F_DUPFD, 100) for one in sockets]
for one in sockets:
    os.close(one)
for index, one in enumerate(away):
    os.dup2(one, 3 + index)
    os.close(one)
if away:
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.environ["LISTEN_FDS"] = str(len(away))
    os.environ["LISTEN_FDNAMES"] = names.decode().strip()
os.environ["WATCHDOG_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
