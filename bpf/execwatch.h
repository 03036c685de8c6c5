/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The contract between the program and user space. execwatchd/kernel/layout.py mirrors it, and a test
 * compares both. Sizes are bytes. Integers are in host order, structures have no implicit padding.
 */
#ifndef EXECWATCH_H
#define EXECWATCH_H

#define COMM_SIZE 16          /* TASK_COMM_LEN */
#define MESSAGE_SIZE 64       /* 63 bytes and their NUL */
#define TTY_SIZE 64           /* tty_struct.name */
#define FILENAME_SIZE 4128    /* PATH_MAX, and "/dev/fd/N/", which execveat() puts in front */
#define INTERP_SIZE 2048      /* a #! line has 256, a binfmt_misc registration 1,920 */
#define NAME_SIZE 256         /* NAME_MAX and its NUL: a component of a path */
#define PATH_AREA 4096        /* all components of a path or of a cgroup; a power of two */
#define MAX_DEPTH 64          /* components */
#define MAX_FORKS 8           /* ancestors between a process and the nearest that executed something */
#define MAX_ANCESTORS 8
#define MAX_USERS 10240       /* UIDs with a rule of their own */
#define MAX_BUCKETS 4096      /* in each of two maps; UIDs beyond that share a bucket */
#define FIRST_SUBORDINATE 65536 /* UIDs from here on are given away in ranges: /etc/subuid */
#define KERNEL_ID 0xfffffffe  /* in place of a UID: of the kernel's own execs */
#define CONTAINERS_ID 0xfffffffd /* in place of a UID: of all in user namespaces that root made */
#define EPOCHS 16             /* parts of the ring by which a share of it is counted; a power of two */
#define MAX_NAMESPACES 33     /* user namespaces in each other: the kernel's own limit */
#define MAX_CALLERS 8192      /* execs between task_rename and sched_process_exec; a power of two */
#define MAX_RUNNING 32768     /* processes whose exit is awaited */
#define MAX_FAILED_ARGS 64    /* arguments that are read of a failed exec */

enum action { ACTION_RECORD, ACTION_IGNORE };

/* Map `config` (hash, by UID), and map `defaults` (array of one) for all other UIDs. */
struct rule {
  char message[MESSAGE_SIZE]; /* UTF-8, NUL-padded */
  __u32 action;
  __u32 limit; /* execs a second; 0: no limit */
};

/*
 * Map `counters` (per-CPU array of one). At rest, seen = ignored + lost + records that left the ring. New
 * members go to the end, since a daemon also reads the counters of an older version's program.
 */
struct counters {
  __u64 seen;
  __u64 ignored;
  __u64 lost;
  __u64 suppressed; /* by a rate limit; part of ignored */
  __u64 unended;    /* exits that could not be awaited, or were skipped; part of seen and of lost */
  __u64 retried;    /* execs that on_exec was skipped for and on_exec_retry saw */
};

/* The bytes of a share that were put into one epoch of the ring: one of its EPOCHS parts, counted for ever. */
struct charge {
  __u32 epoch;
  __u32 bytes;
};

/*
 * What a UID may have: a token bucket for one second of execs, and a share of the ring. Map `buckets` (hash, by
 * UID) has those of UIDs below FIRST_SUBORDINATE, and under KERNEL_ID that of the kernel's own execs; map
 * `subuid_buckets` (hash, by UID) has the others', the share of CONTAINERS_ID, and under NO_ID the one that is
 * shared, whose charges are those of all UIDs in this map. A user with UID KERNEL_ID has that one.
 */
struct bucket {
  __u64 full_at;    /* CLOCK_MONOTONIC, ns: when all of its tokens will be back */
  __u64 suppressed; /* execs that found no token */
  __u64 created;    /* CLOCK_MONOTONIC, ns: tells it from an earlier bucket of this UID */
  __u32 limit;      /* that the last suppressed exec exceeded */
  __u32 unused;
  __u64 lost;       /* records for which the ring, or the share of it, had no room */
  __u64 contended;  /* CLOCK_MONOTONIC, ns: when the share mattered last */
  struct charge charges[EPOCHS]; /* of the share, by epoch modulo EPOCHS */
};

/*
 * Map `reports` (hash, by UID, never touched by a program): what was reported in the journal of a bucket's
 * suppressed and lost execs. An entry of suppressed ones is written down here, as a draft, before it is sent:
 * after a kill the same entry is sent again. An entry of lost ones is of all UIDs; it counts for each of them at
 * the instant at which the ledger says that it was sent.
 */
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
  __u32 active; /* between the first and the last entry of a storm */
  __u32 unused;
  __s64 lost;      /* of its lost execs and ends, reported; below 0: carried over, and still to be reported */
  __s64 lost_next; /* the same once ledger_page.reported has reached `lost_from` */
  __u64 lost_from; /* 0: `lost` is all */
};

/* record.flags */
#define HAS_COMM 1         /* comm is the caller's; not set: on_task_rename was skipped */
#define TRUNCATED_FILENAME 2
#define TRUNCATED_ARGV 4
#define TRUNCATED_CGROUP 8
#define TRUNCATED_CWD 16
#define CGROUP_OUTSIDE 32  /* not below the root of the daemon's cgroup namespace: the path is the kernel's */
#define CWD_UNREACHABLE 64 /* not below the root directory of the process */
#define HAS_CGROUP 128     /* without components it is the root */
#define HAS_CWD 256
#define BY_KERNEL 512      /* the parent is a kernel thread: modprobe, a core dump's handler, request-key */
#define CWD_DELETED 1024   /* as /proc/PID/cwd marks it */
#define TRUNCATED_EXE 2048
#define EXE_UNREACHABLE 4096
#define EXE_DELETED 8192
#define TRUNCATED_PARENT_EXE 16384
#define PARENT_EXE_UNREACHABLE 32768
#define PARENT_EXE_DELETED 65536
#define IS_FILELESS 131072  /* no link to the file was left: a memfd, O_TMPFILE, or deleted */
#define IS_UPPER 262144     /* the file is in the upper layer of an overlay */
#define GAINED_EUID 524288  /* these three: by this exec */
#define GAINED_EGID 1048576
#define GAINED_CAPS 2097152

struct ancestor {
  __u32 pid;
  char comm[COMM_SIZE];
};

/*
 * With the pid it identifies an exec on this boot, whichever program saw it: pid and start identify the
 * process, execs is the number of the exec in it.
 */
struct exec_id {
  __u64 start; /* CLOCK_BOOTTIME, ns */
  __u64 execs; /* task_struct.self_exec_id: a child starts with its parent's */
};

/* Map `running` (hash, by pid): processes with a recorded exec whose exit is awaited. */
struct running {
  struct exec_id id; /* of the exec recorded last */
  __u64 exec_time;   /* record.timestamp of that exec */
  __u64 maxrss;      /* pages: the peak that the kernel had for the process at that exec */
  __u32 uid;         /* record.uid of that exec */
  __u32 payer;       /* whose share of the ring its end takes: a key of the buckets */
};

struct end {
  __u64 exec_time; /* record.timestamp of the exec */
  __u64 peak;      /* most resident pages since the exec; 0: unknown */
  __s32 status;    /* as wait(2) has it */
  __u32 unused;
};

#define NO_ID 0xffffffff /* loginuid, session: not set, or the kernel has no such thing */

/*
 * A record of ring buffer `output`. `data` has these parts, without padding, each as long as its member
 * …_len:
 *
 *   filename   with its NUL
 *   interp     with its NUL, or empty
 *   cgroup     components of the path from the leaf up, each with its NUL
 *   exe        components, as of the cgroup: of the file that the kernel runs
 *   parent_exe components: of the file that the parent runs, or empty
 *   argv       arguments, each with its NUL
 *   cwd        components
 *   ancestors  struct ancestor, the parent first
 *   end        struct end, or empty
 *
 * A record with an end is that of a process's exit: uid is the exec's, comm is the process's, and all else
 * is as it was at the exit.
 *
 * Most execs have much in common with earlier ones, and user space formats that only once. It is therefore
 * in two places: before `timestamp`, and in the first five parts of `data`. Equal values must be equal
 * bytes, so strings are padded with NULs.
 */
struct record {
  char message[MESSAGE_SIZE];
  char tty[TTY_SIZE];
  char comm[COMM_SIZE];     /* the caller's */
  char new_comm[COMM_SIZE]; /* after the exec */
  char parent_comm[COMM_SIZE];
  __u32 flags;
  __s32 result; /* 0, or the negative errno */
  __u32 uid;    /* real, in the initial user namespace */
  __u32 euid;
  __u32 gid;
  __u32 loginuid;
  __u32 session;
  __u32 pidns; /* inode numbers, as in /proc/PID/ns; 0: unknown */
  __u32 mntns;
  __u32 filename_len;
  __u32 interp_len;
  __u32 cgroup_len;
  __u32 exe_len;
  __u32 parent_exe_len;
  __u32 exe_device; /* the super block's, as the kernel has it: major << 20 | minor */
  __u32 exe_mode;
  __u32 exe_uid; /* in the initial user namespace, as on disk */
  __u32 exe_gid;
  __u64 exe_inode;  /* 0: unknown, and so are the four above and the one below */
  __s64 exe_ctime;  /* CLOCK_REALTIME, ns */
  __u64 caps;       /* effective capabilities; 0 also for all of the bounding set */
  __u64 timestamp; /* CLOCK_MONOTONIC, ns */
  struct exec_id exec_id;   /* 0: of a failed exec */
  struct exec_id parent_id; /* with parent_pid: the exec of the nearest ancestor that executed something */
  __u32 parent_pid;         /* 0: unknown */
  __u32 argv_len;
  __u32 cwd_len;
  __u32 ancestors_len;
  __u32 end_len;
  __u32 pid; /* thread group id in the initial pid namespace */
  __u32 ppid;
  __u32 nspid; /* pid in its own pid namespace; 0 in the initial one */
  __u32 argc;
  __u32 argv_total; /* bytes of all arguments; data has argv_len of them */
  char data[];
};

/*
 * Map `ledger` (array of one, memory-mapped, never touched by a program): the daemon's books, which outlive
 * it. A change fills the page that isn't current, then stores `current`. That is one aligned store, so a
 * kill leaves either the old page or the new one. New members go to the end, since a daemon also reads the
 * books of an older version.
 */
#define SCHEMA_SIZE 1016

struct ledger_page {
  __u64 forwarded; /* records that the journal accepted */
  __u64 malformed; /* records that could not be decoded; they count as lost */
  __u64 handled;   /* 1 + the ring's position of the record handled last; 0: none was */
  __u64 held;      /* bytes of the record in ledger.held, which left the ring and is not forwarded yet */
  __u64 reported;  /* lost records that were reported in the journal */
  __u64 seen;      /* these three: counted by predecessors of another layout */
  __u64 ignored;
  __u64 lost;
  __u64 since;   /* CLOCK_REALTIME, us */
  __u64 settled; /* 0: the predecessors' numbers are still to be added */
};

/* At the end of the map: what the programs had counted when the counters were looked at last. It is read if
 * map `counters` doesn't come back from the service manager's store, or a program, which counts what it missed.
 */
struct ledger_shown {
  __u64 seen; /* as in struct counters */
  __u64 ignored;
  __u64 lost;
  __u64 missed; /* execs that the kernel skipped both programs for */
};

struct ledger {
  __u64 current;            /* the page that is valid: 0 or 1 */
  char digest[64];          /* of program and options, hexadecimal */
  char schema[SCHEMA_SIZE]; /* layout of struct record, so that any later version can read this ring */
  __u64 mntns;              /* the host's mount namespace, which entries leave out; 0: unknown */
  struct ledger_page pages[2];
  char held[];
};

#endif
