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
    doc/memory-model.md \
    doc/memory.md \
    doc/security.md \
    doc/tuning.md
