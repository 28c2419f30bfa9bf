#!/usr/bin/env python3
"""A client of Cordwood written from protocol/PROTOCOL.md alone, with nothing but Python's own library.

    independent-client.py host:port[,host:port...] COUNT

Pushes COUNT values, pipelined, in a session, while whoever started it kills nodes; then checks that each ran once,
pops them all, pipelined, and tries the rest of the protocol. Prints a line for each step; exits with 1 if anything is
not as the document says. Section numbers are those of PROTOCOL.md.
"""

import collections
import os
import select
import socket
import struct
import sys
import time

PREAMBLE = bytes.fromhex("f543574401010000")  # 2
COMMAND, OPEN, CLOSE, KEEP_ALIVE, KEYED = 0x10, 0x11, 0x12, 0x13, 0x14  # 3
QUERY, PING, STATUS, ADMIN = 0x20, 0x21, 0x22, 0x23
WELCOME, RESPONSE, LEADER, ERROR = 0x80, 0x90, 0x91, 0x9F
NOT_THIS_TIME = (128, 129, 134)  # 9, 10: noLeader, busy, shuttingDown
UNKNOWN = 130


# --- 13: as much msgpack as this client needs ---------------------------------------------------------------------


def pack(value):
    if value is None:
        return b"\xc0"
    if value is True or value is False:
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        if 0 <= value < 0x80 or -32 <= value < 0:
            return struct.pack("b" if value < 0 else "B", value)
        for code, form in ((0xCC, ">B"), (0xCD, ">H"), (0xCE, ">I"), (0xCF, ">Q")) if value > 0 else (
            (0xD0, ">b"), (0xD1, ">h"), (0xD2, ">i"), (0xD3, ">q")):
            try:
                return bytes([code]) + struct.pack(form, value)
            except struct.error:
                continue
        raise ValueError(value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        data = value.encode()
        return head(len(data), 0xA0, 32, (0xD9, 0xDA, 0xDB)) + data
    if isinstance(value, bytes):
        return head(len(value), 0, 0, (0xC4, 0xC5, 0xC6)) + value
    if isinstance(value, (list, tuple)):
        return head(len(value), 0x90, 16, (None, 0xDC, 0xDD)) + b"".join(map(pack, value))
    if isinstance(value, dict):
        items = b"".join(pack(k) + pack(v) for k, v in value.items())
        return head(len(value), 0x80, 16, (None, 0xDE, 0xDF)) + items
    raise TypeError(value)


def head(count, fixed, below, codes):
    if count < below:
        return bytes([fixed | count])
    for code, form, end in zip(codes, (">B", ">H", ">I"), (1 << 8, 1 << 16, 1 << 32)):
        if code is not None and count < end:
            return bytes([code]) + struct.pack(form, count)
    raise ValueError(count)


class Unpacker:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        self.at += count
        if self.at > len(self.data):
            raise ValueError("cut short")
        return self.data[self.at - count : self.at]

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def value(self):
        code = self.number("B")
        if code < 0x80:
            return code
        if code >= 0xE0:
            return code - 0x100
        if code < 0x90:
            return self.map(code & 15)
        if code < 0xA0:
            return [self.value() for _ in range(code & 15)]
        if code < 0xC0:
            return self.take(code & 31).decode()
        if code in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[code]
        if code in (0xC4, 0xC5, 0xC6):
            return self.take(self.number((">B", ">H", ">I")[code - 0xC4]))
        if code in (0xCA, 0xCB):
            return self.number(">f" if code == 0xCA else ">d")
        if 0xCC <= code <= 0xD3:
            return self.number((">B", ">H", ">I", ">Q", ">b", ">h", ">i", ">q")[code - 0xCC])
        if code in (0xD9, 0xDA, 0xDB):
            return self.take(self.number((">B", ">H", ">I")[code - 0xD9])).decode()
        if code in (0xDC, 0xDD):
            return [self.value() for _ in range(self.number((">H", ">I")[code - 0xDC]))]
        if code in (0xDE, 0xDF):
            return self.map(self.number((">H", ">I")[code - 0xDE]))
        raise ValueError(f"extension {code:#x}")

    def map(self, count):
        return {self.value(): self.value() for _ in range(count)}


def unpack(data):
    unpacker = Unpacker(data)
    value = unpacker.value()
    if unpacker.at != len(data):
        raise ValueError("more than one value")
    return value


# --- 2, 3: a connection -------------------------------------------------------------------------------------------


class Connection:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), 1.0)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input, self.heard, self.pinged = bytearray(), time.monotonic(), False
        self.socket.sendall(PREAMBLE)
        self.frames = collections.deque()
        kind, _, request, body = self.next_frame(2.0)
        if kind == ERROR:
            raise ConnectionError(unpack(body))
        if kind != WELCOME or request != 0:
            raise ConnectionError("no welcome")
        self.welcome = unpack(body)

    def send(self, data):
        self.socket.settimeout(2.0)
        self.socket.sendall(data)

    def poll(self, timeout):
        """Reads what is there; waits for it at most so long."""
        if not select.select([self.socket], [], [], timeout)[0]:
            return
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionError("closed")
        self.heard, self.pinged = time.monotonic(), False
        self.input += data
        at = 0
        while len(self.input) - at >= 12:
            (length,) = struct.unpack_from("<I", self.input, at)
            if len(self.input) - at < length + 4:
                break
            kind, flags, _, request = struct.unpack_from("<BBHI", self.input, at + 4)
            self.frames.append((kind, flags, request, bytes(self.input[at + 12 : at + 4 + length])))
            at += 4 + length
        del self.input[:at]

    def next_frame(self, timeout):
        deadline = time.monotonic() + timeout
        while not self.frames:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("no frame in time")
            self.poll(left)
        return self.frames.popleft()

    def close(self):
        self.socket.close()


def frame(kind, flags, request, rest, reserved=0):
    return struct.pack("<IBBHI", 8 + len(rest), kind, flags, reserved, request) + rest


def write(kind, request, window, session, seq, body):  # 4
    return frame(kind, 0, request, struct.pack("<IQQ", window, session, seq) + body)


# --- 5, 10, 11: a client ------------------------------------------------------------------------------------------


class Client:
    def __init__(self, addresses, window=500):
        self.addresses, self.turn, self.most = addresses, 0, window
        self.connection, self.cluster, self.session, self.reconnects = None, None, 0, 0
        self.next_seq, self.pending = 1, collections.OrderedDict()

    def connect(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None
            self.reconnects += 1
        while True:
            address = self.addresses[self.turn % len(self.addresses)]
            self.turn += 1
            try:
                self.connection = Connection(address)
            except OSError:
                time.sleep(0.02)
                continue
            cluster = self.connection.welcome["clusterId"]
            if self.cluster not in (None, cluster):
                raise RuntimeError("another cluster")
            self.cluster, self.requests, self.next_request = cluster, {}, 1
            return

    def single(self, kind, flags, rest, reserved=0, deadline=30.0):
        """One request, sent again until it has an answer. Nothing else may be outstanding."""
        end = time.monotonic() + deadline
        while True:
            try:
                if self.connection is None:
                    self.connect()
                request = self.next_request
                self.next_request += 1
                self.connection.send(frame(kind, flags, request, rest, reserved))
                while True:
                    got, status, answered, body = self.connection.next_frame(2.0)
                    if got == ERROR:
                        raise ConnectionError(unpack(body))
                    if got == RESPONSE and answered == request:
                        break
                if status not in NOT_THIS_TIME + (UNKNOWN,):
                    return status, unpack(body) if body else None
                time.sleep(0.01)
            except OSError:
                self.connect()
            if time.monotonic() > end:
                raise TimeoutError("outcome unknown")

    def open(self):
        options = pack({"ttlMs": 60_000, "nonce": os.urandom(12).hex()})
        status, self.session = self.single(OPEN, 0, bytes(20) + options)
        assert status == 0, status
        self.next_seq = 1

    def encode(self, seq):
        lowest = next(iter(self.pending))
        request = self.next_request
        self.next_request += 1
        self.requests[request] = seq
        return write(COMMAND, request, seq - lowest, self.session, seq, self.pending[seq])

    def pipeline(self, commands, done):
        """Runs all of them, many at a time, each once. Calls done(command, status, value) for each."""
        commands = iter(commands)
        known, held, exhausted = {}, [], False
        while True:
            try:
                if self.connection is None:
                    self.connect()
                    held = []
                    # All that is unanswered goes again, in ascending order, before anything new.
                    self.connection.send(b"".join(self.encode(seq) for seq in self.pending))
                out = []
                for seq in held:
                    out.append(self.encode(seq))
                held = []
                # The window counts from the lowest unanswered one.
                while not exhausted and len(self.pending) < self.most:
                    lowest = next(iter(self.pending), self.next_seq)
                    if self.next_seq - lowest >= min(65536, self.connection.welcome["maxWindow"]):
                        break
                    command = next(commands, None)
                    if command is None:
                        exhausted = True
                        break
                    seq = self.next_seq
                    self.next_seq += 1
                    self.pending[seq], known[seq] = pack(command), command
                    out.append(self.encode(seq))
                if out:
                    self.connection.send(b"".join(out))
                if not self.pending:
                    return
                self.listen(known, held, done)
                if held:
                    held.sort()
                    time.sleep(0.01)
            except OSError:
                self.connect()
                held = []
                self.connection_again()

    def connection_again(self):
        try:
            self.connection.send(b"".join(self.encode(seq) for seq in self.pending))
        except OSError:
            self.connection.close()
            self.connection = None
            self.reconnects += 1

    def listen(self, known, held, done):
        connection = self.connection
        connection.poll(0.1)
        silent = time.monotonic() - connection.heard
        if silent > 1.0 and not connection.pinged:  # 10, Time limits
            connection.pinged = True
            connection.send(frame(PING, 0, 0xFFFFFFFF, b""))
        elif silent > 2.0:
            raise TimeoutError("silent")
        while connection.frames:
            kind, status, request, body = connection.frames.popleft()
            if kind == ERROR:
                raise ConnectionError(unpack(body))
            if kind != RESPONSE or request == 0xFFFFFFFF:
                continue
            seq = self.requests.pop(request)
            if status in NOT_THIS_TIME or status == UNKNOWN:
                held.append(seq)
            elif status == 66:  # sessionFull: never under this number
                del self.pending[seq]
                self.pending[self.next_seq], known[self.next_seq] = pack(known[seq]), known.pop(seq)
                held.append(self.next_seq)
                self.next_seq += 1
            else:
                assert status < 64, f"status {status} for {known[seq]}"
                del self.pending[seq]
                done(known.pop(seq), status, unpack(body) if body else None)


# --- what is tried ------------------------------------------------------------------------------------------------


def say(line):
    print(line, flush=True)


def check(what, got, wanted):
    if got != wanted:
        raise AssertionError(f"{what}: {got!r}, not {wanted!r}")


def exactly_once(client, count):
    sizes, name = [], "independent"
    values = [f"value {i}" for i in range(count)]

    def pushed(command, status, size):
        check("status of a push", status, 0)
        sizes.append(size)
        if len(sizes) % (count // 10) == 0:
            say(f"pushed {len(sizes)}")

    client.pipeline(([2, name, value] for value in values), pushed)
    check("sizes that pushes were told", sorted(sizes), list(range(1, count + 1)))
    check("size", client.single(QUERY, 0, pack([18, name])), (0, count))
    popped = []
    client.pipeline(([3, name] for _ in values), lambda command, status, value: popped.append(value))
    check("what pops gave", sorted(popped), sorted(values))
    check("size", client.single(QUERY, 0, pack([18, name])), (0, 0))
    say(f"exactly once over {client.reconnects} lost connections")


def all_operations(client):
    def command(*body):
        answers = []
        client.pipeline([list(body)], lambda _, status, value: answers.append((status, value)))
        return answers[0]

    def query(*body, level=0, staleness=0):
        return client.single(QUERY, level, pack(list(body)), staleness)

    def admin(**fields):
        return client.single(ADMIN, 0, pack(fields))

    name = "Grüße, 世界"
    check("exists", query(16, name), (2, False))
    check("pop", command(3, name), (2, None))
    check("create", command(1, name), (0, None))
    check("create again", command(1, name), (3, None))
    check("pop of nothing", command(3, name), (1, None))
    check("top of nothing", query(17, name), (1, None))
    values = [None, True, -1, -33, 200, 70_000, 2**63, 1.5, "", "x" * 300, b"\0\xff", [1, [2]], {"a": {"b": []}}]
    check("pushMany", command(5, name, values), (0, len(values)))
    for value in reversed(values):
        check("top", query(17, name), (0, value))
        check("pop", command(3, name), (0, value))
    check("push of a megabyte", command(2, name, "m" * (1 << 20)), (0, 1))
    check("pop of a megabyte", command(3, name), (0, "m" * (1 << 20)))
    command(5, name, [1, 2, 3])
    check("popMany", command(6, name, 2), (0, [3, 2]))
    check("popMany of more than there is", command(6, name, 20), (0, [1]))
    check("list", query(19, "Grü", None, 10), (0, [[name, 0]]))
    check("a local read", query(16, "no such stack", level=3), (2, False))
    check("a bounded read", query(16, "no such stack", level=2), (2, False))
    check("a bounded read, of a minute", query(16, "no such stack", level=2, staleness=60_000), (2, False))
    check("a lease read", query(16, "no such stack", level=1), (2, False))
    check("drop", command(4, name), (0, 0))
    check("drop again", command(4, name), (2, None))
    check("badCommand", command(99, name)[0], 4)
    check("badCommand: name too long", command(2, "n" * 1025, 1)[0], 4)
    check("ping", client.single(PING, 0, b""), (0, None))
    check("status", client.single(STATUS, 0, b"")[1]["clusterId"], client.cluster)
    status, members = admin(op="members")  # 8
    check("members", (status, members["clusterId"], members["changing"]), (0, client.cluster, False))
    check("kinds", {member["kind"] for member in members["members"]}, {"voter"})
    status, found = admin(op="explain")
    check("explain", (status, {"topic", "code", "severity", "message"} <= found["findings"][0].keys()), (0, True))
    last = max(member["id"] for member in members["members"])
    status, plan = admin(op="remove", id=last, dryRun=True, force=True)
    check("dry run", (status, plan["done"], plan["changed"], len(plan["plan"]["steps"]) > 0), (0, False, True, True))
    status, refused = admin(op="remove", id=last, force=True, expectedConfigIndex=members["configIndex"] + 1)
    check("refused", (status, refused["code"]), (137, "CONFIG_MISMATCH"))
    check("leadership", admin(op="transfer")[0], 0)
    check("no such op", admin(op="dance")[0] in (132, 136, 137), True)
    keyed = bytes(20) + struct.pack("<H", 3) + b"key" + pack([2, "keyed", 1])  # 6
    check("keyed", client.single(KEYED, 0, keyed), (0, 1))
    check("keyed again", client.single(KEYED, 0, keyed), (0, 1))
    other = bytes(20) + struct.pack("<H", 3) + b"key" + pack([2, "keyed", 2])
    check("key reused", client.single(KEYED, 0, other)[0], 67)
    keep = struct.pack("<IQQ", 0, client.session, client.next_seq)  # 5
    check("keepAlive", client.single(KEEP_ALIVE, 0, keep)[0], 0)
    old = struct.pack("<IQQ", 0, client.session, 1) + pack([3, "keyed"])
    check("alreadyAcked", client.single(COMMAND, 0, old)[0], 65)
    check("closeSession", client.single(CLOSE, 0, struct.pack("<IQQ", 0, client.session, 0))[0], 0)
    check("sessionExpired", client.single(COMMAND, 0, old)[0], 64)
    check("without a session", client.single(COMMAND, 0, bytes(20) + pack([3, "keyed"])), (0, 1))
    check("unsupported", client.single(0x1E, 0, bytes(20))[0], 136)
    check("malformed", client.single(COMMAND, 1, bytes(20) + pack([3, "keyed"]))[0], 132)
    say("all operations")


def broken_rules(address):
    host, port = address.rsplit(":", 1)

    def last_word(data):
        with socket.create_connection((host, int(port)), 5.0) as sock:
            sock.sendall(data)
            got = b""
            while True:
                part = sock.recv(4096)
                if not part:
                    return got
                got += part

    def error_code(data):
        got, code = last_word(data), None
        while got:
            (length,) = struct.unpack_from("<I", got)
            if got[4] == ERROR:
                code = unpack(got[12 : 4 + length])["code"]
            got = got[4 + length :]
        return code

    check("versions", error_code(bytes.fromhex("f5435744c8fa0000")), "INCOMPATIBLE_VERSION")
    check("too large", error_code(PREAMBLE + struct.pack("<IBBHI", 1 << 30, COMMAND, 0, 0, 1)), "TOO_LARGE")
    check("too short", error_code(PREAMBLE + struct.pack("<I", 3)) is not None, True)
    check("no such kind", error_code(PREAMBLE + frame(0x7E, 0, 1, b"")) is not None, True)
    check("another protocol", last_word(b"\x00\x01\x02\x03\x04\x05\x06\x07").startswith(b"cordwood: "), True)
    say("broken rules")


def main():
    addresses, count = sys.argv[1].split(","), int(sys.argv[2])
    client = Client(addresses)
    client.connect()
    say("connected")
    client.open()
    exactly_once(client, count)
    # Commands without a session follow, which may run twice when they are sent again: nobody is killed any more.
    sys.stdin.readline()
    all_operations(client)
    broken_rules(addresses[0])
    say("done")


main()
