#!/usr/bin/env python3
"""Runs in the lab's client: asks an address 100 times a second whether it answers (a refused TCP connection is an answer) and writes the
boot clock of every answer, in microseconds, until the file --stop appears."""

import os
import select
import socket
import sys
import time

address, out, stop = sys.argv[1:4]
with open(out, "w", buffering=1) as file:
    while not os.path.exists(stop):
        probe = socket.socket()
        probe.setblocking(False)
        probe.connect_ex((address, 9))
        if select.select([], [probe], [], 0.05)[1] and probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 111:
            print(time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000, file=file)
        probe.close()
        time.sleep(0.01)
