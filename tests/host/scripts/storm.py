# SPDX-License-Identifier: Apache-2.0 OR MIT
"""A storm of forks, then of programs, then of threads. Prints how many connects there were, and how many of
them found no route: those were not guarded."""

import errno
import os
import socket
import subprocess
import threading

DEPTH = 5
CHILDREN = 3
THREADS = 40
PROGRAM = f"""
import socket, sys
s = socket.socket()
s.settimeout(160)
try: s.connect(("10.99.0.2", 80))
except OSError as error: sys.exit(int(error.errno == {errno.ENETUNREACH}))
"""
read, write = os.pipe()


def report():
    with socket.socket() as s:
        s.settimeout(160)
        try:
            s.connect(("10.99.0.2", 80))
            os.write(write, b"0")
        except OSError as error:
            os.write(write, b"1" if error.errno == errno.ENETUNREACH else b"0")


def reap():
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def tree(depth):
    report()
    for _ in range(CHILDREN if depth else 0):
        if os.fork() == 0:
            tree(depth - 1)
            os._exit(0)
    reap()


def program():
    code = subprocess.run(["/usr/bin/python3", "-S", "-c", PROGRAM]).returncode
    os.write(write, b"1" if code else b"0")


tree(DEPTH)
for make in (program, report):
    threads = [threading.Thread(target=make) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
os.close(write)
found = b""
while chunk := os.read(read, 65536):
    found += chunk
print(len(found), found.count(b"1"))
