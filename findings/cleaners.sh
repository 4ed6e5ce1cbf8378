#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What two cleaners of temporary directories do with the files of a running server: a socket, and a lock file beside it.
#
# Guessed: a cleaner spares a file that a process holds with flock(); a sticky bit protects a file from every cleaner,
# as the XDG base directory rules suggest; a socket that a process listens on is spared. Seen, with systemd-tmpfiles
# 252.39-1~deb12u2 and tmpreaper 1.6.17 (Debian 12):
#
#   file, 40 days old                   systemd-tmpfiles --clean     tmpreaper     tmpreaper --all
#   listening socket                    kept                         kept          removed
#   the same, sticky                    kept                         kept          removed
#   the same, other network namespace   removed                      kept          removed
#   the same, sticky                    kept                         kept          removed
#   socket of a process that is gone    removed                      kept          removed
#   lock file, held with flock()        removed                      removed       removed
#   the same, sticky                    kept                         removed       removed
#
# So the usual end is the worst one: the lock goes, the live socket stays. systemd-tmpfiles finds live sockets in
# /proc/net/unix, which lists the sockets of one network namespace.
#
# Installs nothing on this machine: the packages are unpacked in a temporary directory. Needs apt-get, python3, unshare
# and root. Exit status 0: all is as said above. 77: it could not be tried. 1: something is different.

set -euo pipefail

versions=(systemd-standalone-tmpfiles=252.39-1~deb12u2 tmpreaper=1.6.17)

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"

unshare -n true 2>/dev/null || { echo "SKIP: no right to make a network namespace" && exit 77; }
for package in "${versions[@]}"; do
    apt-get -q -q -o APT::Sandbox::User=root download "$package" >/dev/null 2>&1 ||
        { echo "SKIP: $package cannot be downloaded" && exit 77; }
done
for package in ./*.deb; do
    dpkg-deb -x "$package" unpacked
done

cat >cleaners.py <<'PYTHON'
import fcntl, os, shutil, socket, subprocess, sys, time

LISTEN = """
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.bind(sys.argv[1])
s.listen(1)
print("listening", flush=True)
sys.stdin.read()
"""
HERE = os.getcwd()
TMPFILES = ["unpacked/bin/systemd-tmpfiles", "--clean", os.path.join(HERE, "scene.conf")]
TMPREAPER = ["unpacked/usr/sbin/tmpreaper", "--mtime", "1h"]
STICKY = 0o1000


def listener(path, mode, prefix=()):
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", LISTEN, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdout.readline()
    os.chmod(path, mode)
    return process


def clean(command):
    """Makes the scene, lets the cleaner see it when it is old enough, and reports the files that are left."""
    scene = os.path.join(HERE, "scene")
    os.mkdir(scene)
    with open("scene.conf", "w") as conf:
        conf.write(f"d {scene} 0700 - - 1s\n")
    processes, locks = [], []
    for name, sticky in (("", 0), ("-sticky", STICKY)):
        processes.append(listener(f"{scene}/live{name}", 0o600 | sticky))
        processes.append(listener(f"{scene}/elsewhere{name}", 0o600 | sticky, ["unshare", "-n"]))
        descriptor = os.open(f"{scene}/locked{name}", os.O_RDWR | os.O_CREAT, 0o600)
        os.fchmod(descriptor, 0o600 | sticky)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        locks.append(descriptor)
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    dead.bind(f"{scene}/dead")
    dead.close()
    names = set(os.listdir(scene))
    old = time.time() - 40 * 86400
    for name in names:
        os.utime(os.path.join(scene, name), (old, old))
    time.sleep(2.5)  # systemd-tmpfiles looks at the times of change and of birth, too
    subprocess.run(command + ([scene] if command is not TMPFILES else []), check=True)
    left = set(os.listdir(scene))
    for process in processes:
        process.stdin.close()
        process.wait()
    for descriptor in locks:
        os.close(descriptor)
    shutil.rmtree(scene)
    return names - left


EXPECTED = (
    (TMPFILES, {"dead", "elsewhere", "locked"}),
    (TMPREAPER, {"locked", "locked-sticky"}),
    (
        TMPREAPER + ["--all"],
        {"live", "live-sticky", "elsewhere", "elsewhere-sticky", "dead", "locked", "locked-sticky"},
    ),
)
different = False
for command, expected in EXPECTED:
    removed = clean(command)
    name = " ".join([os.path.basename(command[0]), *command[1:]]).split(" " + HERE)[0]
    print(f"{name}: removed {', '.join(sorted(removed)) or 'nothing'}")
    if removed != expected:
        print(f"  DIFFERENT: it was {', '.join(sorted(expected))}")
        different = True
sys.exit(1 if different else 0)
PYTHON
python3 -B cleaners.py
