# SPDX-License-Identifier: MIT
"""Debian's kernels: lists the archive, and fetches and unpacks one kernel of each wanted series. Nothing is installed.

apt does the work, on lists and caches of its own under the work directory, so that the machine's stay unchanged. The
address of the archive comes from the machine's own apt.
"""

import pathlib
import re
import subprocess
import time

SUITES = ("bullseye", "bookworm", "trixie", "trixie-backports", "forky", "sid")
SECURITY = ("bullseye-security", "bookworm-security", "trixie-security")
PACKAGE = "linux-image-cloud-amd64"  # depends on the newest image of its suite; the cloud images are the smallest
NEWEST = "newest"
KEYRING = pathlib.Path("/usr/share/keyrings/debian-archive-keyring.gpg")
LISTS_LAST = 24 * 3600  # seconds


class Trouble(Exception):
    """An error with a text for people."""


def output_of(command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, **more)
    if done.returncode != 0:
        raise Trouble(f"{' '.join(map(str, command[:3]))} failed: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout


def sources(targets):
    """Lines for apt, from the output of `apt-get indextargets`, lines of "label|address"."""
    options = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    lines = set()
    for target in targets.splitlines():
        label, address = target.split("|")
        suites = {"Debian": SUITES, "Debian-Security": SECURITY}.get(label, ())
        lines |= {f"deb {options}{address} {suite} main" for suite in suites}
    return sorted(lines)


def series(version):
    """The first two numbers of a version: "6.1.192-3" is of the series "6.1"."""
    return ".".join(re.match(r"(\d+)\.(\d+)", version).groups())


def numbers(version):
    """A key for comparing versions of different releases, without the parts that Debian adds."""
    return tuple(int(part) for part in re.match(r"[\d.]+", version).group().strip(".").split("."))


def choices(shown):
    """{version: image} from the output of `apt-cache show` for the package. Release candidates are left out."""
    found = {}
    for paragraph in shown.split("\n\n"):
        fields = dict(re.findall(r"^([\w-]+): (.*)$", paragraph, re.M))
        image = re.search(r"linux-image-\d[^ ,]*", fields.get("Depends", ""))
        if image and "~rc" not in fields["Version"]:
            found[fields["Version"]] = image.group()
    return found


def choose(found, wanted):
    """For each wanted series its newest (version, image), oldest series first; "newest" is the newest of all."""
    chosen = {}
    for name in wanted:
        versions = [v for v in found if name in (NEWEST, series(v))]
        if not versions:
            raise Trouble(f"the archive has no kernel {name}; it has {', '.join(sorted({series(v) for v in found}))}")
        best = max(versions, key=numbers)
        chosen[best] = found[best]
    return sorted(chosen.items(), key=lambda pair: numbers(pair[0]))


class Archive:
    def __init__(self, work):
        self.work = work.resolve()
        self.apt = self.work / "apt"
        self.options = ["-q", "-q"]
        for name, value in {
            "Dir::Etc::SourceList": self.apt / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": self.apt / "lists",
            "Dir::Cache": self.apt,
            # images of containers switch it off, and then each call takes many seconds
            "Dir::Cache::pkgcache": "pkgcache.bin",
            "Dir::Cache::srcpkgcache": "srcpkgcache.bin",
            "Acquire::Languages": "none",
            "APT::Sandbox::User": "root",  # or it complains of a directory that it may not enter
        }.items():
            self.options += ["-o", f"{name}={value}"]

    def update(self):
        stamp = self.apt / "updated"
        if stamp.exists() and time.time() - stamp.stat().st_mtime < LISTS_LAST:
            return
        (self.apt / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        targets = output_of(["apt-get", "indextargets", "--format", "$(LABEL)|$(REPO_URI)", "Created-By: Packages"])
        lines = sources(targets)
        if not lines:
            raise Trouble("apt knows of no Debian archive here: `apt-get indextargets` names none")
        (self.apt / "sources.list").write_text("\n".join(lines) + "\n", encoding="utf-8")
        # A missing suite is an error of apt-get, but the other suites are read all the same.
        subprocess.run(
            ["apt-get", *self.options, "update"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        )
        stamp.touch()

    def choose(self, wanted):
        self.update()
        return choose(choices(output_of(["apt-cache", *self.options, "show", PACKAGE])), wanted)

    def unpack(self, name, target):
        """Downloads a package and unpacks it. Returns its dependencies."""
        output_of(["apt-get", *self.options, "download", name], cwd=self.work)
        package = max(self.work.glob(f"{name}_*.deb"))
        output_of(["dpkg-deb", "-x", str(package), str(target)])
        depends = output_of(["dpkg-deb", "-f", str(package), "Depends"])
        package.unlink()
        return depends

    def fetch(self, name):
        """The directory into which the package was unpacked. Newer images are in parts: the kernel, and its modules."""
        target, part = self.work / name, self.work / (name + ".part")
        if not target.exists():
            depends = self.unpack(name, part)
            for further in re.findall(r"linux-(?:binary|modules)-\d[^ ,]*", depends):
                self.unpack(further, part)
            part.rename(target)
        return target


def kernel_of(directory):
    found = sorted(pathlib.Path(directory).rglob("vmlinuz*"))
    if not found:
        raise Trouble(f"there is no kernel in {directory}")
    return found[0]


def module_of(directory, name):
    """(suffix, bytes) of a module's file; None: the image has no such name."""
    for path in pathlib.Path(directory).rglob(f"{name}.ko*"):
        return path.suffix, path.read_bytes()
    return None
