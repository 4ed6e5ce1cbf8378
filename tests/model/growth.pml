/* SPDX-License-Identifier: MIT */
/*
 * A model of a ring that is followed by a larger one, for Spin: a writer, a reader that may sleep, the socket between
 * them, and memory that shows stores late. It answers: is a frame ever lost, read twice or overtaken when the ring
 * changes, and can the reader sleep for ever although a frame waits for it? doorbell.pml has the parts that do not
 * depend on the change. tests/model/check.sh lists the properties that are checked with this model, and `./dev model`
 * runs them. The code: transport/lane/ring_growth.c, receive.c, rings.c.
 *
 * The writer does, in any order:
 *
 *     publish     store text and tag of the next line (release). From then on it owes a check: full fence, load the
 *                 reader's asleep word; if that is odd, and not the one for which it rang last: send a DOORBELL
 *     say         send a MESSAGE through the socket, then publish its mark, a line that has the number of the datagram
 *     grow        once: send a RING through the socket, publish its mark in the line of the old ring that was kept for
 *                 it, and go on in the new ring. Positions go on. The new ring's tags are 0
 *     die         at any step (CRASH). The kernel closes the socket after all its stores
 *
 * The reader does:
 *
 *     read        the next line of the ring in use, and store `consumed`. At a mark it takes datagrams until it has the
 *                 one that the mark names; at the mark of the RING it changes to the new ring
 *     receive     a datagram, when it has found the ring empty. A MESSAGE that comes before its mark is held until the
 *                 ring was found empty once more. A RING that comes before its mark is remembered
 *     sleep       store asleep = odd; full fence; look once more at the ring in use; no frame there: poll() until there
 *                 is a datagram
 *
 * With RELEASES the ring is a release ring. It has no marks: the RING names the first position that lies in the new
 * ring, and the reader changes to it when it has the RING and has read everything before that position.
 *
 * Each line and each MESSAGE has the number of the frame, so that the reader knows which one comes next. When no step
 * is possible any more, the judge checks: the writer has sent everything, and the reader has read every line, in both
 * rings, and sleeps; or the writer is dead, and the reader has read everything that was sent, and has ended.
 *
 * Memory and steps are as in doorbell.pml. The writer does not sleep: doorbell.pml has the side that waits for room,
 * and positions and `consumed` do not change when the ring does.
 *
 * Limits:
 *
 *     FRAMES, MESSAGES     frames in all, and how many of them may go through the socket
 *     OLD, NEW             lines of the two rings
 *     BUFFER, QUEUE        entries of a store buffer; datagrams that the socket holds
 *
 * Variants: RELEASES, CRASH, WEAK (as in doorbell.pml).
 *
 * Faults, each of which Spin must find:
 *
 *     MARK_FIRST           publishes the mark before it sends the RING
 *     NO_KEPT_LINE         does not keep a line of the old ring for the mark
 *     NO_MARK_LOOK         publishes the mark and owes no check for it
 *     NO_NEW_LOOK          publishes in the new ring and owes no check for it
 *     SWITCH_AT_ONCE       changes to the new ring when the RING arrives
 *     SWITCH_AT_ANY_MARK   changes at the first mark after the RING has arrived, whichever datagram that names
 *     NO_SWITCH            never changes
 *     LOOKS_AT_OLD         looks at the old ring before it sleeps, though it has changed
 *     HANDS_OVER_EARLY     does not look at the ring again before it takes a MESSAGE that came before its mark
 *     UNORDERED_SOCKET     sends a datagram before its earlier stores are there
 *     NO_SLEEP_FENCE       does not fence between raising the flag and the second look
 *     RELAXED_TAG          stores the tag without release (WEAK)
 */
#ifndef FRAMES
#define FRAMES 4
#endif
#ifndef MESSAGES
#define MESSAGES 0
#endif
#ifndef OLD
#define OLD 2
#endif
#ifndef NEW
#define NEW 4
#endif
#ifndef BUFFER
#define BUFFER 2
#endif
#ifndef QUEUE
#define QUEUE 3
#endif

#define WRITER 0
#define READER 1

/* A line's text: the number of a frame, or MARK and the number of a datagram. */
#define MARK 64

/* --- memory and socket --- */

mtype = { ASLEEP, CONSUMED, TAG, TEXT };
mtype = { DOORBELL, MESSAGE, RING };

byte asleep, consumed; /* of the reader's outbox */
byte tag[OLD + NEW];   /* the writer's: the old ring, and behind it the new one */
byte text[OLD + NEW];

chan buffer[2] = [BUFFER] of { mtype, byte, byte, byte }; /* word, line, text, value */
chan socket = [QUEUE] of { mtype, byte };
bool is_closed; /* the writer's end of the socket is closed */

inline commit(word, line, words, value) {
    if
    :: word == ASLEEP -> asleep = value
    :: word == CONSUMED -> consumed = value
#ifdef WEAK
    :: word == TAG -> tag[line] = value
    :: word == TEXT -> text[line] = words
#else
    :: word == TAG -> text[line] = words; tag[line] = value
#endif
    fi;
    word = 0;
    line = 0;
    words = 0;
    value = 0
}

proctype drain(byte me) {
    mtype word;
    byte line, words, value;

    do
    :: d_step { buffer[me]?word,line,words,value -> commit(word, line, words, value) }
#ifdef WEAK
    :: d_step { buffer[me]??TEXT,line,words,value -> word = TEXT; commit(word, line, words, value) }
    :: d_step { buffer[me]??ASLEEP,line,words,value -> word = ASLEEP; commit(word, line, words, value) }
#ifdef RELAXED_TAG
    :: d_step { buffer[me]??TAG,line,words,value -> word = TAG; commit(word, line, words, value) }
#endif
#endif
    od
}

#define fence(me) empty(buffer[me])

/* --- the line of a position --- */

#define line_of(position, in_new) (in_new -> OLD + (position) % NEW : (position) % OLD)
#define tag_of(position, in_new) (in_new -> (position) / NEW + 1 : (position) / OLD + 1)

/* --- the private state of each side; global only for the judge --- */

byte sent;     /* frames */
byte tail;     /* lines */
bool has_grown;

byte handled;  /* frames */
byte head;     /* lines */
bool has_moved;
bool is_asleep, has_ended;
#ifdef CRASH
bool is_dying;
#endif

/* --- the writer --- */

#if defined(RELEASES) || defined(NO_KEPT_LINE)
#define KEPT 0
#else
#define KEPT 1
#endif

/* The kernel makes earlier stores visible to the receiver of a datagram. */
#ifdef UNORDERED_SOCKET
#define can_send nfull(socket)
#else
#define can_send (nfull(socket) && fence(WRITER))
#endif

#define has_room (tail - consumed < (has_grown -> NEW : OLD - KEPT))

inline store_line(words) {
#ifdef WEAK
    buffer[WRITER]!TEXT,line_of(tail, has_grown),words,0;
#endif
    buffer[WRITER]!TAG,line_of(tail, has_grown),words,tag_of(tail, has_grown);
    tail++
}

inline publish() {
    atomic {
        sent < FRAMES && has_room ->
            store_line(sent + 1);
            sent++;
#ifdef NO_NEW_LOOK
            owes_look = owes_look || !has_grown
#else
            owes_look = true
#endif
    }
}

inline say() {
    atomic {
        sent < FRAMES && messages < MESSAGES && has_room && can_send ->
            socket!MESSAGE,sent + 1;
            sent++;
            messages++;
            datagrams++
    };
    atomic {
        store_line(MARK + datagrams);
        owes_look = true
    }
}

#ifdef RELEASES
inline grow() {
    atomic {
        !has_grown && can_send ->
            socket!RING,tail;
            has_grown = true
    }
}
#else
inline grow() {
#ifndef MARK_FIRST
    atomic {
        !has_grown && can_send ->
            socket!RING,0;
            datagrams++
    };
#endif
    atomic {
#ifdef MARK_FIRST
        !has_grown && nfull(socket) -> datagrams++;
#endif
        store_line(MARK + datagrams);
        has_grown = true;
#ifndef NO_MARK_LOOK
        owes_look = true
#endif
    }
#ifdef MARK_FIRST
    ;
    socket!RING,0
#endif
}
#endif

/* A doorbell that finds the socket full is not needed: the reader has a datagram to receive. */
inline look() {
    owes_look ->
        fence(WRITER);
        owes_look = false;
        atomic {
            seen = asleep;
            if
            :: seen % 2 == 1 && seen != rung -> rung = seen
            :: else -> seen = 0
            fi
        };
        if
        :: atomic { seen != 0 && nfull(socket) -> socket!DOORBELL,0; seen = 0 }
        :: atomic { seen != 0 && full(socket) -> seen = 0 }
        :: seen == 0
        fi
}

proctype writer() {
    byte messages, datagrams, rung, seen;
    bool owes_look;

    {
        do
        :: publish()
        :: say()
        :: grow()
        :: look()
        od
    }
#ifdef CRASH
    unless {
        is_dying;
        fence(WRITER);
        is_closed = true
    }
#endif
}

#ifdef CRASH
active proctype killer() {
    if
    :: is_dying = true
    :: true
    fi
}
#endif

/* --- the reader --- */

#define frame_is_there (tag[line_of(head, has_moved)] == tag_of(head, has_moved))

#ifdef LOOKS_AT_OLD
#define second_look_finds (tag[line_of(head, false)] == tag_of(head, false))
#else
#define second_look_finds frame_is_there
#endif
#ifdef NO_SLEEP_FENCE
#define sleep_fence() skip
#else
#define sleep_fence() fence(READER)
#endif

inline take(number) {
    assert(number == handled + 1); /* otherwise a frame was lost, read twice, or overtaken */
    handled++
}

#ifdef RELEASES
inline follow() {
    if
    :: announced && !has_moved && head == from -> has_moved = true
    :: else
    fi
}
#else
inline follow() {
    skip
}
#endif

/* Receives one datagram. `number` is the number of the newest one that has a number. */
inline receive() {
    if
    :: socket?DOORBELL,_
    :: socket?MESSAGE,words -> number++; held = words; words = 0
#ifdef RELEASES
#ifdef SWITCH_AT_ONCE
    :: socket?RING,from -> has_moved = true
#else
    :: socket?RING,from -> announced = 1; follow()
#endif
#else
    :: socket?RING,_ ->
        number++;
        announced = number;
#ifdef SWITCH_AT_ONCE
        has_moved = true
#endif
#endif
    fi
}

inline hand_over() {
    if
    :: held != 0 -> take(held); held = 0
    :: else
    fi
}

#ifdef NO_SWITCH
#define is_place_to_move false
#else
#ifdef SWITCH_AT_ANY_MARK
#define is_place_to_move (announced != 0)
#else
#define is_place_to_move (announced == words - MARK)
#endif
#endif

/* Passes a mark, whose text is in `words`. Takes the datagram, if it has not come yet. */
inline pass_mark() {
    assert(words - MARK <= number + 1);
    if
    :: words - MARK == number + 1 ->
        assert(held == 0);
        mark = words;
        do
        :: number < mark - MARK ->
            assert(nempty(socket)); /* otherwise: a mark without its datagram */
            receive()
        :: else -> break
        od;
        words = mark;
        mark = 0
    :: else
    fi;
    head++;
    if
    :: is_place_to_move -> has_moved = true; announced = 0
    :: else
    fi;
    if
    :: words - MARK == number -> hand_over()
    :: else
    fi
}

inline read() {
    atomic {
        frame_is_there ->
            words = text[line_of(head, has_moved)];
            if
            :: words < MARK -> take(words); head++; follow()
            :: else -> pass_mark()
            fi;
            words = 0;
            buffer[READER]!CONSUMED,0,0,head
    }
}

/* The reader has found the ring empty. */
#ifdef HANDS_OVER_EARLY
#define found_empty() skip
#else
#define found_empty() hand_over()
#endif

proctype reader() {
    byte episode, number, announced, held, words, mark;
#ifdef RELEASES
    byte from;
#endif

    do
    :: read()
    :: atomic { !frame_is_there -> found_empty() };
        if
        :: atomic {
            nempty(socket) -> receive();
#ifdef HANDS_OVER_EARLY
            hand_over()
#endif
            }
        :: skip -> /* the reader may sleep */
            atomic { episode = episode + 2; buffer[READER]!ASLEEP,0,0,episode + 1 };
            sleep_fence();
            if
            :: atomic { second_look_finds -> buffer[READER]!ASLEEP,0,0,episode }
            :: atomic { !second_look_finds -> is_asleep = true };
                if /* poll() */
                :: atomic { nempty(socket) -> is_asleep = false; buffer[READER]!ASLEEP,0,0,episode; receive() }
                :: atomic { empty(socket) && is_closed -> is_asleep = false }; break
                fi
            fi
        fi
    od;
    do /* the writer is gone: everything that it stored is there */
    :: read()
    :: atomic { !frame_is_there -> hand_over(); has_ended = true }; break
    od
}

/* --- the judge --- */

active proctype judge() {
    timeout ->
        d_step {
            assert(handled == sent && head == tail);
            if
            :: is_closed -> assert(has_ended)
            :: else -> assert(is_asleep && sent == FRAMES && has_grown && has_moved)
            fi
        }
}

init {
    atomic {
        run drain(WRITER);
        run drain(READER);
        run writer();
        run reader()
    }
}
