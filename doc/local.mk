# SPDX-License-Identifier: MIT
# Manual pages and documents. The README shows thumbnail_client and thumbnail_server,
# and sealane(7) shows hello_client and hello_server: these programs have no page of their own.

dist_man_MANS = \
    doc/man/consumer.1 \
    doc/man/digest.1 \
    doc/man/digestd.1 \
    doc/man/producer.1 \
    doc/man/sealane-calibrate.1 \
    doc/man/sealane.7

# Installed with the layout of the tree, with their pictures and the programs that are built, so that the links among
# them work there, too.
nobase_dist_doc_DATA = \
    LICENSE \
    NEWS \
    README.md \
    doc/PROTOCOL.md \
    doc/architecture.md \
    doc/benchmarks.md \
    doc/benchmarks/ends.svg \
    doc/benchmarks/fan-in.svg \
    doc/benchmarks/latency.svg \
    doc/benchmarks/peers-latency.svg \
    doc/benchmarks/peers-throughput.svg \
    doc/benchmarks/sealed.svg \
    doc/benchmarks/throughput.svg \
    doc/kernels.md \
    doc/measurements.md \
    doc/memory-model.md \
    doc/memory.md \
    doc/memory/soak.svg \
    doc/memory/spikes.svg \
    doc/payload.svg \
    doc/sandbox.md \
    doc/security.md \
    doc/tuning.md \
    $(examples_libcommon_la_SOURCES) \
    $(examples_consumer_SOURCES) \
    $(examples_digest_SOURCES) \
    $(examples_digestd_SOURCES) \
    $(examples_figures_SOURCES) \
    $(examples_hello_client_SOURCES) \
    $(examples_hello_server_SOURCES) \
    $(examples_producer_SOURCES) \
    $(examples_thumbnail_client_SOURCES) \
    $(examples_thumbnail_server_SOURCES)

EXTRA_DIST += \
    doc/benchmarks/ends.png \
    doc/benchmarks/fan-in.png \
    doc/benchmarks/latency.png \
    doc/benchmarks/peers-latency.png \
    doc/benchmarks/peers-throughput.png \
    doc/benchmarks/sealed.png \
    doc/benchmarks/throughput.png
