/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The token bucket of a UID, or of the kernel, and its share of the ring. */

static __always_inline bool is_subordinate(u32 key)
{
  return key >= FIRST_SUBORDINATE && key != KERNEL_ID;
}

static __always_inline struct bucket *shared_bucket(void)
{
  u32 others = NO_ID;
  return subuid_buckets.lookup(&others);
}

/* NULL: there is none yet. */
static __always_inline struct bucket *existing_bucket(u32 key)
{
  return is_subordinate(key) ? subuid_buckets.lookup(&key) : buckets.lookup(&key);
}

/* The bucket with this key, a full one if it is new. The shared one, if the map has no room. */
static __always_inline struct bucket *bucket_of(u32 key, u64 now)
{
  struct bucket full = {.created = now}, *bucket = existing_bucket(key);

  if (bucket)
    return bucket;
  if (is_subordinate(key)) /* fails if another CPU was faster, or if there is no room */
    subuid_buckets.insert(&key, &full);
  else
    buckets.insert(&key, &full);
  bucket = existing_bucket(key);
  return bucket ? bucket : shared_bucket();
}
