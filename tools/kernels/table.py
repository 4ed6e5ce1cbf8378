# SPDX-License-Identifier: MIT
"""The output of the kernels' consoles, as facts and as a table.

A console has lines of init.sh's ("@@ ..."), and among them lines of Check ("FILE:LINE:P:test_x:test_x:0: Passed"; F and
E have failed) and of the tests' harness ("SKIP test_x: why", "NOTE test_x: what was found").
"""

import re

BEGIN, END = "<!-- tools/kernels writes from here -->\n", "<!-- to here -->\n"
CHECK = re.compile(r"\S+\.c:\d+:([PFE]):(test_\w+):\w+:(\d+): (.*)")
HARNESS = re.compile(r"(SKIP|FAIL|NOTE) (test_\w+): (.*)")
CONTRACT = "tests-contract-"
PASSED, FAILED, SKIPPED = "yes", "NO", "-"


class Console:
    """One kernel's results."""

    def __init__(self, text):
        self.release = None
        self.is_whole = False
        self.programs = {}  # name: (status, tally)
        self.states = {}  # (program, test): PASSED, FAILED or SKIPPED
        self.words = {}  # (program, test): notes, reasons and messages
        self.program = None
        for line in text.splitlines():
            self.read(line.strip("\r\n"))

    def read(self, line):
        at = line.find("@@ ")
        if at >= 0:
            self.read_mark(line[at + 3 :].split())
        elif self.program:
            self.read_result(line)

    def read_mark(self, words):
        if words[:1] == ["kernel"]:
            self.release = words[1]
        elif words[:1] == ["program"]:
            self.program = words[1]
            self.programs[self.program] = (None, "")
        elif words[:2] == ["ended", self.program]:
            self.programs[self.program] = (int(words[2]), " ".join(words[3:]))
            self.program = None
        elif words[:1] == ["done"]:
            self.is_whole = True

    def read_result(self, line):
        check, harness = CHECK.search(line), HARNESS.match(line)
        if check:
            letter, test, _, text = check.groups()
            self.note(test, PASSED if letter == "P" else FAILED, "" if letter == "P" else text)
        elif harness:
            kind, test, text = harness.groups()
            self.note(test, {"SKIP": SKIPPED, "FAIL": FAILED, "NOTE": PASSED}[kind], text)

    def note(self, test, state, text):
        """A test that runs several times has failed if one run did, and was skipped if one was."""
        key = (self.program, test)
        order = (PASSED, SKIPPED, FAILED)
        self.states[key] = max(self.states.get(key, PASSED), state, key=order.index)
        words = self.words.setdefault(key, [])
        if text and text not in words:
            words.append(text)

    def unfinished(self):
        """Programs that did not come to their end: killed, crashed, or never started."""
        return [name for name, (status, tally) in self.programs.items() if status not in (0, 1, 77) or not tally]

    def failures(self):
        """Sentences."""
        failed = [
            f"{p.replace('tests-', '')}: {t}: {'; '.join(self.words[p, t])}"
            for (p, t), s in self.states.items()
            if s == FAILED
        ]
        ended = [f"{p.replace('tests-', '')}: ended with status {self.programs[p][0]}" for p in self.unfinished()]
        return failed + ended + ([] if self.is_whole else ["the machine did not come to its end"])


def fact(test):
    """A test's name is a sentence."""
    return test.removeprefix("test_").replace("_", " ")


def cell(console, key):
    state = console.states.get(key)
    if state is None:
        return "?"
    words = "; ".join(console.words[key]) if state != FAILED else ""
    return f"{state}: {words}" if words and state == PASSED else f"({words})" if words else state


def rows(consoles):
    """[(program, test, [cell, ...])] of the contract tests, in the order in which they ran."""
    keys = list(dict.fromkeys(key for console in consoles for key in console.states if key[0].startswith(CONTRACT)))
    return [(program, test, [cell(console, (program, test)) for console in consoles]) for program, test in keys]


def line(cells):
    return "| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |"


WIDTH = 120  # columns of a document


def lines(sentence, cells, names):
    """The lines of one fact. Where they would be too wide, each text has a line of its own below, with its kernels."""
    if len(line([sentence, *cells])) <= WIDTH:
        return [line([sentence, *cells])]
    short = [text if len(text) < 12 else PASSED if text.startswith(PASSED) else SKIPPED for text in cells]
    texts = dict.fromkeys(text for text, shortened in zip(cells, short) if text != shortened)
    series = {
        text: ", ".join(name.split("-")[0] for name, other in zip(names, cells) if other == text) for text in texts
    }
    return [line([sentence, *short])] + [line([f"*{series[text]}: {text}*", *[""] * len(cells)]) for text in texts]


def differing(consoles):
    return [(test, cells) for _, test, cells in rows(consoles) if len(set(cells)) > 1]


def programs_of(console):
    """"passed, failed, skipped" of the programs that are no contract tests."""
    sums = [0, 0, 0]
    for name, (_, tally) in console.programs.items():
        if not name.startswith(CONTRACT) and len(tally.split()) == 3:
            sums = [a + int(b) for a, b in zip(sums, tally.split())]
    return "{} passed, {} failed, {} skipped".format(*sums)


OWN_TESTS = "the library's own tests"


def sections(consoles):
    """{room: its lines} in the order in which the rooms ran."""
    found = {}
    for program, test, cells in rows(consoles):
        room = program.removeprefix(CONTRACT).removeprefix("test_")
        found.setdefault(room, []).extend(lines(fact(test), cells, [console.release or "?" for console in consoles]))
    if any(not name.startswith(CONTRACT) for console in consoles for name in console.programs):
        found[OWN_TESTS] = [line([f"**{OWN_TESTS}**", *[programs_of(console) for console in consoles]])]
    return found


def sections_of(text):
    """(the first line, {room: its lines}) of a table that was written before."""
    head, found, room = "", {}, None
    for text_line in text.splitlines():
        title = re.match(r"\| \*\*(.+?)\*\* \|", text_line)
        if not head and text_line.startswith("|"):
            head = text_line
        elif title:
            room = title[1]
            found[room] = [text_line] if room == OWN_TESTS else []
        elif room and text_line.startswith("|"):
            found[room].append(text_line)
    return head, found


def table(consoles, before=""):
    """Rooms that did not run keep their lines of `before`, if that has these kernels."""
    names = [console.release or "?" for console in consoles]
    head, kept = sections_of(before)
    found = sections(consoles)
    if head == line(["", *names]):
        found = {**kept, **found}
    out = [line(["", *names]), line(["---"] * (len(names) + 1))]
    for room in sorted(found, key=lambda room: (room == OWN_TESTS, room)):
        title = [] if room == OWN_TESTS else [line([f"**{room}**", *[""] * len(names)])]
        out += title + found[room]
    return "\n".join(out) + "\n"


def unexplained(text, consoles):
    """Facts in which the kernels differ and that the hand-written part does not name."""
    own = text[: text.index(BEGIN)] + text[text.index(END) :]
    return [fact(test) for test, _ in differing(consoles) if fact(test) not in own]


def renew(text, consoles):
    """The document with a new table; text that people wrote stays, and so do the rooms that did not run."""
    begin, end = text.index(BEGIN), text.index(END)
    return text[:begin] + BEGIN + "\n" + table(consoles, text[begin:end]) + "\n" + text[end:]
