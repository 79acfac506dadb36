#!/usr/bin/env python3
"""Bad lines between hosts of one machine, for the kernel's own TCP. tests/it/bad_lines.rs and tests/chaos run it.

    lines.py COUNT [COMMAND]...

Makes the network namespaces host1 to hostCOUNT, whose only way out is a TUN device, and passes packets between them
by their destination. Host N is 10.9.N.1. Host 0 is the namespace that this was started in: its lines are perfect, so
that a test reaches everybody. Commands are arguments, or lines on stdin, each of which is answered with "ok":

    line A B RATE QUEUE DELAY LOSS   bytes a second, bytes that wait for them, ms one way, 0 to 1; both directions
    cut A B                          nothing passes, and what is under way is lost
    heal A B                         as before the cut
    tcp NAME                         the congestion control of all hosts: reno is there on every kernel

It needs namespaces of its own (unshare -rnm) with an empty /run. They take with them what it made.
"""

import ctypes
import fcntl
import heapq
import os
import random
import selectors
import struct
import subprocess
import sys
import time

MTU = 1400
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
CLONE_NEWNET = 0x40000000


class Line:
    """One direction between two hosts."""

    def __init__(self):
        self.rate, self.queue, self.delay, self.loss = None, 0, 0.0, 0.0
        self.is_cut = False
        self.free_at = 0.0  # When all that waits is sent.

    def arrival(self, now, size):
        """When a packet comes out at the other end; None if it does not."""
        if self.is_cut:
            return None
        if self.rate:
            begins = max(self.free_at, now)
            if (begins - now) * self.rate + size > self.queue:
                return None
            self.free_at = begins + size / self.rate
        else:
            self.free_at = now
        # What is lost took its time, too.
        return None if random.random() < self.loss else self.free_at + self.delay


class Router:
    def __init__(self, count):
        self.lines = {(a, b): Line() for a in range(count + 1) for b in range(count + 1) if a != b}
        self.hosts = [open_host(number) for number in range(count + 1)]
        self.under_way = []  # A heap: when, a number that keeps the order, the line, packet, where to.
        self.number = 0

    def command(self, text):
        words = text.split()
        if words[0] == "tcp":
            for number in range(1, len(self.hosts)):
                choice = f"echo {words[1]} > /proc/sys/net/ipv4/tcp_congestion_control"
                run("ip", "netns", "exec", f"host{number}", "sh", "-c", choice)
            return
        a, b = int(words[1]), int(words[2])
        for line in (self.lines[a, b], self.lines[b, a]):
            if words[0] == "line":
                line.rate, line.queue = float(words[3]), float(words[4])
                line.delay, line.loss = float(words[5]) / 1000, float(words[6])
            elif words[0] in ("cut", "heal"):
                line.is_cut = words[0] == "cut"
            else:
                raise ValueError(text)

    def take(self, device):
        """Takes what a host has sent, a packet at a time."""
        for _ in range(64):
            try:
                packet = os.read(device, MTU)
            except BlockingIOError:
                return
            # IPv4 only: hosts also ask whether there is an IPv6 router.
            if packet[0] >> 4 != 4 or packet[12:14] != b"\x0a\x09" or packet[16:18] != b"\x0a\x09":
                continue
            line = self.lines.get((packet[14], packet[18]))
            now = time.monotonic()
            at = line and line.arrival(now, len(packet))
            if at:
                self.number += 1
                heapq.heappush(self.under_way, (at, self.number, line, packet, self.hosts[packet[18]]))

    def deliver(self):
        """Hands over what has arrived; returns the seconds until the next packet does."""
        now = time.monotonic()
        while self.under_way and self.under_way[0][0] <= now:
            _, _, line, packet, device = heapq.heappop(self.under_way)
            if not line.is_cut:
                try:
                    os.write(device, packet)
                except OSError:
                    pass  # It has no room for it, as happens to packets.
        return self.under_way[0][0] - now if self.under_way else None

    def run(self):
        selector = selectors.DefaultSelector()
        for device in self.hosts:
            selector.register(device, selectors.EVENT_READ)
        try:
            selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        except PermissionError:
            pass  # /dev/null, for example: nobody has more to say.
        said = b""
        while True:
            for key, _ in selector.select(self.deliver()):
                if key.fd != sys.stdin.fileno():
                    self.take(key.fd)
                    continue
                more = os.read(key.fd, 4096)
                if not more:
                    selector.unregister(key.fd)
                *lines, said = (said + more).split(b"\n")
                for line in lines:
                    self.command(line.decode())
                    print("ok", flush=True)


def run(*command):
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def open_host(number):
    """Makes a host; returns the other end of its line."""
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    at = []
    if number > 0:
        run("ip", "netns", "add", f"host{number}")
        enter(os.open(f"/run/netns/host{number}", os.O_RDONLY))
        at = ["-n", f"host{number}"]
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"line", IFF_TUN | IFF_NO_PI))
    enter(own)
    run("ip", *at, "link", "set", "lo", "up")
    run("ip", *at, "addr", "add", f"10.9.{number}.1/32", "dev", "line")
    run("ip", *at, "link", "set", "line", "mtu", str(MTU), "txqueuelen", "10000", "up")
    run("ip", *at, "route", "add", "default" if number > 0 else "10.9.0.0/16", "dev", "line")
    return device


def enter(namespace):
    """Has this thread be in a network namespace, so that devices it opens are there."""
    if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
    os.close(namespace)


def main():
    random.seed(int(os.environ.get("HERD_SEED", "1")))
    router = Router(int(sys.argv[1]))
    for text in sys.argv[2:]:
        router.command(text)
    print("ready", flush=True)
    router.run()


if __name__ == "__main__":
    main()
