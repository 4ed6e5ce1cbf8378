# SPDX-License-Identifier: MIT
# The example programs.
#
# They are installed into $(libexecdir)/sealane/examples, not into $(bindir): names like "digest" or "producer" are too
# general for every user's PATH. To run them by name, add that directory to the PATH.
#
# -static makes libtool link libsealane.a: the program runs from the build tree without libtool's wrapper script around
# it, so that the process that is traced, timed or killed is the program. System libraries remain shared. (tests/install
# tests the shared libsealane.)

if ENABLE_EXAMPLES

exampledir = $(libexecdir)/sealane/examples
example_PROGRAMS = \
    examples/consumer \
    examples/figures \
    examples/hello_client \
    examples/hello_server \
    examples/producer \
    examples/thumbnail_client \
    examples/thumbnail_server

example_cppflags = -D_GNU_SOURCE -I$(srcdir)/include
example_ldflags = $(AM_LDFLAGS) -static
example_ldadd = examples/libcommon.la transport/libsealane.la

# The part that the larger ones share.
noinst_LTLIBRARIES += examples/libcommon.la
examples_libcommon_la_CPPFLAGS = $(example_cppflags)
examples_libcommon_la_SOURCES = \
    examples/common/digest_wire.h \
    examples/common/input.c \
    examples/common/input.h \
    examples/common/program.c \
    examples/common/program.h \
    examples/common/progress.c \
    examples/common/progress.h \
    examples/common/stop.c \
    examples/common/stop.h \
    examples/common/stream_wire.c \
    examples/common/stream_wire.h \
    examples/common/walk.c \
    examples/common/walk.h

examples_consumer_CPPFLAGS = $(example_cppflags)
examples_consumer_LDFLAGS = $(example_ldflags)
examples_consumer_LDADD = $(example_ldadd)
examples_consumer_SOURCES = examples/consumer.c

examples_figures_CPPFLAGS = $(example_cppflags)
examples_figures_LDFLAGS = $(example_ldflags)
examples_figures_LDADD = transport/libsealane.la
examples_figures_SOURCES = examples/figures.c

examples_hello_client_CPPFLAGS = $(example_cppflags)
examples_hello_client_LDFLAGS = $(example_ldflags)
examples_hello_client_LDADD = transport/libsealane.la
examples_hello_client_SOURCES = examples/hello_client.c

examples_hello_server_CPPFLAGS = $(example_cppflags)
examples_hello_server_LDFLAGS = $(example_ldflags)
examples_hello_server_LDADD = transport/libsealane.la
examples_hello_server_SOURCES = examples/hello_server.c

examples_producer_CPPFLAGS = $(example_cppflags)
examples_producer_LDFLAGS = $(example_ldflags)
examples_producer_LDADD = $(example_ldadd)
examples_producer_SOURCES = examples/producer.c examples/producer_audience.c examples/producer_audience.h

examples_thumbnail_client_CPPFLAGS = $(example_cppflags)
examples_thumbnail_client_LDFLAGS = $(example_ldflags)
examples_thumbnail_client_LDADD = transport/libsealane.la
examples_thumbnail_client_SOURCES = examples/thumbnail_client.c

examples_thumbnail_server_CPPFLAGS = $(example_cppflags)
examples_thumbnail_server_LDFLAGS = $(example_ldflags)
examples_thumbnail_server_LDADD = transport/libsealane.la
examples_thumbnail_server_SOURCES = examples/thumbnail_server.c

if HAVE_CRYPTO
example_PROGRAMS += examples/digest

examples_digest_CPPFLAGS = $(example_cppflags)
examples_digest_LDFLAGS = $(example_ldflags)
examples_digest_LDADD = $(example_ldadd)
examples_digest_SOURCES = examples/digest.c examples/digest_send.c examples/digest_send.h

if HAVE_UV
example_PROGRAMS += examples/digestd
examples_digestd_CPPFLAGS = $(example_cppflags)
examples_digestd_CFLAGS = $(AM_CFLAGS) $(UV_CFLAGS) $(CRYPTO_CFLAGS)
examples_digestd_LDFLAGS = $(example_ldflags)
examples_digestd_LDADD = \
    examples/libcommon.la transport/libsealane-uv.la transport/libsealane.la $(UV_LIBS) $(CRYPTO_LIBS)
examples_digestd_SOURCES = examples/digestd.c
endif
endif

endif

EXTRA_DIST += examples/demo.sh
