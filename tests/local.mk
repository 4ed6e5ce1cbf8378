# SPDX-License-Identifier: MIT
# The tests. `make check` runs them all; `make check-valgrind` runs the unit tests under valgrind.
#
# A C test is one program, tests/FOLDER/test_NOUN.c, linked with the harness and with every object of the library. Each
# program and each script appends "name passed failed skipped" to the file that SEALANE_TALLY names, if it is set.

# Ends a test program that hangs as a whole, and lets the programs of turn_tests take turns.
guard = $(SHELL) $(srcdir)/tests/support/guard.sh

if HAVE_CHECK

# These tests disturb each other, so that they run one at a time (tests/support/guard.sh). In the lists below other
# tests stand between them: a test that waits for its turn keeps a CPU from other tests.
turn_tests = \
    tests/unit/test_arena \
    tests/unit/test_block \
    tests/unit/test_census \
    tests/unit/test_ctx \
    tests/unit/test_lane_pooled \
    tests/unit/test_lane_receive \
    tests/unit/test_lane_send \
    tests/unit/test_map \
    tests/unit/test_memfd \
    tests/unit/test_outbox \
    tests/unit/test_ring_growth \
    tests/unit/test_sealed \
    tests/unit/test_view \
    tests/contract/test_folios \
    tests/contract/test_map \
    tests/hostile/test_hostile_arenas \
    tests/hostile/test_hostile_client \
    tests/hostile/test_hostile_outbox \
    tests/hostile/test_hostile_server \
    tests/memory/test_refusals

# One program for each room.
valgrind_tests = \
    tests/unit/test_arena \
    tests/unit/test_address \
    tests/unit/test_admission \
    tests/unit/test_documented_sizes \
    tests/unit/test_distance \
    tests/unit/test_naps \
    tests/unit/test_doorbell \
    tests/unit/test_bench_work \
    tests/unit/test_block \
    tests/unit/test_caches \
    tests/unit/test_calibrate \
    tests/unit/test_calibration \
    tests/unit/test_calls \
    tests/unit/test_cgroup \
    tests/unit/test_census \
    tests/unit/test_class_choice \
    tests/unit/test_client \
    tests/unit/test_clock \
    tests/unit/test_conn \
    tests/unit/test_conn_fd \
    tests/unit/test_ctx \
    tests/unit/test_cred \
    tests/unit/test_failure \
    tests/unit/test_fdpass \
    tests/unit/test_disposal \
    tests/unit/test_file \
    tests/unit/test_lane_pooled \
    tests/unit/test_fork_guard \
    tests/unit/test_frame \
    tests/unit/test_gone \
    tests/unit/test_heap \
    tests/unit/test_idmap \
    tests/unit/test_lane_receive \
    tests/unit/test_lane \
    tests/unit/test_lane_rings \
    tests/unit/test_lane_snapshot \
    tests/unit/test_lease \
    tests/unit/test_limits \
    tests/unit/test_lane_send \
    tests/unit/test_line \
    tests/unit/test_listener \
    tests/unit/test_mailbox \
    tests/unit/test_meminfo \
    tests/unit/test_msg \
    tests/unit/test_memfd \
    tests/unit/test_numa \
    tests/unit/test_options \
    tests/unit/test_path \
    tests/unit/test_spin_policy \
    tests/unit/test_peer \
    tests/unit/test_outbox \
    tests/unit/test_policy \
    tests/unit/test_poller \
    tests/unit/test_pool \
    tests/unit/test_pooled \
    tests/unit/test_pools \
    tests/unit/test_ring_growth \
    tests/unit/test_quota \
    tests/unit/test_socket_error \
    tests/unit/test_reaper \
    tests/unit/test_refusal \
    tests/unit/test_return_stack \
    tests/unit/test_sealed \
    tests/unit/test_ring \
    tests/unit/test_ring_threads \
    tests/unit/test_rotation \
    tests/unit/test_inject \
    tests/unit/test_server \
    tests/unit/test_view \
    tests/unit/test_fair_share \
    tests/unit/test_explain \
    tests/unit/test_figures \
    tests/unit/test_size_class \
    tests/unit/test_stock \
    tests/unit/test_conn_slots \
    tests/unit/test_small \
    tests/unit/test_socket \
    tests/unit/test_misuse \
    tests/unit/test_negotiation \
    tests/unit/test_threads \
    tests/unit/test_util \
    tests/unit/test_view_table \
    tests/unit/test_wait \
    tests/unit/test_wake \
    tests/unit/test_work \
    $(uv_tests)

# The first program measures its address space, which valgrind shares; the second starts itself again through /proc; the
# last one loads the shared library.
unit_tests = \
    $(valgrind_tests) \
    tests/unit/test_map \
    tests/support/test_suite \
    $(unload_test)

if HAVE_UV
uv_tests = tests/unit/test_uv tests/unit/test_uv_library
endif

if BUILD_SHARED
unload_test = tests/unit/test_unload
endif

contract_tests = \
    tests/contract/test_clock \
    tests/contract/test_folios \
    tests/contract/test_limits \
    tests/contract/test_map \
    tests/contract/test_peer \
    tests/contract/test_receive \
    tests/contract/test_seal \
    tests/contract/test_send \
    tests/contract/test_sender \
    tests/contract/test_wait

# Those that take longer, with the turns between the others. They come first, so that `make -j` has short ones left for
# the other CPUs at the end.
long_tests = \
    tests/hostile/test_hostile_client \
    tests/stress/test_stress_rings \
    tests/hostile/test_hostile_outbox \
    tests/stress/test_stress_calls \
    tests/stress/test_stress_threads \
    tests/hostile/test_hostile_server \
    tests/stress/test_stress_rotation \
    tests/hostile/test_hostile_users \
    tests/hostile/test_hostile_arenas \
    tests/memory/test_dumps \
    tests/memory/test_refusals

# Each makes thousands of processes. The first sweep takes as long as most other tests together.
process_tests = \
    tests/sweep/test_fault_sweep \
    tests/sweep/test_kill_sweep \
    tests/sandbox/test_sandbox

test_programs = $(process_tests) $(long_tests) $(unit_tests) $(contract_tests)
# With the peers that the scripts need.
check_PROGRAMS += $(test_programs) tests/examples/lying_digest tests/protocol/echo_server

check_LTLIBRARIES += tests/libsupport.la
tests_libsupport_la_CFLAGS = $(AM_CFLAGS) $(CHECK_CFLAGS)
tests_libsupport_la_SOURCES = \
    tests/support/bystander.c \
    tests/support/bystander.h \
    tests/support/child.c \
    tests/support/child.h \
    tests/support/document.h \
    tests/support/figures.h \
    tests/support/frame_oracle.h \
    tests/support/group.c \
    tests/support/group.h \
    tests/support/holdings.c \
    tests/support/holdings.h \
    tests/support/hung.c \
    tests/support/machine.c \
    tests/support/machine.h \
    tests/support/line_oracle.h \
    tests/support/random.h \
    tests/support/raw.c \
    tests/support/raw.h \
    tests/support/ring_end.c \
    tests/support/ring_end.h \
    tests/support/ring_speaker.c \
    tests/support/ring_speaker.h \
    tests/support/sandbox.c \
    tests/support/sandbox.h \
    tests/support/scale.h \
    tests/support/service.c \
    tests/support/service.h \
    tests/support/speaker.c \
    tests/support/speaker.h \
    tests/support/suite.c \
    tests/support/suite.h \
    tests/support/trap.c \
    tests/support/trap.h \
    tests/support/userns.h \
    tests/unit/conn_pair.h \
    tests/unit/crowd.h \
    tests/unit/fail.h \
    tests/unit/host.h \
    tests/unit/lane_pair.h \
    tests/unit/line_samples.h \
    tests/unit/disposal_jam.h \
    tests/unit/reaper_jam.h \
    tests/unit/room_ctx.h \
    tests/unit/room_peer.h \
    tests/unit/settle.h \
    tests/unit/tree.h \
    tests/unit/fork_asking.h \
    tests/unit/valgrind.h

# The libraries of a program without an LDADD of its own: all test programs. (All other programs have one.)
LDADD = tests/libsupport.la $(loop_libs) transport/libtransport.la $(CHECK_LIBS)

tests_contract_test_clock_SOURCES = \
    tests/contract/test_clock.c \
    tests/contract/kernel.h

tests_contract_test_folios_SOURCES = \
    tests/contract/test_folios.c \
    tests/contract/kernel.h

tests_contract_test_limits_SOURCES = \
    tests/contract/test_limits.c \
    tests/contract/kernel.h

tests_contract_test_map_SOURCES = \
    tests/contract/test_map.c \
    tests/contract/kernel.h

tests_contract_test_peer_SOURCES = \
    tests/contract/test_peer.c \
    tests/contract/kernel.h

tests_contract_test_receive_SOURCES = \
    tests/contract/test_receive.c \
    tests/contract/kernel.h

tests_contract_test_seal_SOURCES = \
    tests/contract/test_seal.c \
    tests/contract/kernel.h

tests_contract_test_send_SOURCES = \
    tests/contract/test_send.c \
    tests/contract/kernel.h

tests_contract_test_wait_SOURCES = \
    tests/contract/test_wait.c \
    tests/contract/kernel.h

tests_hostile_test_hostile_arenas_SOURCES = \
    tests/hostile/test_hostile_arenas.c \
    tests/hostile/attacks.c \
    tests/hostile/attacks.h \
    tests/hostile/scene.c \
    tests/hostile/scene.h

tests_hostile_test_hostile_client_SOURCES = \
    tests/hostile/test_hostile_client.c \
    tests/hostile/attacks.c \
    tests/hostile/attacks.h

tests_hostile_test_hostile_outbox_SOURCES = \
    tests/hostile/test_hostile_outbox.c \
    tests/hostile/attacks.c \
    tests/hostile/attacks.h \
    tests/hostile/ring_attacks.c \
    tests/hostile/ring_attacks.h \
    tests/hostile/scene.c \
    tests/hostile/scene.h

tests_hostile_test_hostile_server_SOURCES = \
    tests/hostile/test_hostile_server.c \
    tests/hostile/attacks.c \
    tests/hostile/attacks.h \
    tests/hostile/scene.c \
    tests/hostile/scene.h

tests_sweep_test_fault_sweep_SOURCES = \
    tests/sweep/test_fault_sweep.c \
    tests/sweep/sweep.c \
    tests/sweep/sweep.h \
    tests/sweep/voyage.c \
    tests/sweep/voyage.h

tests_sweep_test_kill_sweep_SOURCES = \
    tests/sweep/test_kill_sweep.c \
    tests/sweep/sweep.c \
    tests/sweep/sweep.h \
    tests/sweep/voyage.c \
    tests/sweep/voyage.h

tests_unit_test_bench_work_CPPFLAGS = $(AM_CPPFLAGS) -iquote $(srcdir)
tests_unit_test_bench_work_LDADD = bench/libwork.la $(LDADD)

tests_unit_test_calibrate_CPPFLAGS = $(AM_CPPFLAGS) -iquote $(srcdir)/tools
tests_unit_test_calibrate_LDADD = tools/calibrate/libcalibrate.la $(LDADD) -lm

# The test decides which library sea_uv_* find.
tests_unit_test_uv_library_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=sea_private_loop_interface

tests_unit_test_unload_CPPFLAGS = $(AM_CPPFLAGS) \
    -DSHARED_LIBRARY='"$(abs_top_builddir)/transport/.libs/libsealane.so"' \
    -DSHARED_UV_LIBRARY='"$(abs_top_builddir)/transport/.libs/libsealane-uv.so"'
if HAVE_UV
EXTRA_tests_unit_test_unload_DEPENDENCIES = transport/libsealane.la transport/libsealane-uv.la
else
EXTRA_tests_unit_test_unload_DEPENDENCIES = transport/libsealane.la
endif

tests_unit_test_calibration_CPPFLAGS = $(AM_CPPFLAGS) -DSYSCONFDIR='"$(sysconfdir)"'

# valgrind follows the children that the harness forks in any case; --trace-children covers programs that tests execute.
# The multiplier lengthens the hang guards.
valgrind_flags = --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,possible \
    --errors-for-leak-kinds=definite,possible --trace-children=no --num-callers=30 \
    --suppressions=$(srcdir)/tests/valgrind.supp

check-valgrind: $(valgrind_tests)
	@test -n "$(VALGRIND)" || { echo "valgrind is missing" >&2; exit 1; }
	CK_TIMEOUT_MULTIPLIER=$${CK_TIMEOUT_MULTIPLIER-20} $(MAKE) $(AM_MAKEFLAGS) check-TESTS TESTS="$(valgrind_tests)" \
	    TEST_SUITE_LOG=valgrind-suite.log LOG_COMPILER="$(guard) $(VALGRIND)" AM_LOG_FLAGS="$(valgrind_flags)"
.PHONY: check-valgrind

# Under the address sanitizer: all tests except the tools' own, which are the same in each build.
check-asan: $(check_PROGRAMS)
	$(MAKE) $(AM_MAKEFLAGS) check-TESTS TESTS="$(test_programs) $(build_script_tests)"
.PHONY: check-asan

# Under the thread sanitizer: also without those that make thousands of processes with one thread each.
check-tsan: $(check_PROGRAMS)
	$(MAKE) $(AM_MAKEFLAGS) check-TESTS TESTS="$(long_tests) $(build_script_tests) $(unit_tests) $(contract_tests)"
.PHONY: check-tsan

# The tests that tools/kernels runs on other kernels: the kernel's contract, and the rooms that make system calls.
kernel_tests = \
    $(contract_tests) \
    tests/unit/test_arena \
    tests/unit/test_cgroup \
    tests/unit/test_client \
    tests/unit/test_clock \
    tests/unit/test_cred \
    tests/unit/test_fdpass \
    tests/unit/test_lane_pooled \
    tests/unit/test_listener \
    tests/unit/test_map \
    tests/unit/test_memfd \
    tests/unit/test_sealed \
    tests/unit/test_server \
    tests/unit/test_socket \
    tests/unit/test_wait

# Builds the kernel tests, and names them in one line, the last.
kernel-tests: $(kernel_tests)
	@echo $(kernel_tests)
.PHONY: kernel-tests

# Builds all test programs, and runs none.
test-programs: $(check_PROGRAMS)
.PHONY: test-programs

else

check-local:
	@echo '"make check" needs libcheck (Debian: check). Install it and configure again.' >&2; exit 1

endif

# What the programs of this build do.
build_script_tests = \
    tests/stress/test_soak.sh \
    tests/bench/test_bench.sh \
    tests/examples/test_many.sh \
    tests/abi/test_grown.sh \
    tests/cpp/test_exceptions.sh \
    tests/headers/test_headers.sh \
    tests/protocol/run.sh \
    tests/tools/test_calibrate.sh \
    tests/tools/test_demo.sh \
    tests/examples/test_digest.sh \
    tests/examples/test_digest_trouble.sh \
    tests/examples/test_figures.sh \
    tests/examples/test_hello.sh \
    tests/examples/test_no_copy.sh \
    tests/examples/test_stream.sh \
    tests/examples/test_stream_trouble.sh

# What the tools of the tree find, in any build.
tool_script_tests = \
    tests/tools/test_abi.sh \
    tests/tools/test_circles.sh \
    tests/tools/test_dev.sh \
    tests/tools/test_documents.sh \
    tests/tools/test_english.sh \
    tests/tools/test_kernels.sh \
    tests/tools/test_layers.sh \
    tests/tools/test_outputs.sh \
    tests/tools/test_readme.sh \
    tests/tools/test_symbols.sh

script_tests = $(build_script_tests) $(tool_script_tests)

# What a tarball must be able to run: each script, and the programs that are quick.
tarball_tests = $(build_script_tests) $(unit_tests) $(contract_tests) $(tool_script_tests)

TESTS += $(process_tests) $(build_script_tests) $(long_tests) $(unit_tests) $(contract_tests) $(tool_script_tests)
TEST_EXTENSIONS = .sh
LOG_COMPILER = $(guard)
SH_LOG_COMPILER = $(guard)
CLEANFILES += valgrind-suite.log tests/turn.lock

AM_TESTS_ENVIRONMENT = \
    srcdir='$(abs_srcdir)' builddir='$(abs_builddir)' CC='$(CC)' CXX='$(CXX)' PYTHON3='$(PYTHON3)' \
    INSTRUMENT_CFLAGS='$(INSTRUMENT_CFLAGS)' WITH_UV='$(with_uv)' \
    UV_CFLAGS='$(UV_CFLAGS)' UV_LIBS='$(UV_LIBS)' \
    PACKAGE_VERSION='$(PACKAGE_VERSION)' SEALANE_CALIBRATION= SEALANE_TURNS='$(turn_tests)'; \
    export srcdir builddir CC CXX PYTHON3 INSTRUMENT_CFLAGS WITH_UV UV_CFLAGS UV_LIBS; \
    export PACKAGE_VERSION SEALANE_CALIBRATION SEALANE_TURNS;

# Checks that the installed files are enough to build and run a program.
installcheck-local:
	srcdir='$(abs_srcdir)' DESTDIR='$(DESTDIR)' CC='$(CC)' PKG_CONFIG='$(PKG_CONFIG)' libdir='$(libdir)' \
	    bindir='$(bindir)' includedir='$(includedir)' libexecdir='$(libexecdir)' mandir='$(mandir)' \
	    docdir='$(docdir)' pkgconfigdir='$(pkgconfigdir)' WITH_UV='$(with_uv)' INSTALLED_EXAMPLES='$(example_PROGRAMS)' \
	    $(SHELL) $(srcdir)/tests/install/test_install.sh

EXTRA_DIST += \
    $(script_tests) \
    tests/bench/callgrind.txt \
    tests/bench/test_commit.py \
    tests/bench/test_instructions.py \
    tests/bench/test_run.py \
    tests/cpp/thrower.cc \
    tests/abi/grown.c \
    tests/install/loop.c \
    tests/install/test_install.sh \
    tests/examples/lib.sh \
    tests/model/check.sh \
    tests/model/doorbell.pml \
    tests/model/growth.pml \
    tests/protocol/calls.py \
    tests/protocol/client.py \
    tests/support/guard.sh \
    tests/tools/tally.sh \
    tests/tools/test_kernels.py \
    tests/valgrind.supp
