# SPDX-License-Identifier: MIT
# The library.

# Every object of the library, as an archive that also shows hidden symbols: the tests link this one.
noinst_LTLIBRARIES += transport/libtransport.la
transport_libtransport_la_CPPFLAGS = -D_GNU_SOURCE -DSYSCONFDIR='"$(sysconfdir)"' -I$(srcdir)/include \
    -iquote $(srcdir)/transport
# -fexceptions: a C++ exception that leaves a handler runs the cleanup attributes of the functions below it.
transport_libtransport_la_CFLAGS = $(AM_CFLAGS) -fexceptions
transport_libtransport_la_SOURCES = \
    transport/util/arith.h \
    transport/util/fifo.h \
    transport/util/id_table.c \
    transport/util/id_table.h \
    transport/util/list.h \
    transport/util/slot_table.h \
    transport/sys/single_thread.h \
    transport/sys/caches.c \
    transport/sys/caches.h \
    transport/sys/cgroup.c \
    transport/sys/cgroup.h \
    transport/sys/clock.c \
    transport/sys/clock.h \
    transport/sys/cred.c \
    transport/sys/cred.h \
    transport/sys/failure.c \
    transport/sys/failure.h \
    transport/sys/fdpass.c \
    transport/sys/fdpass.h \
    transport/sys/file.c \
    transport/sys/file.h \
    transport/sys/fork_guard.c \
    transport/sys/fork_guard.h \
    transport/sys/heap.c \
    transport/sys/heap.h \
    transport/sys/idmap.c \
    transport/sys/idmap.h \
    transport/sys/limits.c \
    transport/sys/limits.h \
    transport/sys/map.c \
    transport/sys/map.h \
    transport/sys/misuse.c \
    transport/sys/misuse.h \
    transport/sys/memfd.c \
    transport/sys/memfd.h \
    transport/sys/meminfo.c \
    transport/sys/meminfo.h \
    transport/sys/numa.c \
    transport/sys/numa.h \
    transport/sys/path.c \
    transport/sys/path.h \
    transport/sys/disposal.c \
    transport/sys/disposal.h \
    transport/sys/reaper.c \
    transport/sys/reaper.h \
    transport/sys/inject.c \
    transport/sys/inject.h \
    transport/sys/shared_word.h \
    transport/sys/shared_words.h \
    transport/sys/socket.c \
    transport/sys/socket.h \
    transport/sys/thread_id.c \
    transport/sys/thread_id.h \
    transport/sys/wait.c \
    transport/sys/wait.h \
    transport/sys/worker.c \
    transport/sys/worker.h \
    transport/wire/frame.c \
    transport/wire/frame.h \
    transport/wire/handle.h \
    transport/wire/line.c \
    transport/wire/line.h \
    transport/memory/admission.c \
    transport/memory/admission.h \
    transport/memory/arena.c \
    transport/memory/arena.h \
    transport/memory/arena_ids.c \
    transport/memory/arena_ids.h \
    transport/memory/calibration.c \
    transport/memory/calibration.h \
    transport/memory/census.c \
    transport/memory/census.h \
    transport/memory/pool_arenas.c \
    transport/memory/pool_arenas.h \
    transport/memory/pool.c \
    transport/memory/pool_front.c \
    transport/memory/pool_front.h \
    transport/memory/pool_ops.h \
    transport/memory/pool.h \
    transport/memory/quota.c \
    transport/memory/quota.h \
    transport/memory/refusal.c \
    transport/memory/refusal.h \
    transport/memory/reserve.c \
    transport/memory/reserve.h \
    transport/memory/return_stack.c \
    transport/memory/return_stack.h \
    transport/memory/rotation.c \
    transport/memory/rotation.h \
    transport/memory/sealed.c \
    transport/memory/sealed.h \
    transport/memory/fair_share.c \
    transport/memory/fair_share.h \
    transport/memory/size_class.c \
    transport/memory/size_class.h \
    transport/memory/stock.c \
    transport/memory/stock.h \
    transport/memory/slot.h \
    transport/memory/view.c \
    transport/memory/view.h \
    transport/memory/work.h \
    transport/registry/account.c \
    transport/registry/account.h \
    transport/registry/block.c \
    transport/registry/block.h \
    transport/registry/ctx.c \
    transport/registry/ctx.h \
    transport/registry/figures.c \
    transport/registry/figures.h \
    transport/registry/imports.c \
    transport/registry/imports.h \
    transport/registry/lease.c \
    transport/registry/lease.h \
    transport/registry/options.c \
    transport/registry/options.h \
    transport/registry/mailbox.c \
    transport/registry/mailbox.h \
    transport/registry/peer.c \
    transport/registry/peer.h \
    transport/registry/pool_budget.c \
    transport/registry/pool_budget.h \
    transport/registry/pooled_block.c \
    transport/registry/pooled_block.h \
    transport/registry/pools.c \
    transport/registry/pools.h \
    transport/registry/sealed_block.c \
    transport/registry/sealed_block.h \
    transport/registry/view_table.c \
    transport/registry/view_table.h \
    transport/registry/views.c \
    transport/registry/views.h \
    transport/lane/address.c \
    transport/lane/address.h \
    transport/lane/distance.c \
    transport/lane/distance.h \
    transport/lane/naps.c \
    transport/lane/naps.h \
    transport/lane/doorbell.c \
    transport/lane/doorbell.h \
    transport/lane/class_choice.c \
    transport/lane/class_choice.h \
    transport/lane/path_claim.c \
    transport/lane/path_claim.h \
    transport/lane/ring_growth.c \
    transport/lane/ring_growth.h \
    transport/lane/lane.c \
    transport/lane/lane.h \
    transport/lane/listener.c \
    transport/lane/listener.h \
    transport/lane/outbox.c \
    transport/lane/outbox.h \
    transport/lane/spin_policy.c \
    transport/lane/spin_policy.h \
    transport/lane/policy.c \
    transport/lane/policy.h \
    transport/lane/socket_error.c \
    transport/lane/socket_error.h \
    transport/lane/receive.c \
    transport/lane/ring.c \
    transport/lane/ring.h \
    transport/lane/rings.c \
    transport/lane/send.c \
    transport/lane/pooled.c \
    transport/lane/pooled.h \
    transport/lane/small.h \
    transport/lane/snapshot.c \
    transport/lane/negotiation.c \
    transport/lane/negotiation.h \
    transport/rpc/batch.c \
    transport/rpc/block.c \
    transport/rpc/block.h \
    transport/rpc/call.c \
    transport/rpc/call_end.c \
    transport/rpc/call_end.h \
    transport/rpc/calls.c \
    transport/rpc/calls.h \
    transport/rpc/conn.c \
    transport/rpc/conn.h \
    transport/rpc/conn_fd.c \
    transport/rpc/conn_figures.c \
    transport/rpc/conn_loop.c \
    transport/rpc/conn_loop.h \
    transport/rpc/conn_slots.c \
    transport/rpc/conn_slots.h \
    transport/rpc/conn_turn.c \
    transport/rpc/conn_turn.h \
    transport/rpc/conn_wait.c \
    transport/rpc/conn_wait.h \
    transport/rpc/connect.c \
    transport/rpc/connect.h \
    transport/rpc/explain.c \
    transport/rpc/interrupt.c \
    transport/rpc/interrupt.h \
    transport/rpc/loop_interface.c \
    transport/rpc/loop_interface.h \
    transport/rpc/msg.c \
    transport/rpc/msg.h \
    transport/rpc/msg_memory.c \
    transport/rpc/msg_memory.h \
    transport/rpc/payload.c \
    transport/rpc/payload.h \
    transport/rpc/post.c \
    transport/rpc/poller.c \
    transport/rpc/poller.h \
    transport/rpc/pool.c \
    transport/rpc/pool_figures.c \
    transport/rpc/reply.c \
    transport/rpc/send.c \
    transport/rpc/server.c \
    transport/rpc/server.h \
    transport/rpc/small.c \
    transport/rpc/small.h

# libsealane: the same objects behind the symbol map.
#
# VERSION is libtool's CURRENT:REVISION:AGE, which is not the package's version. With each release:
#   1. sources changed, interface not      REVISION + 1
#   2. functions were added                CURRENT + 1, AGE + 1, REVISION = 0
#   3. something was removed or changed    CURRENT + 1, AGE = 0, REVISION = 0
# (3) makes a new soname: every program must be rebuilt. It is not done within one major version, and
# the symbol map only grows. Before the first release it stays 0:0:0.
lib_LTLIBRARIES += transport/libsealane.la
transport_libsealane_la_SOURCES =
transport_libsealane_la_LIBADD = transport/libtransport.la
transport_libsealane_la_LDFLAGS = $(AM_LDFLAGS) $(LIBRARY_LDFLAGS) -pthread -no-undefined -version-info 0:0:0 \
    -Wl,--version-script=$(srcdir)/transport/libsealane.map
EXTRA_transport_libsealane_la_DEPENDENCIES = $(srcdir)/transport/libsealane.map
EXTRA_DIST += transport/libsealane.map transport/libsealane-uv.map

sealaneincludedir = $(includedir)/sealane
sealaneinclude_HEADERS = \
    include/sealane/base.h \
    include/sealane/block.h \
    include/sealane/conn.h \
    include/sealane/ctx.h \
    include/sealane/figures.h \
    include/sealane/msg.h \
    include/sealane/pool.h \
    include/sealane/sealane.h \
    include/sealane/server.h

# libsealane-uv: the layer `loop`. A library of its own, so that a program without a libuv loop needs libc alone. As
# with libsealane there is an archive of all objects, which the tests link.
if HAVE_UV
noinst_LTLIBRARIES += transport/libloop.la
transport_libloop_la_CPPFLAGS = -D_GNU_SOURCE -I$(srcdir)/include -iquote $(srcdir)/transport
transport_libloop_la_CFLAGS = $(AM_CFLAGS) $(UV_CFLAGS) -fexceptions
transport_libloop_la_SOURCES = \
    transport/loop/library.h \
    transport/loop/uv.c \
    transport/loop/uv_memory.c

# VERSION: as above.
lib_LTLIBRARIES += transport/libsealane-uv.la
transport_libsealane_uv_la_SOURCES =
transport_libsealane_uv_la_LIBADD = transport/libloop.la transport/libsealane.la $(UV_LIBS)
transport_libsealane_uv_la_LDFLAGS = $(AM_LDFLAGS) $(LIBRARY_LDFLAGS) -pthread -no-undefined -version-info 0:0:0 \
    -Wl,--version-script=$(srcdir)/transport/libsealane-uv.map
EXTRA_transport_libsealane_uv_la_DEPENDENCIES = $(srcdir)/transport/libsealane-uv.map

sealaneinclude_HEADERS += include/sealane/uv.h
pkgconfig_DATA += sealane-uv.pc
loop_libs = transport/libloop.la $(UV_LIBS)
else
EXTRA_DIST += include/sealane/uv.h transport/loop/library.h transport/loop/uv.c transport/loop/uv_memory.c
endif
