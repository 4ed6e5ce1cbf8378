# SPDX-License-Identifier: MIT
# Manual pages and documents. hello_server and hello_client have no page: the README is theirs.

dist_man_MANS = \
    doc/man/consumer.1 \
    doc/man/digest.1 \
    doc/man/digestd.1 \
    doc/man/producer.1 \
    doc/man/sealane-calibrate.1 \
    doc/man/sealane.7

dist_doc_DATA = \
    LICENSE \
    NEWS \
    README.md \
    doc/PROTOCOL.md \
    doc/architecture.md \
    doc/benchmarks.md \
    doc/memory-model.md \
    doc/memory.md \
    doc/security.md \
    doc/tuning.md

# Their pictures.
EXTRA_DIST += \
    doc/benchmarks/ends.png \
    doc/benchmarks/ends.svg \
    doc/benchmarks/fan-in.png \
    doc/benchmarks/fan-in.svg \
    doc/benchmarks/latency.png \
    doc/benchmarks/latency.svg \
    doc/benchmarks/peers-latency.png \
    doc/benchmarks/peers-latency.svg \
    doc/benchmarks/peers-throughput.png \
    doc/benchmarks/peers-throughput.svg \
    doc/benchmarks/sealed.png \
    doc/benchmarks/sealed.svg \
    doc/benchmarks/throughput.png \
    doc/benchmarks/throughput.svg \
    doc/memory/spikes.svg
