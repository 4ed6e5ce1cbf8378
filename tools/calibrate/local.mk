# SPDX-License-Identifier: MIT
# sealane-calibrate. It uses two internal parts of the library: the table with its bounds, and the search path of the
# file.

calibrate_cppflags = -D_GNU_SOURCE -I$(srcdir)/include -iquote $(srcdir)/transport -iquote $(srcdir)/tools

# Everything except main(): the tests link this.
noinst_LTLIBRARIES += tools/calibrate/libcalibrate.la
tools_calibrate_libcalibrate_la_CPPFLAGS = $(calibrate_cppflags)
tools_calibrate_libcalibrate_la_SOURCES = \
    tools/calibrate/cpus.c \
    tools/calibrate/cpus.h \
    tools/calibrate/pair.c \
    tools/calibrate/pair.h \
    tools/calibrate/table.c \
    tools/calibrate/table.h \
    tools/calibrate/trial.c \
    tools/calibrate/trial.h \
    tools/calibrate/verdict.c \
    tools/calibrate/verdict.h

bin_PROGRAMS += tools/calibrate/sealane-calibrate
tools_calibrate_sealane_calibrate_CPPFLAGS = $(calibrate_cppflags)
tools_calibrate_sealane_calibrate_LDFLAGS = $(AM_LDFLAGS) -static
tools_calibrate_sealane_calibrate_LDADD = tools/calibrate/libcalibrate.la transport/libsealane.la -lm
tools_calibrate_sealane_calibrate_SOURCES = tools/calibrate/calibrate.c
