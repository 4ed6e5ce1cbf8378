# SPDX-License-Identifier: MIT
"""The sizes of payloads, in bytes."""

KIB, MIB = 1 << 10, 1 << 20

# Every scale has sizes that are no powers of two, on both sides of the borders between ways: a library must not have
# its best figures at the sizes of its own blocks alone.
SIZES = [
    *(32, 64, 104, 160, 256, 304, 480, 704, KIB, 1504, 3000, 4 * KIB, 6000, 10000, 16 * KIB, 24000, 50000, 64 * KIB),
    *(100000, 256 * KIB, 400000, MIB, 3000000, 4 * MIB, 16 * MIB),
]
