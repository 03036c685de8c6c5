/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A record grows by one part after the other, and goes to the ring. */

/*
 * Where the next part goes. Each append_…() returns the bytes that it added.
 *
 * The verifier must know that all parts fit. It adds up the largest length of each, so a length is bounded where
 * it comes from, and the sum never is: each comparison of it would double the states to follow.
 */
struct cursor {
  struct record *record;
  u64 used; /* of record->data */
};

/* Keeps a value in one register: the compiler may else bound one copy of it and use another. */
#define IN_ONE_REGISTER(value) asm volatile("" : "+r"(value))

static __always_inline char *place(struct cursor *cursor)
{
  IN_ONE_REGISTER(cursor->used);
  return cursor->record->data + cursor->used;
}

static __always_inline u64 added(struct cursor *cursor, u64 length)
{
  cursor->used += length;
  return length;
}

/* The result of a helper that reads a string: bytes with the NUL, 0 for an error. */
static __always_inline u64 string_length(u64 result, u64 size)
{
  IN_ONE_REGISTER(result);
  return result > size ? 0 : result;
}

static __always_inline u64 read_string(char *to, u32 size, const char *from)
{
  return string_length(bpf_probe_read_kernel_str(to, size, from), size);
}

static __always_inline u64 append_string(struct cursor *cursor, u32 size, const char *from)
{
  return added(cursor, read_string(place(cursor), size, from));
}

#define APPEND(cursor, value) \
  ({ \
    __builtin_memcpy(place(cursor), &(value), sizeof(value)); \
    added(cursor, sizeof(value)); \
  })

/*
 * Sends a record of at most `limit` bytes; false, and counted, if the ring has no room. The limit is for the
 * verifier, where it lost the sum on its way through the stack.
 */
static __always_inline bool submit(struct counters *counts, struct cursor *cursor, u64 limit)
{
  u64 size = sizeof(struct record) + cursor->used;
  IN_ONE_REGISTER(size);
  if (size > limit)
    size = limit;
  if (!output.ringbuf_output(cursor->record, size, 0))
    return true;
  COUNT(counts, lost);
  return false;
}
