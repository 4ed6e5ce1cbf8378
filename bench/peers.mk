# SPDX-License-Identifier: MIT
#
# The programs that measure other systems, for machines with their libraries: `./dev bench --compare` installs those and
# runs this. They are no part of the build: neither configure nor make knows them, but for Aeron and iceoryx2, which no
# Debian package has: configure looks for these, and bench/local.mk builds their programs.
#
#     make -f bench/peers.mk O=build/peers

O = build/peers
CFLAGS = -O2 -g
CXXFLAGS = -O2 -g
WARNINGS = -Wall -Wextra -Wconversion -Wshadow

in_c = iceoryx libqb nanomsg nng sdbus zeromq

# Flags: of the libraries that pkg-config knows, and of the others.
flags_capnp = $(shell pkg-config --cflags --libs capnp-rpc)
flags_iceoryx = $(addprefix -isystem ,$(wildcard /usr/include/iceoryx/v2*)) -liceoryx_binding_c
flags_libqb = $(shell pkg-config --cflags --libs libqb)
flags_nanomsg = $(shell pkg-config --cflags --libs nanomsg)
flags_nng = -lnng
flags_sdbus = $(shell pkg-config --cflags --libs libsystemd)
flags_zeromq = $(shell pkg-config --cflags --libs libzmq)

shared = $(addprefix $(O)/,arguments.o clock.o crew.o histogram.o line.o payload.o peer.o report.o work.o)

all: $(in_c:%=$(O)/peer_%) $(O)/peer_capnp

$(shared): $(O)/%.o: bench/%.c $(wildcard bench/*.h) | $(O)
	$(CC) -std=gnu11 -D_GNU_SOURCE $(WARNINGS) $(CFLAGS) -c -o $@ $<

$(in_c:%=$(O)/peer_%): $(O)/peer_%: bench/peer_%.c $(shared)
	$(CC) -std=gnu11 -D_GNU_SOURCE $(WARNINGS) $(CFLAGS) -o $@ $^ $(flags_$*)

# C++23 understands <stdatomic.h>. The output of Cap'n Proto's compiler gets no warnings.
$(O)/peer_capnp: bench/peer_capnp.cpp $(O)/peer_capnp.capnp.h $(shared)
	$(CXX) -std=gnu++23 -D_GNU_SOURCE -isystem $(O) -iquote bench $(CXXFLAGS) -o $@ \
	    $< $(O)/peer_capnp.capnp.c++ $(shared) $(flags_capnp)

$(O)/peer_capnp.capnp.h: bench/peer_capnp.capnp | $(O)
	capnp compile -oc++:$(O) --src-prefix=bench $<

$(O):
	mkdir -p $@

.PHONY: all
