"""Runs a command with the system calls and rights that a unit leaves its service, as systemd.exec(5) says it.

    sandbox.py UNIT COMMAND...

Of the unit: SystemCallFilter=, SystemCallErrorNumber=EPERM, RestrictAddressFamilies=, MemoryDenyWriteExecute=, NoNewPrivileges=, an
empty CapabilityBoundingSet=, and a user without rights. What is mounted how is the caller's matter. Needs root, libseccomp and
systemd-analyze (for what the groups of calls are).
"""

import ctypes
import os
import socket
import subprocess
import sys

EPERM = 1
ALLOW, DENY = 0x7FFF0000, 0x00050000 | EPERM
EQUAL, MASKED_EQUAL = 4, 7
PROT_WRITE, PROT_EXEC = 2, 4
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
NOBODY = 65534


class Compare(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def settings(unit):
    """What the unit says, each setting with all its values."""
    said = {}
    for line in open(unit):
        if "=" in line and not line.startswith("#"):
            name, value = line.strip().split("=", 1)
            said.setdefault(name, []).append(value)
    return said


def group(name):
    """The calls of a group, those of the groups in it included."""
    listed = subprocess.run(["systemd-analyze", "syscall-filter", name], check=True, capture_output=True, text=True)
    calls = set()
    for word in (line.strip() for line in listed.stdout.splitlines()[1:]):
        if word.startswith("@"):
            calls |= group(word)
        elif word and not word.startswith("#"):
            calls.add(word)
    return calls


def allowed(filters):
    calls = group("@default")
    for value in filters:
        words = set().union(*(group(w) if w.startswith("@") else {w} for w in value.lstrip("~").split()))
        calls = calls - words if value.startswith("~") else calls | words
    return calls


def shut(said):
    """The filter of this process and those that it becomes."""
    seccomp = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(DENY)))

    def rule(name, *compares):
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            return  # of another machine
        array = (Compare * max(len(compares), 1))(*compares)
        done = seccomp.seccomp_rule_add_array(context, ctypes.c_uint32(ALLOW), number, len(compares), array)
        assert done == 0, (name, done)

    calls = allowed(said["SystemCallFilter"])
    assert "mount" not in calls and "openat2" in calls, "the groups were not read as they are"
    families = said["RestrictAddressFamilies"][0].split()
    no_writable_code = said["MemoryDenyWriteExecute"] == ["yes"]
    for name in sorted(calls):
        if name == "socket":
            for family in families:
                rule(name, Compare(0, EQUAL, getattr(socket, family), 0))
        elif name == "mmap" and no_writable_code:
            rule(name, Compare(2, MASKED_EQUAL, PROT_WRITE, 0))
            rule(name, Compare(2, MASKED_EQUAL, PROT_EXEC, 0))
        elif name in ("mprotect", "pkey_mprotect") and no_writable_code:
            rule(name, Compare(2, MASKED_EQUAL, PROT_EXEC, 0))
        else:
            rule(name)
    done = seccomp.seccomp_load(context)
    assert done == 0, done


def main():
    unit, command = sys.argv[1], sys.argv[2:]
    said = settings(unit)
    assert said["CapabilityBoundingSet"][0] == "" and said["NoNewPrivileges"] == ["yes"], said
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    shut(said)
    os.execv(command[0], command)


main()
