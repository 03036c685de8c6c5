/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rate limits: a token bucket for each UID that has one. */

#define SECOND 1000000000ULL

/*
 * The UID whose limit applies. Any user may have thousands of subordinate UIDs in a user namespace: they
 * count as the user who made the outermost namespace. If root made it, as for a container, each UID counts
 * by itself.
 */
static __always_inline u32 charged(u32 uid, struct task_struct *task)
{
  u32 owner = 0;

  if (uid < FIRST_SUBORDINATE)
    return uid;
  struct user_namespace *ns = GET(GET(task, cred), user_ns);
  for (int i = 0; i < MAX_NAMESPACES; i++) {
    struct user_namespace *parent = GET(ns, parent);
    if (!parent) /* the initial namespace */
      break;
    owner = GET(ns, owner);
    ns = parent;
  }
  return owner ? owner : uid;
}

/* The bucket of a UID, a full one if it is new. The shared one, if the map has no room. */
static __always_inline struct bucket *bucket_of(u32 uid, u64 now)
{
  u32 others = NO_ID;
  struct bucket full = {.created = now}, *bucket;

  if (uid < FIRST_SUBORDINATE) {
    bucket = buckets.lookup(&uid);
    if (!bucket) {
      buckets.insert(&uid, &full); /* fails if another CPU was faster, or if there is no room */
      bucket = buckets.lookup(&uid);
    }
  } else {
    bucket = subuid_buckets.lookup(&uid);
    if (!bucket) {
      subuid_buckets.insert(&uid, &full);
      bucket = subuid_buckets.lookup(&uid);
    }
  }
  return bucket ? bucket : subuid_buckets.lookup(&others);
}

/*
 * Takes a token from the bucket, which holds those of one second; true, and counted, if there was none.
 *
 * CPUs that look at the same time may all find the last token. Each of these execs is recorded, and each
 * takes its token, so the next ones wait longer. The count of suppressed execs is exact.
 */
static __always_inline bool is_suppressed(struct counters *counts, struct rule *rule, u32 uid,
                                          struct task_struct *task)
{
  u32 owner = charged(uid, task);
  if (owner != uid)
    rule = rule_of(owner);
  if (!rule || !rule->limit)
    return false;
  u64 now = bpf_ktime_get_ns(), token = SECOND / rule->limit;
  struct bucket *bucket = bucket_of(owner, now);
  if (!bucket) /* cannot be: user space makes the shared one */
    return false;
  u64 full_at = bucket->full_at;
  if (full_at <= now) {
    bucket->full_at = now + token;
    return false;
  }
  if (full_at + token <= now + SECOND) {
    __sync_fetch_and_add(&bucket->full_at, token);
    return false;
  }
  bucket->limit = rule->limit;
  __sync_fetch_and_add(&bucket->suppressed, 1);
  COUNT(counts, suppressed);
  return true;
}
