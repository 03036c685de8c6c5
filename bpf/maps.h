/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The maps that user space reads or writes; their values are described in execwatch.h. */

#define PATH_SIZE (PATH_AREA + NAME_SIZE) /* room for a path */
#define DATA_SIZE \
  (FILENAME_SIZE + INTERP_SIZE + ARGV_BYTES + 4 * PATH_SIZE + \
   MAX_ANCESTORS * sizeof(struct ancestor))

/* Room for the largest record. */
struct scratch {
  struct record record;
  char data[DATA_SIZE];
};

BPF_TABLE("hash", u32, struct rule, config, MAX_USERS);
BPF_ARRAY(defaults, struct rule, 1);
BPF_PERCPU_ARRAY(counters, struct counters, 1);
BPF_RINGBUF_OUTPUT(output, RING_PAGES);
BPF_TABLE("hash", u32, struct bucket, buckets, MAX_BUCKETS);
BPF_TABLE("hash", u32, struct bucket, subuid_buckets, MAX_BUCKETS);
/* Four times as many as both maps of buckets: user space also keeps reports that it carries over. */
BPF_F_TABLE("hash", u32, struct report, reports, 8 * MAX_BUCKETS, BPF_F_NO_PREALLOC);

struct ledger_value {
  struct ledger ledger;
  struct scratch held;
  struct ledger_shown shown;
};
BPF_F_TABLE("array", u32, struct ledger_value, ledger, 1, BPF_F_MMAPABLE);

/* Atomic, although each CPU has its own counters: one program may interrupt another. */
#define COUNT(counts, member) __sync_fetch_and_add(&(counts)->member, 1)

static __always_inline struct counters *this_cpus_counters(void)
{
  int zero = 0;
  return counters.lookup(&zero);
}
