# SPDX-License-Identifier: MIT
# Fuzz targets, for clang's libFuzzer: configure with CC=clang --enable-fuzz, or use ./dev fuzz.

if ENABLE_FUZZ
noinst_PROGRAMS += fuzz/fuzz_conn fuzz/fuzz_frame fuzz/fuzz_line
fuzz_fuzz_conn_LDADD = transport/libtransport.la
fuzz_fuzz_conn_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer \
    -Wl,--wrap=clock_gettime,--wrap=poll,--wrap=ppoll,--wrap=epoll_wait,--wrap=close
fuzz_fuzz_conn_SOURCES = \
    fuzz/cabinet.c \
    fuzz/cabinet.h \
    fuzz/clock.c \
    fuzz/clock.h \
    fuzz/evil_acts.c \
    fuzz/evil_peer.c \
    fuzz/evil_peer.h \
    fuzz/fuzz_conn.c \
    fuzz/host.c \
    fuzz/host.h \
    fuzz/host_acts.c \
    fuzz/input.h \
    fuzz/scenes.c \
    fuzz/speaker.c \
    fuzz/speaker.h \
    tests/support/holdings.c \
    tests/support/holdings.h
fuzz_fuzz_frame_LDADD = transport/libtransport.la
fuzz_fuzz_frame_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_frame_SOURCES = fuzz/fuzz_frame.c tests/support/frame_oracle.h
fuzz_fuzz_line_LDADD = transport/libtransport.la
fuzz_fuzz_line_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_line_SOURCES = fuzz/fuzz_line.c tests/support/line_oracle.h
endif

EXTRA_DIST += \
    doc/fuzzing.md \
    fuzz/corpus/conn.hex \
    fuzz/corpus/frame/arena \
    fuzz/corpus/frame/call-inline \
    fuzz/corpus/frame/call-sealed \
    fuzz/corpus/frame/cancel \
    fuzz/corpus/frame/doorbell \
    fuzz/corpus/frame/goodbye \
    fuzz/corpus/frame/goodbye-refusal \
    fuzz/corpus/frame/hello-client \
    fuzz/corpus/frame/hello-clock \
    fuzz/corpus/frame/hello-outbox \
    fuzz/corpus/frame/hello-server \
    fuzz/corpus/frame/oneway-empty \
    fuzz/corpus/frame/oneway-hugetlb \
    fuzz/corpus/frame/oneway-padded \
    fuzz/corpus/frame/release \
    fuzz/corpus/frame/reply-error \
    fuzz/corpus/frame/reply-inline \
    fuzz/corpus/frame/retire \
    fuzz/corpus/frame/ring-frames \
    fuzz/corpus/frame/ring-releases \
    fuzz/corpus/line/line-call \
    fuzz/corpus/line/line-cancel \
    fuzz/corpus/line/line-mark \
    fuzz/corpus/line/line-oneway \
    fuzz/corpus/line/line-oneway-pooled \
    fuzz/corpus/line/line-reply \
    fuzz/corpus/line/line-reply-error \
    fuzz/reached.py \
    fuzz/seeds.py \
    fuzz/seeds_conn.py
