#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The tests that use client.py.

Usage: calls.py PATH [socket | rings], where tests/protocol/echo_server listens; both kinds of connection unless one is
named. Prints a line for each behaviour that equals the document's, and one for each that cannot be tested; ends with an
exception at the first difference. Some waits are without end: a watchdog shows where.
"""
import errno
import faulthandler
import os
import select
import signal
import struct
import sys
import threading

from client import (ARENA, ASLEEP, BLOCKS, CALL, CANCEL, CONSUMED, FINAL, FROZEN, GOODBYE, INLINE, LINES, MARK, MESSAGE,
                    MOST, ONEWAY, OTHERS, PAGE, POOLED, RELEASE, REPLY, RETIRE, RETIRED, SEALED, WORD, Connection,
                    frame, hello, memfd, shared)

ECHO, SUM, REFUSE, NOTE, NOTED, HOLD, LET_GO, MAKE, UNKNOWN = range(1, 10)
BIG = bytes(range(256)) * 4096
PATTERN = bytes(range(251)) * 300


def found(what, holds, shown=""):
    assert holds, f"{what}: {shown}"
    print(f"ok: {what}", shown)


def calls(path, rings):
    """The behaviour of every connection."""
    it = Connection(path, rings)
    found(f"handshake, {'with' if rings else 'without'} rings", it.greet() == "echo" and bool(it.theirs) == rings)
    found("call with 32 bytes, reply", (reply := it.call(ECHO, BIG[:32])) == (0, BIG[:32]), reply)
    found("empty call, reply", (reply := it.call(ECHO)) == (0, b""), reply)
    found("inline call of 60 000 bytes, reply", it.call(ECHO, BIG[:60000]) == (0, BIG[:60000]))
    found("sealed call, sealed reply", it.call(ECHO, BIG, 2, handle=77) == (0, BIG) and it.seen[SEALED] == 1)
    it.await_release(77)
    found("sealed call, inline reply", it.call(SUM, BIG, 3, handle=77) == (0, struct.pack("<Q", sum(BIG))), sum(BIG))
    it.await_release(77)
    found("releases of both", not it.released)
    it.call(NOTED)
    for i, note in enumerate((b"a", b"b" * 5000, b"c", b"d" * 99, b"e" * 5000, b"f")):
        it.request(ONEWAY, 0, NOTE, note, i if i in (3, 4) else 0)
    found("one-way messages in order, inline and sealed", (reply := it.call(NOTED)) == (0, b"abcdef"), reply)
    it.request(CALL, 5, HOLD)
    it.cancel(5)
    it.request(CALL, 6, LET_GO)
    found("call that is cancelled", (reply := it.reply(5))[0] == -errno.ECANCELED and it.reply(6) == (0, b""), reply)
    it.request(ONEWAY, 0, UNKNOWN, b"for nobody")
    it.cancel(3)
    status, text = it.call(UNKNOWN, b"?", (1 << 64) - 1)
    found("call to an unknown method, past a late CANCEL", status == -errno.ENOSYS, text.decode())
    status, text = it.call(REFUSE, call=0)
    found("error with a text that was cleaned", (status, text) == (-errno.EACCES, b"?[31mnot you?"), text.decode())
    it.request(ONEWAY, 0, NOTE, b"z")
    it.leave()
    it, notes = Connection(path, rings), b""
    it.greet()
    while not notes:
        notes = it.call(NOTED)[1]
    found("messages before a goodbye are handled", notes == b"z", notes)
    it.leave()


def laps(path):
    """Frames of many sizes, around the rings, and sealed ones between them."""
    it = Connection(path, True)
    it.greet()
    for size in (33, 88, 89, 1000, MOST):
        found(f"call of {size} bytes in a ring, reply", it.call(ECHO, BIG[:size]) == (0, BIG[:size]))
    for i in range(3000):
        assert it.call(ECHO, BIG[:i % 200], i) == (0, BIG[:i % 200]), i
    found("3000 calls, none through the socket but for a larger ring of the server's",
          it.arrived == (it.theirs.frames.start == 0) and it.sent == 0 and it.tail > 10 * LINES < it.head,
          f"{it.tail // LINES} laps, rung {it.rings} times, woken {it.doorbells} times")
    for i in range(600):
        assert it.call(ECHO, BIG[:5000], 1, handle=i % 7 + 1) == (0, BIG[:5000]), i
        it.await_release(i % 7 + 1)
    found("600 sealed calls, 8 leases at most", it.seen[SEALED] == it.given == it.taken == 600
          and it.arrived - (it.theirs.frames.start == 0) == it.sent)
    it.request(CALL, 1, ECHO, BIG[:5000], handle=1)
    it.request(CALL, 2, ECHO, b"after it")
    found("a frame behind a mark", it.reply(1) == (0, BIG[:5000]) and it.reply(2) == (0, b"after it"))
    it.leave()


def sleepers(path):
    it = Connection(path, True)
    it.greet()
    rings = it.rings
    while it.rings == rings:  # the doorbell of an earlier call may still be under way: then it is awake again
        while not it.theirs.words[ASLEEP] & 1:
            pass
        assert it.call(ECHO, b"up") == (0, b"up")
    found("server that sleeps is rung", it.rings > rings)
    it.arm()
    doorbells = it.doorbells
    it.request(CALL, 1, ECHO, b"1")
    it.request(CALL, 2, ECHO, b"2")
    select.select([it.socket], [], [])
    while len(it.inbox) < 2 or it.doorbells == doorbells:
        it.collect()
    found("client that sleeps is rung, once", it.doorbells == doorbells + 1)
    it.own.words[ASLEEP] = it.episode << 3
    found("replies to a sleeping client", it.reply(1) == (0, b"1") and it.reply(2) == (0, b"2"))
    for i in range(5):  # replies for more than a ring, and none of them is read
        it.request(CALL, i, ECHO, BIG[:MOST])
        while it.theirs.words[CONSUMED] != it.tail & WORD:
            pass
    while it.theirs.words[ASLEEP] & 3 != 3:
        pass
    found("server that waits for room", all(it.reply(i) == (0, BIG[:MOST]) for i in range(5)))
    it.call(NOTED)
    os.kill(it.pid, signal.SIGSTOP)
    threading.Timer(0.05, os.kill, (it.pid, signal.SIGCONT)).start()
    for i in range(20):
        it.request(ONEWAY, 0, NOTE, BIG[i:i + MOST])
    found("client that waits for room", (reply := it.call(NOTED)) == (0, BIG[:20]), reply)
    it.leave()


def arenas(path):
    it = Connection(path, True)
    it.greet()
    for i in range(2000):
        size = 1000 * (i % 70 + 1)
        assert it.call(MAKE, struct.pack("<I", size), i) == (0, PATTERN[:size]), size
    assert it.call(MAKE, struct.pack("<I", 8 << 20)) == (0, (bytes(range(251)) * 33421)[:8 << 20])
    if it.seen[POOLED]:
        found("pooled replies, read where they lie", True, f"{it.seen[POOLED]}, in {len(it.arenas)} arenas")
    else:
        print("skip: the server sends no pooled payloads")
    if not it.accept & POOLED:
        print("skip: the server takes no pooled payloads")
        return
    view, fd = shared(1 << 20)
    it.post(frame(ARENA, BLOCKS.pack(3, 16, 65536, len(view)), fds=1), fd)
    for i in range(1, 1000):
        handle, size, method = 3 << 48 | i % 16 << 24 | i, 1000 + i, ECHO if i % 9 else SUM
        view[i % 16 * 65536:i % 16 * 65536 + size] = BIG[i:i + size]
        it.write(CALL, i, POOLED, method, 0, struct.pack("<QQ", handle, size))
        assert it.reply(i) == (0, BIG[i:i + size] if i % 9 else struct.pack("<Q", sum(BIG[i:i + size])))
        it.await_release(handle)
    found("999 pooled calls in 16 blocks", not it.released)
    it.post(frame(RETIRE, RETIRED.pack(3, 0)))
    view, fd = shared(PAGE)
    view[:5] = b"again"
    it.post(frame(ARENA, BLOCKS.pack(3, 1, PAGE, len(view)), fds=1), fd)
    it.write(CALL, 1, POOLED, ECHO, 0, struct.pack("<QQ", 3 << 48 | 1, 5))
    found("another arena of the same number", (reply := it.reply(1)) == (0, b"again"), reply)
    it.leave()


def pooled(it, handle=3 << 48 | 1, size=1):
    it.write(CALL, 1, POOLED, ECHO, 0, struct.pack("<QQ", handle, size))


def arena(it, number=3, count=2, stride=64, size=PAGE, seals=OTHERS):
    it.post(frame(ARENA, BLOCKS.pack(number, count, stride, size), fds=1), shared(PAGE, seals)[1])


def absurd_cursor(it):
    it.own.words[CONSUMED], it.publish = 99999, lambda: None
    for i in range(6):
        it.request(CALL, i, ECHO, BIG[:3000])


SEALED_CALL = frame(CALL, MESSAGE.pack(ECHO, 0, 0, 5, 1, SEALED, 0, 0, 0, 0), 1, 1)
POOLED_CALL = frame(CALL, MESSAGE.pack(ECHO, 0, 0, 3 << 48 | 1, 1, POOLED, 0, 0, 0, 0), 1)
LIES = (
    ("a second HELLO", lambda it: it.send(hello())),
    ("a memfd that can grow", lambda it: it.post(SEALED_CALL, memfd(b"x", FROZEN & ~4))),
    ("a memfd that is too long", lambda it: it.post(SEALED_CALL, memfd(b"xx"))),
    ("a descriptor that was not declared", lambda it: it.send(frame(CANCEL), memfd(b"x"))),
    ("a REPLY to nothing", lambda it: it.post(frame(REPLY, MESSAGE.pack(*[0] * 10), 1))),
    ("a release of nothing", lambda it: it.give_back(5)),
    ("a pooled payload in a datagram", lambda it: it.post(POOLED_CALL)))
LIES_IN_RINGS = (
    ("a type that does not belong in a ring", lambda it: it.write(RELEASE)),
    ("a sealed payload in a ring", lambda it: it.write(CALL, 1, SEALED, ECHO, 5, b"12345")),
    ("a size beyond a quarter of the ring", lambda it: it.write(CALL, 1, INLINE, ECHO, MOST + 1, b"12345")),
    ("a mark without its datagram", lambda it: it.write(MARK, 1)),
    ("an id where there is no call", lambda it: it.write(ONEWAY, 1)),
    ("a cursor beyond the written position", absurd_cursor),
    ("a release of nothing pooled", lambda it: [it.give_back(1 << 48 | 1), it.write(CANCEL)]),
    ("a payload in no arena", pooled),
    ("a payload beyond the last block", lambda it: [arena(it), pooled(it, 3 << 48 | 2 << 24 | 1)]),
    ("a payload larger than a block", lambda it: [arena(it), pooled(it, size=65)]),
    ("a payload in an arena that was retired",
     lambda it: [arena(it), it.post(frame(RETIRE, RETIRED.pack(3, 0))), pooled(it)]),
    ("an arena that was announced twice", lambda it: [arena(it), arena(it)]),
    ("an arena that is not as large as it says", lambda it: arena(it, size=2 * PAGE)),
    ("an arena that can grow", lambda it: arena(it, seals=OTHERS & ~4)),
    ("a RETIRE of nothing", lambda it: it.post(frame(RETIRE, RETIRED.pack(3, 0)))))


def refusals(path):
    final = Connection(path, greeting=hello(b"other")).greet()
    found("refusal of another service", final[0] == -errno.ENOENT, final[1])
    final = Connection(path, greeting=hello(versions=(2, 9))).greet()
    found("refusal of later versions", final[0] == -errno.EPROTONOSUPPORT, final[1])


def lies(path, rings):
    for what, tell in LIES + (LIES_IN_RINGS if rings else ()):
        it = Connection(path, rings)
        it.greet()
        tell(it)
        it.wait(lambda: False)
        it.socket.close()
        found(f"fault: {what}", it.final[0] == -errno.EPROTO, it.final[1])


def main(path, kinds):
    faulthandler.dump_traceback_later(120, exit=True)
    refusals(path)
    if "socket" in kinds:
        calls(path, False)
        lies(path, False)
    if os.uname().machine != "x86_64":
        print("skip: rings need release stores and fences, which python has on x86-64 only")
    elif "rings" in kinds:
        calls(path, True)
        laps(path)
        sleepers(path)
        arenas(path)
        lies(path, True)


main(sys.argv[1], sys.argv[2:] or ("socket", "rings"))
