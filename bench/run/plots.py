# SPDX-License-Identifier: MIT
def draw(lines, output):
    pass
