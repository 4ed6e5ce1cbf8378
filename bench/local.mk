# SPDX-License-Identifier: MIT
# Measurements, run by hand; doc/tuning.md says what they showed.

noinst_PROGRAMS += bench/threshold
bench_threshold_CPPFLAGS = -D_GNU_SOURCE -I$(srcdir)/include
bench_threshold_LDFLAGS = $(AM_LDFLAGS) -static
bench_threshold_LDADD = transport/libsealane.la
bench_threshold_SOURCES = bench/threshold.c
