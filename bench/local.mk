# SPDX-License-Identifier: MIT
# Measurements, run by hand; doc/measurements.md has their results.

# The part that every program shares: see bench/work.h.
noinst_LTLIBRARIES += bench/libwork.la
bench_libwork_la_CPPFLAGS = -D_GNU_SOURCE
bench_libwork_la_SOURCES = \
    bench/arguments.c \
    bench/arguments.h \
    bench/clock.c \
    bench/clock.h \
    bench/crew.c \
    bench/crew.h \
    bench/histogram.c \
    bench/histogram.h \
    bench/line.c \
    bench/line.h \
    bench/payload.c \
    bench/payload.h \
    bench/report.c \
    bench/report.h \
    bench/resident.c \
    bench/resident.h \
    bench/work.c \
    bench/work.h

noinst_PROGRAMS += bench/threshold
bench_threshold_CPPFLAGS = -D_GNU_SOURCE -I$(srcdir)/include
bench_threshold_LDFLAGS = $(AM_LDFLAGS) -static
bench_threshold_LDADD = transport/libsealane.la
bench_threshold_SOURCES = bench/threshold.c

noinst_PROGRAMS += bench/folios
bench_folios_CPPFLAGS = -D_GNU_SOURCE -I$(srcdir)/include
bench_folios_LDFLAGS = $(AM_LDFLAGS) -static
bench_folios_LDADD = transport/libsealane.la
bench_folios_SOURCES = bench/folios.c

# Each runs one cell; bench/run.py runs many.
noinst_PROGRAMS += bench/floors bench/sealane

bench_floors_CPPFLAGS = -D_GNU_SOURCE
bench_floors_LDADD = bench/libwork.la
bench_floors_SOURCES = \
    bench/floor_line.c \
    bench/floor_memfd.c \
    bench/floor_memory.c \
    bench/floor_ring.c \
    bench/floor_shared.c \
    bench/floor_socket.c \
    bench/floors.c \
    bench/floors.h

bench_sealane_CPPFLAGS = -D_GNU_SOURCE -I$(srcdir)/include
bench_sealane_LDFLAGS = $(AM_LDFLAGS) -static
bench_sealane_LDADD = bench/libwork.la transport/libsealane.la
bench_sealane_SOURCES = bench/auto.h bench/sealane.c

# Each case is one question; bench/run/memory.py runs them all.
noinst_PROGRAMS += bench/memory
bench_memory_CPPFLAGS = -D_GNU_SOURCE -I$(srcdir)/include -I$(srcdir)/tests
bench_memory_LDFLAGS = $(AM_LDFLAGS) -static
bench_memory_LDADD = bench/libwork.la transport/libsealane.la -lm
bench_memory_SOURCES = \
    bench/memory.c \
    bench/memory.h \
    bench/memory_fair.c \
    bench/memory_refusals.c \
    bench/memory_soak.c \
    bench/memory_speed.c \
    bench/memory_spikes.c \
    bench/memory_waste.c \
    tests/support/group.c \
    tests/support/group.h

# Many idle connections; bench/run/scale.py judges.
noinst_PROGRAMS += bench/scale
bench_scale_CPPFLAGS = -D_GNU_SOURCE -I$(srcdir)/include
bench_scale_LDFLAGS = $(AM_LDFLAGS) -static
bench_scale_LDADD = bench/libwork.la transport/libsealane.la
bench_scale_SOURCES = bench/scale.c

# One connection's memory after work, and one client's time beside another client; bench/run judges.
noinst_PROGRAMS += bench/footprint bench/neighbour
bench_footprint_CPPFLAGS = -D_GNU_SOURCE -I$(srcdir)/include
bench_footprint_LDFLAGS = $(AM_LDFLAGS) -static
bench_footprint_LDADD = bench/libwork.la transport/libsealane.la
bench_footprint_SOURCES = bench/auto.h bench/footprint.c bench/helper.c bench/helper.h

bench_neighbour_CPPFLAGS = -D_GNU_SOURCE -I$(srcdir)/include
bench_neighbour_LDFLAGS = $(AM_LDFLAGS) -static
bench_neighbour_LDADD = bench/libwork.la transport/libsealane.la
bench_neighbour_SOURCES = bench/neighbour.c bench/helper.c bench/helper.h

# ./dev trace makes it, in a build where the library counts its function calls.
EXTRA_PROGRAMS = bench/calls bench/instructions
bench_calls_CPPFLAGS = -D_GNU_SOURCE -I$(srcdir)/include
bench_calls_LDFLAGS = $(AM_LDFLAGS) -static
bench_calls_LDADD = transport/libsealane.la
bench_calls_SOURCES = bench/calls.c
CLEANFILES += bench/calls

# ./dev instructions makes it, in a build where the library pauses as bench/lockstep_pause.h says.
bench_instructions_CPPFLAGS = -D_GNU_SOURCE -I$(srcdir)/include
bench_instructions_LDFLAGS = $(AM_LDFLAGS) -static
bench_instructions_LDADD = transport/libsealane.la
bench_instructions_SOURCES = bench/auto.h bench/instructions.c bench/lockstep_pause.h
CLEANFILES += bench/instructions

EXTRA_DIST += \
    bench/run/__main__.py \
    bench/run/against.py \
    bench/run/calls.py \
    bench/run/cells.py \
    bench/run/commit.py \
    bench/run/compare.py \
    bench/run/distance.py \
    bench/run/document.py \
    bench/run/folios.py \
    bench/run/huge.py \
    bench/run/instructions.py \
    bench/run/machine.py \
    bench/run/memory.py \
    bench/run/plan.py \
    bench/run/plots.py \
    bench/run/promises.py \
    bench/run/scale.py \
    bench/run/series.py \
    bench/run/sizes.py \
    bench/run/tables.py \
    bench/run/targets.py

# bench/peers.mk makes programs of these, where the systems that they measure are installed.
EXTRA_DIST += \
    bench/peer.c \
    bench/peer.h \
    bench/peer_capnp.capnp \
    bench/peer_capnp.cpp \
    bench/peer_iceoryx.c \
    bench/peer_libqb.c \
    bench/peer_nanomsg.c \
    bench/peer_nng.c \
    bench/peer_sdbus.c \
    bench/peer_zeromq.c \
    bench/peers.mk

# Systems that are built from source: configure looks for them.
if HAVE_AERON
noinst_PROGRAMS += bench/peer_aeron
bench_peer_aeron_CPPFLAGS = -D_GNU_SOURCE $(AERON_CFLAGS)
bench_peer_aeron_LDADD = bench/libwork.la $(AERON_LIBS)
bench_peer_aeron_SOURCES = bench/peer_aeron.c
endif
if HAVE_ICEORYX2
noinst_PROGRAMS += bench/peer_iceoryx2
bench_peer_iceoryx2_CPPFLAGS = -D_GNU_SOURCE $(ICEORYX2_CFLAGS)
bench_peer_iceoryx2_LDADD = bench/libwork.la $(ICEORYX2_LIBS)
bench_peer_iceoryx2_SOURCES = bench/peer_iceoryx2.c
endif

# This program measures the machine, not the library.
noinst_PROGRAMS += bench/reuse
bench_reuse_CPPFLAGS = -D_GNU_SOURCE
bench_reuse_SOURCES = bench/reuse.c
bench_reuse_LDADD =
