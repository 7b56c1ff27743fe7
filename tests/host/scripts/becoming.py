# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Says of everything that an agent can become or start whether it is guarded: words of one line.

Arguments: a folder of a cgroup that is none of the agent's.
"""

import os
import subprocess
import sys
import tempfile

OTHER = "/usr/bin/python3"
ASK = """
import errno, socket
try:
    with socket.create_connection(("10.99.0.2", 80), 160) as s: print("guarded" if s.recv(200) else "refused")
except OSError as error: print({errno.ENETUNREACH: "free"}.get(error.errno, "refused"))
"""


def run(*words, **more):
    return subprocess.run(words, capture_output=True, text=True, **more).stdout.strip()


said = [run(OTHER, "-c", ASK)]
with tempfile.TemporaryDirectory() as folder:
    path = folder + "/script"
    with open(path, "w") as script:
        script.write("#!" + OTHER + "\n" + ASK)
    os.chmod(path, 0o755)
    said.append(run(path))
loader = next(line.split()[-1] for line in open("/proc/self/maps") if "/ld-linux" in line)
said.append(run(loader, OTHER, "-c", ASK))
memory = os.memfd_create("program")
with open(os.path.realpath(OTHER), "rb") as program:
    os.write(memory, program.read())
said.append(run(f"/proc/{os.getpid()}/fd/{memory}", "-c", ASK, env={"PYTHONHOME": "/usr"}))
said.append(run("setsid", "-w", OTHER, "-c", ASK))
said.append(run("setpriv", "--reuid=65534", "--clear-groups", OTHER, "-c", ASK))
# Whoever asks is nobody's child any more.
said.append(run("sh", "-c", f'({OTHER} -c "$0" &) | cat', ASK))
with open(sys.argv[1] + "/cgroup.procs", "w") as procs:
    procs.write(str(os.getpid()))
said.append(run(OTHER, "-c", ASK))
print(*said)
