#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A Sealane client in python3's standard library, written from doc/PROTOCOL.md alone.

Usage: client.py PATH, where tests/protocol/echo_server listens. Prints a line for each thing that was found as the
document says, and ends with an exception at the first that was not.
"""
import array
import ctypes
import errno
import fcntl
import mmap
import os
import socket
import struct
import sys

HELLO, GOODBYE, CALL, ONEWAY, REPLY, RELEASE, CANCEL = range(1, 8)
NONE, INLINE, SEALED = 0, 1, 4
HEAD, LIMITS, FINAL, MESSAGE, RELEASED = map(struct.Struct, (  # sections 5 and 5.1 to 5.4
    "<BBHIQ", "<4sHHQIIQQIIIB3s", "<iHH", "<IiQQQBBHHH", "<II"))
SEALS = 1 | 2 | 4 | 8  # SEAL, SHRINK, GROW, WRITE
FDS_MOST, TMPFS, INLINE_MAX, BLOCK_MAX = 253, 0x01021994, 65536, 1 << 28


def frame(kind, body=b"", call=0, fds=0):
    return HEAD.pack(kind, fds, 0, HEAD.size + len(body), call) + body


def hello(service=b"", versions=(1, 1)):
    limits = LIMITS.pack(b"SEAL", *versions, 0, INLINE | SEALED, INLINE_MAX, BLOCK_MAX, 1 << 30, 64, 8, 1,
                         len(service), bytes(3))
    return frame(HELLO, limits + service)


def request(kind, call, method, payload=b"", handle=0):
    """CALL or ONEWAY. With a handle, the payload is in a descriptor that is sent along."""
    place = SEALED if handle else INLINE if payload else NONE
    body = MESSAGE.pack(method, 0, 0, handle, len(payload), place, 0, 0, 0, 0)
    return frame(kind, body + (payload if place == INLINE else b""), call, 1 if handle else 0)


def memfd(payload, seals=SEALS):  # section 8.1
    fd = os.memfd_create("client", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, payload)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def file_system(fd):  # section 8.2, step 7: the first member of struct statfs, a long
    buf = (ctypes.c_long * 64)()
    assert ctypes.CDLL(None).fstatfs(fd, buf) == 0
    return buf[0]


class Connection:
    def __init__(self, path, service=b"echo", greeting=None):
        self.released = set()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        self.socket.settimeout(60)
        self.socket.connect(path)
        credentials = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
        assert struct.unpack("iII", credentials)[1] in (0, os.geteuid()), "a stranger's server"
        self.send(greeting or hello(service))

    def send(self, datagram, fd=None):
        parts = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        self.socket.sendmsg([datagram], parts, socket.MSG_NOSIGNAL)
        if fd is not None:
            os.close(fd)

    def receive(self):
        """The next frame, checked as section 5 says: type, id, body, descriptors. None: the end."""
        while True:
            try:
                data, parts, flags, _ = self.socket.recvmsg(HEAD.size + 40 + INLINE_MAX,
                                                            socket.CMSG_SPACE(4 * FDS_MOST), socket.MSG_CMSG_CLOEXEC)
                break
            except ConnectionResetError:
                continue
        fds = array.array("i", b"".join(part for _, kind, part in parts if kind == socket.SCM_RIGHTS))
        if not data:
            return None
        kind, fds_said, reserved, size, call = HEAD.unpack_from(data)
        assert not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) and size == len(data) and reserved == 0
        assert fds_said == len(fds) and HELLO <= kind <= CANCEL and (call == 0 or kind in (CALL, REPLY, CANCEL))
        return kind, call, data[HEAD.size:], list(fds)

    def greet(self):  # section 6
        kind, _, body, _ = self.receive()
        if kind == GOODBYE:
            self.socket.close()
            return self.final(body)
        magic, lowest, highest, _, accept, inline_max, *_, service_size, reserved = LIMITS.unpack_from(body)
        assert kind == HELLO and magic == b"SEAL" and lowest <= 1 <= highest and reserved == bytes(3)
        assert len(body) == LIMITS.size + service_size and inline_max <= 131072
        return body[LIMITS.size:].decode()

    @staticmethod
    def final(body):
        reason, text_size, reserved = FINAL.unpack_from(body)
        assert reserved == 0 and len(body) == FINAL.size + text_size
        return reason, body[FINAL.size:].decode()

    def note_release(self, body):
        count, reserved = RELEASED.unpack_from(body)
        assert reserved == 0 and 1 <= count <= 64 and len(body) == RELEASED.size + 8 * count
        self.released |= set(struct.unpack_from(f"<{count}Q", body, RELEASED.size))

    def reply(self, wanted):
        """Waits for a call's REPLY: its status, and its text or payload, which is copied and given back."""
        kind, call, body, fds = self.receive()
        while kind == RELEASE:
            self.note_release(body)
            kind, call, body, fds = self.receive()
        method, status, deadline, handle, size, place, hugetlb, zero, text_size, zeros = MESSAGE.unpack_from(body)
        rest = body[MESSAGE.size:]
        assert (kind, call) == (REPLY, wanted) and (method, deadline, hugetlb, zero, zeros) == (0, 0, 0, 0, 0)
        assert (place == NONE) == (size == 0) and (place == SEALED) == (handle != 0) == (len(fds) == 1)
        assert len(rest) == text_size + (size if place == INLINE else 0) and (text_size == 0 or status < 0)
        return status, self.take(fds[0], handle, size) if place == SEALED else rest

    def take(self, fd, handle, size):  # section 8.2
        assert size <= BLOCK_MAX and fcntl.fcntl(fd, fcntl.F_GET_SEALS) & SEALS == SEALS
        assert file_system(fd) == TMPFS
        state = os.fstat(fd)
        assert state.st_size == size and state.st_blocks * 512 >= size
        with mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ) as view:
            payload = bytes(view)
        os.close(fd)
        self.send(frame(RELEASE, RELEASED.pack(1, 0) + struct.pack("<Q", handle)))
        return payload

    def await_release(self, handle):  # section 9
        while handle not in self.released:
            kind, _, body, _ = self.receive()
            assert kind == RELEASE
            self.note_release(body)
        self.released.remove(handle)

    def await_end(self):
        """A connection that ends with a GOODBYE: its reason and text."""
        kind, _, body, _ = self.receive()
        assert kind == GOODBYE and self.receive() is None
        self.socket.close()
        return self.final(body)


def found(what, holds, shown=""):
    assert holds, f"{what}: {shown}"
    print(f"ok: {what}", shown)


def calls(path):
    connection, big = Connection(path), bytes(range(256)) * 4096
    found("handshake with the service", connection.greet() == "echo")
    connection.send(request(CALL, 1, 1, b"hello"))
    found("inline call, reply", (reply := connection.reply(1)) == (0, b"hello"), reply)
    connection.send(request(CALL, 1, 1))
    found("empty call, reply", (reply := connection.reply(1)) == (0, b""), reply)
    connection.send(request(CALL, 2, 1, big, handle=77), memfd(big))
    found("sealed call, sealed reply", connection.reply(2) == (0, big), f"{len(big)} bytes")
    connection.await_release(77)
    connection.send(request(CALL, 3, 2, big, handle=77), memfd(big))
    found("sealed call, inline reply", connection.reply(3) == (0, struct.pack("<Q", sum(big))), sum(big))
    connection.await_release(77)
    found("RELEASE of both", not connection.released)
    connection.send(request(ONEWAY, 0, 9, b"for nobody"))
    connection.send(frame(CANCEL, call=3))
    connection.send(request(CALL, (1 << 64) - 1, 9, b"?"))
    status, text = connection.reply((1 << 64) - 1)
    found("call to an unknown method, past a late CANCEL", status == -errno.ENOSYS, text.decode())
    connection.send(request(CALL, 0, 3))
    status, text = connection.reply(0)
    found("error with a text that was cleaned", (status, text) == (-errno.EACCES, b"?[31mnot you?"), text.decode())
    connection.send(frame(GOODBYE, FINAL.pack(0, 0, 0)))
    connection.socket.close()


def refusals(path):
    reason, text = Connection(path, b"other").greet()
    found("refusal of another service", reason == -errno.ENOENT, text)
    reason, text = Connection(path, greeting=hello(versions=(2, 9))).greet()
    found("refusal of later versions", reason == -errno.EPROTONOSUPPORT, text)
    for what, datagram, fd in [
            ("a second HELLO", hello(), None),
            ("a memfd that can grow", request(CALL, 1, 1, b"x", handle=5), memfd(b"x", SEALS & ~4)),
            ("a memfd that is too short", request(CALL, 1, 1, b"xx", handle=5), memfd(b"x")),
            ("a descriptor that was not declared", request(CALL, 1, 1, b"x"), memfd(b"x")),
            ("a REPLY to nothing", frame(REPLY, MESSAGE.pack(0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 1), None),
            ("a RELEASE of nothing", frame(RELEASE, RELEASED.pack(1, 0) + bytes([1] * 8)), None)]:
        connection = Connection(path)
        connection.greet()
        connection.send(datagram, fd)
        reason, text = connection.await_end()
        found(f"fault: {what}", reason == -errno.EPROTO, text)


calls(sys.argv[1])
refusals(sys.argv[1])
