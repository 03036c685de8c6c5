/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may put a record into the ring, and sending it.
 *
 * Below half of the ring whoever comes first is served. Above, a UID may have a quarter of what is still free
 * there (dynamic thresholds: A. K. Choudhury and E. L. Hahne, 1998). So whoever floods the ring leaves most of it
 * to whoever comes next, however many they are, and each has something. As much as is free, their usual measure,
 * would be too much: while the journal stalls nothing leaves the ring, and of users who flood it one after the
 * other each would take half of what is left.
 *
 * UID 0 may always have a quarter of the ring: what it doesn't use of that isn't free for others. UIDs from
 * FIRST_SUBORDINATE on, of which a user may have thousands, may together have as much as is free.
 *
 * Only what is sent above half is charged. User space needn't say what it has read: a charge goes to the epoch of
 * the ring that the record lies in, and counts until the reader's position has come to that epoch.
 */

#define RING_SIZE (RING_PAGES * 4096LL)
#define EPOCH_SIZE (RING_SIZE / EPOCHS)
#define RECORD_HEADER 8 /* BPF_RINGBUF_HDR_SZ */

/* BCC has no call for it. OUTPUT_FD is what the loader makes a descriptor of map `output`. */
static __always_inline s64 ring(u64 position_or_size)
{
  return bpf_ringbuf_query((void *)bpf_pseudo_fd(1, OUTPUT_FD), position_or_size);
}

/* Bytes of a share, in this epoch and later ones. A mask, as the verifier would follow both ways of a branch. */
static __always_inline s64 bytes_since(u32 epoch, struct bucket *bucket)
{
  s64 sum = 0;

  for (int i = 0; i < EPOCHS; i++) {
    struct charge *charge = &bucket->charges[i];
    s64 is_before = (s64)(s32)(charge->epoch - epoch) >> 63;
    IN_ONE_REGISTER(is_before);
    sum += charge->bytes & ~is_before;
  }
  return sum;
}

/* CPUs that enter an epoch at the same time may forget a record of each other. */
static __always_inline void add_charge(struct bucket *bucket, u32 epoch, u32 bytes)
{
  struct charge *charge = &bucket->charges[epoch & (EPOCHS - 1)];

  if (charge->epoch != epoch) {
    charge->epoch = epoch;
    charge->bytes = 0;
  }
  __sync_fetch_and_add(&charge->bytes, bytes);
}

/* What is free for others than root. */
static __always_inline s64 free_for_others(s64 free, u32 epoch)
{
  struct bucket *bucket = existing_bucket(0);
  s64 reserved = RING_SIZE / 4 - (bucket ? bytes_since(epoch, bucket) : 0);

  return reserved > 0 ? free - reserved : free;
}

/* Whether there is a share for a record of this UID, whatever its size: before it is put together. */
static __always_inline bool has_share(u32 uid)
{
  s64 waiting = ring(BPF_RB_AVAIL_DATA);
  u32 payer = unknown(uid);

  if (waiting <= RING_SIZE / 2)
    return true;
  u64 now = bpf_ktime_get_ns();
  u32 epoch = (u64)ring(BPF_RB_CONS_POS) / EPOCH_SIZE + 1; /* the rest of the reader's own doesn't count */
  s64 free = free_for_others(RING_SIZE - waiting, epoch);
  struct bucket *bucket = bucket_of(payer, now), *all = shared_bucket();
  if (!bucket || !all) /* cannot be: user space makes the shared one */
    return true;
  bucket->contended = now;
  if (is_subordinate(payer) && bytes_since(epoch, all) >= free)
    return false;
  return 4 * bytes_since(epoch, bucket) < (payer ? free : RING_SIZE);
}

/* Charges a record that was sent a moment ago. Who had no bucket then sent it below half of the ring. */
static __always_inline void charge(u32 payer, u64 size)
{
  s64 waiting = ring(BPF_RB_AVAIL_DATA);

  if (waiting <= RING_SIZE / 2)
    return;
  u32 epoch = (u64)(ring(BPF_RB_CONS_POS) + waiting) / EPOCH_SIZE;
  struct bucket *bucket = existing_bucket(payer), *all = shared_bucket();
  size = (size + RECORD_HEADER + 7) & ~7ULL;
  if (bucket)
    add_charge(bucket, epoch, size);
  if (all && (!bucket || is_subordinate(payer)))
    add_charge(all, epoch, size);
}

static __always_inline void count_lost(struct counters *counts, u32 payer)
{
  u64 now = bpf_ktime_get_ns();
  struct bucket *bucket = bucket_of(payer, now);

  COUNT(counts, lost); /* first: user space reads them in the other order, and finds no more by UID than in all */
  if (!bucket)
    return;
  bucket->contended = now;
  __sync_fetch_and_add(&bucket->lost, 1);
}

/*
 * Sends the record; false, and counted, if the ring has no room. `limit` is the size of its scratch memory,
 * which no record exceeds: it is there for verifiers that forget the bounds of a value that was on the
 * stack.
 */
static __always_inline bool submit(struct counters *counts, struct cursor *cursor, u64 limit, u32 payer)
{
  u64 size = sizeof(struct record) + cursor->used;
  IN_ONE_REGISTER(size);
  if (size > limit)
    size = limit;
  if (output.ringbuf_output(cursor->record, size, 0)) {
    count_lost(counts, payer);
    return false;
  }
  charge(payer, size);
  return true;
}
