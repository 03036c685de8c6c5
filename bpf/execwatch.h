/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The whole contract between the kernel side and user space; execwatchd/kernel/layout.py mirrors it and a
 * test compares both. Sizes are bytes. Integers are in host order, structures have no implicit padding.
 */
#ifndef EXECWATCH_H
#define EXECWATCH_H

#define COMM_SIZE 16          /* TASK_COMM_LEN */
#define MESSAGE_SIZE 64       /* 63 bytes and their NUL */
#define TTY_SIZE 64           /* tty_struct.name */
#define FILENAME_SIZE 4128    /* PATH_MAX behind "/dev/fd/N/", which execveat() puts in front */
#define INTERP_SIZE 2048      /* a #! line has 256, a binfmt_misc registration 1,920 */
#define NAME_SIZE 256         /* NAME_MAX and its NUL: one component of a path */
#define PATH_AREA 4096        /* all components of a cgroup or of a working directory; a power of two */
#define MAX_DEPTH 64          /* components */
#define MAX_ANCESTORS 8
#define MAX_USERS 10240       /* UIDs with a message or an action of their own */
#define MAX_BUCKETS 4096      /* UIDs with a limit that execute, in each of two maps; those beyond share one */
#define FIRST_SUBORDINATE 65536 /* UIDs from here on are given away in ranges, as /etc/subuid has them */
#define MAX_NAMESPACES 33     /* user namespaces in each other, below the initial one: the kernel's own limit */
#define MAX_CALLERS 8192      /* execs between two of their hooks; a power of two */
#define MAX_RUNNING 32768     /* processes whose end is awaited */
#define MAX_FAILED_ARGS 64    /* arguments read of an exec that failed */

enum action { ACTION_RECORD, ACTION_IGNORE };

/* map `config` (hash, by UID) and map `defaults` (array of one): what an exec by this UID gets */
struct rule {
  char message[MESSAGE_SIZE]; /* UTF-8, NUL-padded */
  __u32 action;
  __u32 limit; /* execs a second; 0: none */
};

/* map `counters` (per-CPU array of one): at rest, seen = ignored + lost + records that left the ring. New
 * members go to the end: a newer daemon reads this of an older one. */
struct counters {
  __u64 seen;
  __u64 ignored;
  __u64 lost;
  __u64 suppressed; /* by a limit; part of ignored */
  __u64 unended;   /* ends that could not be awaited, or were not noticed; part of seen and of lost */
  __u64 retried;    /* execs that on_exec was skipped for and on_exec_retry saw */
};

/* map `buckets` (hash, by UID) and map `subuid_buckets` (the same from FIRST_SUBORDINATE on, and NO_ID for what
 * all others share): a token bucket for one second of execs */
struct bucket {
  __u64 full_at;   /* CLOCK_MONOTONIC, ns: when all of its tokens will be back */
  __u64 suppressed; /* execs that found no token */
  __u64 created;   /* CLOCK_MONOTONIC, ns: tells it from an earlier one of this UID */
  __u32 limit;     /* that the last of them exceeded */
  __u32 unused;
};

/* map `reports` (hash, by UID, never touched by a program): what the journal was told about a bucket's suppressed
 * execs. An entry is written down here, as a draft, before it is sent: after a kill the same entry is sent again. */
enum storm { STORM_STARTED = 1, STORM_CONTINUES, STORM_ENDED };

struct report {
  __u64 created;     /* of the bucket that `reported` counts from */
  __u64 reported;    /* of its suppressed execs; the draft's included */
  __u64 carried;     /* still to be reported: from predecessors of another layout */
  __u64 storm_total; /* reported of this storm */
  __u64 draft;       /* how many execs the draft reports */
  __u64 draft_at;    /* CLOCK_MONOTONIC, ns: when it was written; 0: there is no draft */
  __u32 draft_kind;  /* enum storm */
  __u32 limit;
  __u32 active; /* between a storm's first entry and its last */
  __u32 unused;
};

/* record.flags */
#define HAS_COMM 1         /* comm is the caller's; not set: the rename was not seen */
#define TRUNCATED_FILENAME 2
#define TRUNCATED_ARGV 4
#define TRUNCATED_CGROUP 8
#define TRUNCATED_CWD 16
#define CGROUP_OUTSIDE 32  /* not below the daemon's own cgroup namespace: the path is the kernel's */
#define CWD_UNREACHABLE 64 /* not below the process's own root */
#define HAS_CGROUP 128     /* no components: the root */
#define HAS_CWD 256

struct ancestor {
  __u32 pid;
  char comm[COMM_SIZE];
};

/* what names an exec on a boot, whichever program saw it: of a process, identified by pid and start, the n-th */
struct exec_id {
  __u64 start; /* CLOCK_BOOTTIME, ns */
  __u64 execs; /* task_struct.self_exec_id: a child begins with its parent's */
};

/* map `running` (hash, by pid): recorded processes whose end is still to come */
struct running {
  struct exec_id id; /* of the exec recorded last */
  __u64 exec_time;   /* its record.timestamp */
  __u64 maxrss;      /* pages: what the kernel has as the process's peak from before that exec */
  __u32 uid;         /* its record.uid */
  __u32 unused;
};

struct end {
  __u64 exec_time; /* record.timestamp of the exec */
  __u64 peak;   /* pages that were resident at once since the exec; 0: not known */
  __s32 status; /* as wait(2) has it */
  __u32 unused;
};

#define NO_ID 0xffffffff /* loginuid, session: not set, or the kernel has none */

/* one record of ring buffer `output`; `data` holds, one after the other and without padding:
 * filename (with its NUL), interp (likewise, or nothing), cgroup and cwd (components from the leaf up, each with
 * its NUL; argv, each argument ended by NUL, is between them), ancestors (struct ancestor, the parent first),
 * exec_id (struct exec_id, or nothing), end (struct end, or nothing). One that has an end is of the process's
 * end: its uid is the exec's, all else is of that moment, and its comm is the process's.
 *
 * Most execs have much in common with others, and user space puts that together once. So it is in two places:
 * what is before `timestamp`, and the first three of `data`. Strings are padded with NULs, else it would differ. */
struct record {
  char message[MESSAGE_SIZE];
  char tty[TTY_SIZE];
  char comm[COMM_SIZE];     /* the caller's, before */
  char new_comm[COMM_SIZE]; /* after */
  char parent_comm[COMM_SIZE];
  __u32 flags;
  __s32 result; /* 0, or the negative errno */
  __u32 uid;    /* real, in the initial user namespace */
  __u32 euid;
  __u32 gid;
  __u32 loginuid;
  __u32 session;
  __u32 pidns; /* inode numbers, as in /proc/PID/ns; 0: not known */
  __u32 mntns;
  __u32 filename_len;
  __u32 interp_len;
  __u32 cgroup_len;
  __u64 timestamp; /* CLOCK_MONOTONIC, ns */
  __u32 argv_len;
  __u32 cwd_len;
  __u32 ancestors_len;
  __u32 exec_id_len;
  __u32 end_len;
  __u32 pid; /* thread group id, as the initial pid namespace has it */
  __u32 ppid;
  __u32 nspid; /* pid in its own pid namespace; 0 in the initial one */
  __u32 argc;
  __u32 argv_total; /* bytes of all arguments; data has argv_len of them */
  char data[];
};

/*
 * map `ledger` (array of one, memory-mapped, never touched by a program): the daemon's books, which outlive
 * it. A change fills the page that isn't current, then stores `current`: one aligned store, so that a kill
 * leaves either the old page or the new one, never half of one. New members go to the end: a newer daemon
 * reads this of an older one.
 */
#define SCHEMA_SIZE 1024

struct ledger_page {
  __u64 forwarded; /* records that the journal accepted */
  __u64 malformed; /* records that could not be decoded; they count as lost */
  __u64 handled;   /* 1 + the ring's position of the record handled last; 0: none yet */
  __u64 held;      /* bytes of the record in `held`, which left the ring and is not forwarded yet */
  __u64 reported;  /* losses that the journal was told of */
  __u64 seen;      /* what predecessors of another layout counted, all that they lost included */
  __u64 ignored;
  __u64 lost;
  __u64 since;   /* CLOCK_REALTIME, us */
  __u64 settled; /* 0: a predecessor's numbers are still to be added */
};

struct ledger {
  __u64 current;            /* which page counts */
  char digest[64];          /* of program and options, hexadecimal */
  char schema[SCHEMA_SIZE]; /* the layout of struct record, so that any later daemon can read this ring */
  struct ledger_page pages[2];
  char held[];
};

#endif
