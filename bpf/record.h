/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Putting together the parts of a record. */

/*
 * Where the next part of record->data goes. Each append_…() writes a part and returns its length.
 *
 * The verifier must be able to see that all parts fit into the scratch memory. It adds up the largest
 * possible length of each part. So every length is bounded where it comes from; the sum is not, since each
 * comparison of it would double the states that the verifier follows.
 */
struct cursor {
  struct record *record;
  u64 used; /* of record->data */
};

/*
 * Without it, the compiler may compare one copy of a value and use another, which the verifier takes as
 * unbounded.
 */
#define IN_ONE_REGISTER(value) asm volatile("" : "+r"(value))

/*
 * The same value, of which the verifier knows nothing: else it follows each case that led to it to the program's
 * end. Shifts, as it applies what it learns of a mere copy to the original.
 */
static __always_inline u32 unknown(u32 value)
{
  u64 shifted = value;

  asm volatile("%0 <<= 32\n%0 >>= 32" : "+r"(shifted));
  return shifted;
}

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

/*
 * Leaves the verifier with one fact of cursor->used, that it is at most `most`: else it would follow each way
 * that led here through the loops that come. What was in the map's memory may be any value to it.
 */
static __always_inline void settle(struct cursor *cursor, u64 most)
{
  volatile u32 *any = &cursor->record->end_len; /* which is set last */

  *any = cursor->used;
  u64 used = *any;
  IN_ONE_REGISTER(used);
  cursor->used = __builtin_expect(used > most, false) ? most : used;
}

/* From the result of a helper that reads a string: bytes with the NUL, 0 for an error. */
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
