# SPDX-License-Identifier: GPL-2.0-or-later
"""bpf/execwatch.h for user space, whose other modules take all sizes from here; a test compares both."""

import re
import struct
from enum import IntFlag

COMM_SIZE = 16
MESSAGE_SIZE = 64
MAX_ANCESTORS = 8
MAX_USERS = 10240
MAX_BUCKETS = 4096
FIRST_SUBORDINATE = 65536
KERNEL_ID = 2**32 - 2
CONTAINERS_ID = 2**32 - 3
EPOCHS = 16
MAX_CALLERS = 8192
MAX_RUNNING = 32768
SCHEMA_SIZE = 1016
HOST_PIDNS = 0xEFFFFFFC  # PID_NS_INIT_INO in uapi/linux/nsfs.h: the initial pid namespace
NO_ID = 2**32 - 1
FILENAME_SIZE = 4128
INTERP_SIZE = 2048
NAME_SIZE = 256
PATH_AREA = 4096

RULE = struct.Struct(f"={MESSAGE_SIZE}sII")  # struct rule: message, action, limit
ANCESTOR = struct.Struct(f"=I{COMM_SIZE}s")  # struct ancestor: pid, comm
COUNTERS = struct.Struct("=6Q")  # struct counters: seen, ignored, lost, suppressed, unended, retried
# struct bucket without `charges`: full_at, suppressed, created, limit, unused, lost, contended
BUCKET = struct.Struct(f"=3QII2Q{8 * EPOCHS}x")
REPORT = struct.Struct("=6Q4I2qQ")  # struct report
EXEC_ID = struct.Struct("=2Q")  # struct exec_id: start, execs
NO_EXEC = bytes(EXEC_ID.size)
END = struct.Struct("=2QiI")  # struct end: exec_time, peak, status, unused
RUNNING = struct.Struct("=4QII")  # struct running: start, execs, exec_time, maxrss, uid, payer


class Flag(IntFlag):
    """record.flags"""

    HAS_COMM = 1
    TRUNCATED_FILENAME = 2
    TRUNCATED_ARGV = 4
    TRUNCATED_CGROUP = 8
    TRUNCATED_CWD = 16
    CGROUP_OUTSIDE = 32
    CWD_UNREACHABLE = 64
    HAS_CGROUP = 128
    HAS_CWD = 256
    BY_KERNEL = 512
    CWD_DELETED = 1024
    TRUNCATED_EXE = 2048
    EXE_UNREACHABLE = 4096
    EXE_DELETED = 8192
    TRUNCATED_PARENT_EXE = 16384
    PARENT_EXE_UNREACHABLE = 32768
    PARENT_EXE_DELETED = 65536
    IS_FILELESS = 131072
    IS_UPPER = 262144
    GAINED_EUID = 524288
    GAINED_EGID = 1048576
    GAINED_CAPS = 2097152


# struct record as `name:code` of the struct module. Members called *_len are the lengths of the parts that
# follow the structure, in this order. The daemon writes this text into the ledger, so that a later version
# with another layout can read what is still in the ring.
SCHEMA = (
    "message:64s tty:64s comm:16s new_comm:16s parent_comm:16s"
    " flags:I result:i uid:I euid:I gid:I loginuid:I session:I pidns:I mntns:I"
    " filename_len:I interp_len:I cgroup_len:I exe_len:I parent_exe_len:I"
    " exe_device:I exe_mode:I exe_uid:I exe_gid:I exe_inode:Q exe_ctime:q caps:Q"
    " timestamp:Q exec_id:16s parent_id:16s parent_pid:I argv_len:I cwd_len:I ancestors_len:I end_len:I"
    " pid:I ppid:I nspid:I argc:I argv_total:I"
)

# struct ledger: current, digest, schema, mntns; two pages; the held record; at the end struct ledger_shown
LEDGER_HEAD = struct.Struct(f"=Q64s{SCHEMA_SIZE}sQ")
LEDGER_PAGE = struct.Struct("=10Q")
LEDGER_SHOWN = struct.Struct("=4Q")
LEDGER_SIZE = LEDGER_HEAD.size + 2 * LEDGER_PAGE.size


_FIELD = re.compile(r"[a-z_]+:(?:[BHIQbhiq]|[0-9]{1,4}s)").fullmatch


def record_head(schema: str) -> struct.Struct:
    """The fixed part of a record of this schema. Raises ValueError if it isn't a schema."""
    if not schema or not all(map(_FIELD, schema.split())):
        raise ValueError(f"no schema of a record: {schema[:80]!r}")
    return struct.Struct("=" + "".join(field.partition(":")[2] for field in schema.split()))


def members(*names: str) -> struct.Struct:
    """Reads these members of the fixed part of a record, the id of an exec as two numbers.

    They must be in the order of SCHEMA.
    """
    codes = dict(field.split(":") for field in SCHEMA.split())
    codes |= dict.fromkeys(("exec_id", "parent_id"), EXEC_ID.format.removeprefix("="))
    if list(names) != [name for name in codes if name in names]:
        raise ValueError(f"not in the order of the schema: {names}")
    skipped = (code if name in names else f"{struct.calcsize(code)}x" for name, code in codes.items())
    return struct.Struct("=" + "".join(skipped))
