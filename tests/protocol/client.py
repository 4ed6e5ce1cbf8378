# SPDX-License-Identifier: MIT
"""A Sealane client in python3's standard library, written from doc/PROTOCOL.md alone; calls.py tests it.

A connection has rings or not, as requested. Any frame that differs from the document raises an exception. Rings only on
x86-64: python has no release stores, and x86-64 needs none.
"""
import array
import collections
import ctypes
import fcntl
import mmap
import os
import select
import socket
import struct
import threading

HELLO, GOODBYE, CALL, ONEWAY, REPLY, RELEASE, CANCEL, DOORBELL, MARK, ARENA, RETIRE, RING = range(1, 13)
NONE, INLINE, POOLED, SEALED = 0, 1, 2, 4
# sections 5.1 to 5.9, and 10.3
HEAD, LIMITS, FINAL, MESSAGE, RELEASED, BLOCKS, RETIRED, GROWN, LINE = map(struct.Struct, (
    "<BBHIQ", "<4sHHQIIQQIIIB3s", "<iHH", "<IiQQQBBHHH", "<II", "<IIQQ", "<II", "<IIII", "<BBHQQII32s"))
OUTBOX, TMPFS, FDS_MOST, WORD, PAGE = 2, 0x01021994, 253, 0xffffffff, 4096
FROZEN, OTHERS = 1 | 2 | 4 | 8, 1 | 2 | 4 | 16  # seals: SEAL, SHRINK, GROW, and WRITE or FUTURE_WRITE
INLINE_MAX, BLOCK_MAX, BYTES_MAX, BLOCKS_MAX, CALLS_MAX = 65536, 1 << 28, 1 << 30, 8, 8
LINES, RELEASES, ASLEEP, CONSUMED, TAKEN = 256, 256, 64 // 4, 128 // 4, 192 // 4  # our outbox; words of 32 bits in both
START = 1024  # of the frame ring in an outbox
FRAMES, ROOM, POOL = 1, 2, 4  # bits of `asleep`
MOST = 32 + (LINES // 4 - 1) * 64  # bytes in one frame of our ring
Frame = collections.namedtuple("Frame", "kind id status handle size place body fd")
lock = threading.Lock()


def fence():  # a locked instruction: on x86-64 a full fence, where other stores and loads stay in order by themselves
    with lock:
        pass


def frame(kind, body=b"", call=0, fds=0):
    return HEAD.pack(kind, fds, 0, HEAD.size + len(body), call) + body


def hello(service=b"", versions=(1, 1), rings=False):
    accept = INLINE | SEALED | (POOLED if rings else 0)
    limits = LIMITS.pack(b"SEAL", *versions, OUTBOX if rings else 0, accept, INLINE_MAX, BLOCK_MAX, BYTES_MAX,
                         BLOCKS_MAX, CALLS_MAX, 1, len(service), bytes(3))
    return frame(HELLO, limits + service, fds=int(rings))


def memfd(payload, seals=FROZEN):  # section 8.1
    fd = os.memfd_create("client", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, payload)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def shared(size, seals=OTHERS):  # sections 10.2 and 11.1: memory that only we write, and a descriptor to hand out
    fd = os.memfd_create("client", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.posix_fallocate(fd, 0, size)
    view = mmap.mmap(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    reader = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    os.close(fd)
    return view, reader


def verified(fd, size, *seals):  # sections 8.2, 10.2 and 11.1: a mapping. Takes the descriptor
    has = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    assert any(has & wanted == wanted for wanted in seals)
    buf = (ctypes.c_long * 64)()
    assert ctypes.CDLL(None).fstatfs(fd, buf) == 0 and buf[0] == TMPFS  # the first member of struct statfs, a long
    state = os.fstat(fd)
    assert state.st_size == (size or state.st_size) and state.st_blocks * 512 >= state.st_size
    view = mmap.mmap(fd, state.st_size, mmap.MAP_SHARED, mmap.PROT_READ)
    os.close(fd)
    return view


def lines_of(size):
    return 1 if size <= 32 else 1 + -((32 - size) // later_bytes(size))


def later_bytes(size):
    """The bytes in a later line of a frame; those of a short frame also have tags."""
    return 56 if size <= 256 else 64


class Ring:  # some memory, where in it a ring begins, and how many entries that has
    def __init__(self, view, start, count):
        self.bytes, self.words, self.start, self.count = view, memoryview(view).cast("I"), start, count

    def place(self, size, index, number):  # of an entry of that size: where it is, and its tag
        return self.start + size * (index % self.count), number // self.count + 1 & WORD

    def has(self, place):
        return self.words[place[0] // 4] == place[1]


class Outbox:  # section 10
    def __init__(self, view):
        magic, lines, releases = struct.unpack_from("<4sII", view)
        end = START + 64 * lines + 16 * releases
        assert magic == b"SELB" and lines in [1 << n for n in range(5, 15)] and len(view) == end + -end % PAGE
        assert releases in [1 << n for n in range(6, 17)]
        self.words = memoryview(view).cast("I")
        self.frames, self.releases = Ring(view, START, lines), Ring(view, START + 64 * lines, releases)

    def line(self, position):
        return self.frames.place(64, position, position)

    def entry(self, number):
        return self.releases.place(16, number, number)

    def has_line(self, position):
        return self.frames.has(self.line(position))

    def has_entry(self, number):
        return self.releases.has(self.entry(number))


class Connection:
    def __init__(self, path, rings=False, service=b"echo", greeting=None):
        self.sent = self.arrived = self.doorbells = self.rung = self.rings = self.episode = 0
        self.tail = self.head = self.known = self.published = self.given = self.taken = 0  # positions and entries
        self.inbox, self.held, self.arenas, self.released = collections.deque(), collections.deque(), {}, set()
        self.frames_next = self.releases_next = None  # larger rings of theirs, until they are reached: section 10.7
        self.final, self.is_over, self.own, self.theirs, self.seen = None, False, None, None, collections.Counter()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        self.socket.connect(path)
        credentials = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
        self.pid, user, _ = struct.unpack("iII", credentials)
        assert user in (0, os.geteuid()), "a stranger's server"
        view, fd = shared(6 * PAGE) if rings else (None, None)
        if rings:
            view[:12] = struct.pack("<4sII", b"SELB", LINES, RELEASES)
            self.own = Outbox(view)
        self.send(greeting or hello(service, rings=rings), fd)

    def send(self, datagram, fd=None):
        parts = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        try:
            self.socket.sendmsg([datagram], parts, socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the peer is gone, and its last word waits to be received
        if fd is not None:
            os.close(fd)

    def datagram(self, how=0):  # sections 3 and 5: type, id, body, descriptor or None. None: the end
        while True:
            try:
                data, parts, flags, _ = self.socket.recvmsg(
                    HEAD.size + 40 + INLINE_MAX, socket.CMSG_SPACE(4 * FDS_MOST), socket.MSG_CMSG_CLOEXEC | how
                )
                break
            except ConnectionResetError:
                continue
        fds = array.array("i", b"".join(part for _, kind, part in parts if kind == socket.SCM_RIGHTS))
        if not data:
            return None
        kind, fds_said, reserved, size, call = HEAD.unpack_from(data)
        assert not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) and size == len(data) and reserved == 0
        assert fds_said == len(fds) <= (kind in (HELLO, CALL, ONEWAY, REPLY, ARENA, RING)) and kind != MARK
        assert call == 0 or kind in (CALL, REPLY, CANCEL)
        return kind, call, data[HEAD.size:], fds[0] if fds else None

    def greet(self):  # section 6: the server's name, or its reason and text
        kind, _, body, fd = self.datagram()
        if kind == GOODBYE:
            self.end(body)
            self.socket.close()
            return self.final
        magic, lowest, highest, features, accept, inline_max, *_, service_size, reserved = \
            LIMITS.unpack_from(body)
        assert kind == HELLO and magic == b"SEAL" and lowest <= 1 <= highest and reserved == bytes(3)
        assert len(body) == LIMITS.size + service_size and inline_max <= 131072
        assert (fd is not None) == bool(features & OUTBOX) <= bool(self.own)
        if fd is not None:
            self.theirs, self.accept = Outbox(verified(fd, None, FROZEN, OTHERS)), accept
        return body[LIMITS.size:].decode()

    def end(self, body):
        reason, text_size, reserved = FINAL.unpack_from(body)
        assert reserved == 0 and len(body) == FINAL.size + text_size
        self.final, self.is_over = (reason, body[FINAL.size:].decode()), True

    def receive(self):
        """Receives one datagram, if there is one. Messages are held back: section 10.4."""
        try:
            kind, call, body, fd = self.datagram(socket.MSG_DONTWAIT) or (None, 0, b"", None)
        except BlockingIOError:
            return False
        self.arrived += kind not in (None, GOODBYE, DOORBELL)
        self.is_over |= kind is None
        if kind == GOODBYE:
            self.end(body)
        elif kind == DOORBELL:
            assert self.theirs and not body
            self.doorbells += 1
        elif kind == RELEASE:
            count, reserved = RELEASED.unpack_from(body)
            assert reserved == 0 and 1 <= count <= 64 and len(body) == RELEASED.size + 8 * count
            self.released |= set(struct.unpack_from(f"<{count}Q", body, RELEASED.size))
        elif kind == ARENA:  # section 11.1
            number, count, stride, size = BLOCKS.unpack(body)
            assert 1 <= number <= 65535 and number not in self.arenas and stride % 64 == 0 < count * stride <= size
            self.arenas[number] = verified(fd, size, FROZEN, OTHERS), stride, count
        elif kind == RETIRE:
            number, reserved = RETIRED.unpack(body)
            assert reserved == 0
            del self.arenas[number]
        elif kind == RING:
            self.grow(*GROWN.unpack(body), fd)
        elif kind:  # section 5.3
            method, status, deadline, handle, size, place, hugetlb, zero, text_size, zeros = MESSAGE.unpack_from(body)
            assert kind == REPLY and (method, deadline, hugetlb, zero, zeros) == (0, 0, 0, 0, 0)
            assert (size != 0) == (place in (INLINE, SEALED)) and (place == SEALED) == (handle != 0) == (fd is not None)
            assert len(body) == MESSAGE.size + text_size + (size if place == INLINE else 0)
            assert text_size == 0 or status < 0
            self.held.append((self.arrived, Frame(kind, call, status, handle, size, place, body[MESSAGE.size:], fd)))
        return not self.is_over

    def grow(self, kind, count, start, reserved, fd):  # section 10.7
        old, size = (self.theirs.frames, 64) if kind == 1 else (self.theirs.releases, 16)
        limit = 14 if kind == 1 else 16
        assert kind in (1, 2) and reserved == 0 and old.count < count in [1 << n for n in range(limit + 1)]
        assert (start == 0 if kind == 1 else start - self.taken & WORD <= old.count) and old.start
        ring = Ring(verified(fd, size * count + -(size * count) % PAGE, FROZEN, OTHERS), 0, count)
        if kind == 1:
            assert not self.frames_next
            self.frames_next = self.arrived, ring
        else:
            assert not self.releases_next
            self.releases_next = start, ring

    def read(self):
        """The next frame of the ring, or None: section 10.3."""
        if not self.theirs or not self.theirs.has_line(self.head):
            return None
        ring = self.theirs.frames
        at, _ = self.theirs.line(self.head)
        kind, place, text_size, call, deadline, value, size, body = LINE.unpack(ring.bytes[at + 4:at + 64])
        status, length, handle = struct.unpack("<i", struct.pack("<I", value))[0], size + text_size, 0
        assert kind in (REPLY, MARK) and deadline == 0 and (kind == REPLY or place == text_size == value == size == 0)
        assert place in (NONE, INLINE, POOLED) and (status == 0 or place == NONE) and (text_size == 0 or status < 0)
        assert (size != 0) == (place == INLINE) and lines_of(length) <= ring.count // 4
        for position in range(self.head + 1, self.head + lines_of(length)):
            at, _ = self.theirs.line(position)
            body += ring.bytes[at + 64 - later_bytes(length):at + 64]
        if place == POOLED:
            handle, size, *zeros = struct.unpack("<QQQQ", body)
            assert handle != 0 < size and zeros == [0, 0]
        self.head += lines_of(length)
        if self.head - self.published >= ring.count // 4:
            self.publish()
        return Frame(kind, call, status, handle, size, place, body[:length], None)

    def publish(self):
        if self.published != self.head:
            self.published = self.head
            self.own.words[CONSUMED] = self.head & WORD
            self.wake(ROOM)

    def collect(self):
        """Moves all messages, in order, to the inbox: section 10.4. And the releases: section 10.6."""
        while True:
            found = self.read()
            if found and found.kind == MARK:
                while self.arrived < found.id and not self.is_over:
                    assert self.receive() or self.is_over, "a mark without its datagram"
                if self.frames_next and self.frames_next[0] == found.id:
                    self.theirs.frames, self.frames_next = self.frames_next[1], None
                while self.held and self.held[0][0] <= found.id:
                    self.inbox.append(self.held.popleft()[1])
            elif found:
                self.inbox.append(found)
            elif self.held:
                self.inbox.append(self.held.popleft()[1])
            elif self.is_over or not self.receive():
                break
        while self.theirs:
            if self.releases_next and self.releases_next[0] == self.taken & WORD:
                self.theirs.releases, self.releases_next = self.releases_next[1], None
            if not self.theirs.has_entry(self.taken):
                break
            at, _ = self.theirs.entry(self.taken)
            self.released.add(struct.unpack_from("<Q", self.theirs.releases.bytes, at + 8)[0])
            self.taken += 1
            self.own.words[TAKEN] = self.taken & WORD

    def arm(self, wants=0):  # section 10.5
        self.episode = self.episode + 1 & WORD >> 3
        self.own.words[ASLEEP] = self.episode << 3 | wants | 1
        fence()

    def wait(self, there, wants=0):
        looks = 0
        while not (self.collect() or there() or self.is_over):
            looks += 1
            if self.theirs and looks < 20:
                continue
            if self.theirs:
                self.publish()
                self.arm(wants)
                if there() or self.theirs.has_line(self.head) or self.theirs.has_entry(self.taken):
                    continue
            select.select([self.socket], [], [])
            if self.theirs:
                self.own.words[ASLEEP] = self.episode << 3

    def wake(self, what):
        fence()
        word = self.theirs.words[ASLEEP]
        if word & 1 and word & what and word != self.rung:
            self.send(frame(DOORBELL))
            self.rung, self.rings = word, self.rings + 1

    def has_room(self, lines):
        consumed = self.theirs.words[CONSUMED]
        assert self.tail - consumed & WORD <= self.tail - self.known & WORD, "a cursor without sense"
        self.known = consumed
        return (self.tail - consumed & WORD) + lines < LINES

    def write(self, kind, call=0, place=NONE, value=0, size=0, body=b""):
        lines = lines_of(len(body))
        if not self.has_room(lines):
            self.wait(lambda: self.has_room(lines), ROOM)
        step = later_bytes(len(body))
        for i in range(1, lines):
            at, tag = self.own.line(self.tail + i)
            part = body[32 + step * (i - 1):32 + step * i].ljust(step, b"\0")
            if step == 56:
                self.own.frames.bytes[at + 4:at + 64] = bytes(4) + part
                self.own.words[at // 4] = tag
            else:
                self.own.frames.bytes[at:at + 64] = part
        at, tag = self.own.line(self.tail + lines)
        self.own.words[at // 4] = tag - 1 & WORD  # what lies there is no frame
        at, tag = self.own.line(self.tail)
        self.own.frames.bytes[at + 4:at + 64] = LINE.pack(kind, place, 0, call, 0, value, size, body[:32])
        self.own.words[at // 4] = tag  # the one store that publishes
        self.tail += lines
        self.wake(FRAMES)

    def post(self, datagram, fd=None):
        """Sends a numbered datagram and its mark, or a datagram of a connection without rings."""
        if self.theirs and not self.has_room(1):
            self.wait(lambda: self.has_room(1), ROOM)
        self.send(datagram, fd)
        self.sent += 1
        if self.theirs:
            self.write(MARK, self.sent)

    def request(self, kind, call, method, payload=b"", handle=0):
        """Sends a CALL or ONEWAY. With a handle, the payload is in a descriptor that is sent along."""
        place, fd = (SEALED, memfd(payload)) if handle else (INLINE if payload else NONE, None)
        if self.theirs and not handle and len(payload) <= MOST:
            return self.write(kind, call, place, method, len(payload), payload)
        body = MESSAGE.pack(method, 0, 0, handle, len(payload), place, 0, 0, 0, 0)
        return self.post(frame(kind, body + (b"" if handle else payload), call, 1 if handle else 0), fd)

    def cancel(self, call):
        return self.write(CANCEL, call) if self.theirs else self.send(frame(CANCEL, call=call))

    def reply(self, wanted):
        """Waits for a call's REPLY: returns its status, and its text or payload, which is copied and given back."""
        self.wait(lambda: self.inbox)
        found = self.inbox.popleft()
        assert (found.kind, found.id) == (REPLY, wanted)
        self.seen[found.place] += 1
        return found.status, self.take(found) if found.handle else found.body

    def take(self, found):  # sections 8.2 and 11.2
        assert found.size <= BLOCK_MAX
        if found.place == SEALED:
            with verified(found.fd, found.size, FROZEN) as view:
                payload = bytes(view)
        else:
            (view, stride, count), index = self.arenas[found.handle >> 48], found.handle >> 24 & 0xffffff
            assert index < count and found.size <= stride and found.handle & 0xffffff
            payload = view[index * stride:index * stride + found.size]
        self.give_back(found.handle)
        return payload

    def give_back(self, handle):  # section 10.6
        if not self.theirs:
            return self.send(frame(RELEASE, RELEASED.pack(1, 0) + struct.pack("<Q", handle)))
        assert self.given - self.theirs.words[TAKEN] & WORD < RELEASES  # it takes at most BLOCKS_MAX
        at, tag = self.own.entry(self.given)
        struct.pack_into("<Q", self.own.releases.bytes, at + 8, handle)
        self.own.words[at // 4] = tag
        self.given += 1
        return self.wake(POOL if handle >> 48 else FRAMES)

    def call(self, method, payload=b"", call=1, handle=0):
        self.request(CALL, call, method, payload, handle)
        return self.reply(call)

    def await_release(self, handle):  # section 9
        self.wait(lambda: handle in self.released, POOL)
        self.released.remove(handle)

    def leave(self):
        self.send(frame(GOODBYE, FINAL.pack(0, 0, 0)))
        self.socket.close()
