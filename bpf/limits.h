/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rate limits: a token bucket for each UID that has one, and for the kernel. */

#define SECOND 1000000000ULL

/*
 * Takes a token from the bucket, which holds those of one second; true, and counted, if there was none.
 *
 * CPUs that look at the same time may all find the last token. Each of these execs is recorded, and each
 * takes its token, so the next ones wait longer. The count of suppressed execs is exact.
 */
static __always_inline bool is_suppressed(struct counters *counts, struct rule *rule, struct subject *subject)
{
  if (subject->charged != subject->uid)
    rule = rule_of(subject->charged);
  if (!rule || !rule->limit)
    return false;
  u64 now = bpf_ktime_get_ns(), token = SECOND / rule->limit;
  struct bucket *bucket = bucket_of(bucket_key(subject), now);
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
