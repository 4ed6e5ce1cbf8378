# SPDX-License-Identifier: MIT
# What the benchmark's Cap'n Proto peers say to each other: see bench/peer_capnp.cpp.
@0xb7d3f1a2c4e59687;

interface Bench {
  call @0 (payload :Data) -> (payload :Data);
  send @1 (payload :Data) -> stream;
}
