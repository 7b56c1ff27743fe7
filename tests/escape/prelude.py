# SPDX-License-Identifier: Apache-2.0 OR MIT
# What the scripts of the techniques use, besides what the laboratory offers to every script.
import array, signal
class Later:
    "Something that takes long to load, and that most scripts do not use."
    def __init__(self, load):
        self._load, self._loaded = load, None
    def __getattr__(self, name):
        if self._loaded is None:
            self._loaded = self._load()
        return getattr(self._loaded, name)
ctypes, select, subprocess, threading = (
    Later(lambda name=name: __import__(name)) for name in ("ctypes", "select", "subprocess", "threading"))
libc = Later(lambda: ctypes.CDLL(None, use_errno=True))
SLOWNESS = int(os.environ.get("ENFORCER_TEST_SLOWNESS", 1))
signal.alarm(30 * SLOWNESS)
MARKER = b"ENFORCER-MARKER"
V4 = ("10.99.0.2", 8080)
V6 = ("fd99::2", 8080)
MAPPED = ("::ffff:10.99.0.2", 8080)
STRANGER = 3128
FASTOPEN = 0x20000000
TCP_FASTOPEN_CONNECT, NO_COOKIE = (IPPROTO_TCP, 30, 1), (IPPROTO_TCP, 34, 1)
BOUND = (SOL_SOCKET, SO_BINDTODEVICE, b"near")
SHORT = 0.3 * SLOWNESS
def tcp(family=AF_INET, *options, bind=None):
    s = socket_(family)
    s.settimeout(SHORT)
    for option in options:
        s.setsockopt(*option)
    if bind:
        s.bind(bind)
    return s
def udp(family=AF_INET, *options, bind=None):
    s = socket_(family, SOCK_DGRAM)
    for option in options:
        s.setsockopt(*option)
    if bind:
        s.bind(bind)
    return s
def send(s, address, data=MARKER):
    "Connects and sends; waits until the peer has it, or for a moment."
    s.connect(address)
    s.sendall(data)
    try:
        s.shutdown(SHUT_WR)
        s.recv(1)
    except OSError:
        pass
def query(name=MARKER):
    "A question for a name, as a resolver understands it."
    return struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + bytes([len(name)]) + name + b"\0\0\1\0\1"
def device(name="near"):
    return if_nametoindex(name)
def segments(to="fd99::2"):
    "A segment routing header whose first stop is `to`."
    stops = inet_pton(AF_INET6, "::") + inet_pton(AF_INET6, to)
    return struct.pack("BBBBBBH", 0, 4, 4, 1, 1, 0, 0) + stops
def source_route(kind, to="10.99.0.2"):
    "A loose (131) or strict (137) source route."
    return struct.pack("BBB", kind, 7, 4) + inet_aton(to) + b"\0"
def name4(address):
    return struct.pack("=HH", AF_INET, htons(address[1])) + inet_aton(address[0]) + bytes(8)
def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result
def sh(command):
    "Runs a shell; what it does is for root only."
    if USER:
        done = subprocess.run(["sh", "-ec", command], stderr=subprocess.DEVNULL)
        if done.returncode and "unshare" not in str(attempt.__code__.co_names):
            raise PermissionError(errno.EPERM, command)
    else:
        subprocess.run(["sh", "-ec", command], check=True)
def leave():
    "Leaves the cgroup of the session, where that is possible."
    if OUTSIDE and USER == 0:
        open(OUTSIDE, "w").write(str(os.getpid()))
def enter():
    "Enters the cgroup of the session, as `enforcer run` would."
    if INSIDE:
        open(INSIDE, "w").write(str(os.getpid()))
    become()
def become():
    if USER:
        as_nobody()
def run(*arguments):
    "Goes on as the program."
    os.execv(PROGRAM, [PROGRAM, *map(str, arguments)])
def pass_socket(to, s):
    to.sendmsg([b"x"], [(SOL_SOCKET, SCM_RIGHTS, array.array("i", [s.fileno()]))])
def take_socket(at, family=AF_INET, kind=SOCK_STREAM, protocol=0):
    received = at.recvmsg(1, CMSG_LEN(4))[1]
    if not received:
        raise OSError(errno.EPERM, "the descriptor does not arrive")
    return socket_(family, kind, protocol, fileno=array.array("i", received[0][2])[0])
def meet():
    "A connection to the helper, which `met` it."
    peer = socket_(AF_UNIX)
    peer.connect("\0escape")
    return peer
def met():
    "For the helper: the connection of the one who will `meet` it, once it is ready."
    with socket_(AF_UNIX) as listener:
        listener.bind("\0escape")
        listener.listen()
        show("ready")
        return listener.accept()[0]
def report(s, peer):
    "For the helper: tells the peer what arrives at a socket, or that nothing does."
    try:
        peer.send(s.recv(99))
    except TimeoutError:
        peer.send(b"nothing")
def carry_out(attempt):
    try:
        attempt()
    except OSError as error:
        show(errno.errorcode.get(error.errno, str(error)))
