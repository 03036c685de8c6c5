/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads of the kernel's structures. What not every kernel has is hidden behind a function. */

/*
 * The member of a structure in the kernel's memory, or 0 if it can't be read; a member that the structure
 * doesn't have is an error of the compiler. The initial 0 spares the verifier a seventh of its work.
 */
#define GET(pointer, member) \
  ({ \
    typeof((pointer)->member) value_ = 0; \
    bpf_probe_read_kernel(&value_, sizeof(value_), &(pointer)->member); \
    value_; \
  })

/* The same for an array: it is read to `destination`, an array of the same size. */
#define GET_ARRAY(destination, pointer, member) \
  ({ \
    _Static_assert(sizeof(destination) == sizeof((pointer)->member), "arrays of one size"); \
    bpf_probe_read_kernel(destination, sizeof(destination), (pointer)->member); \
  })

#define offsetof(type, member) __builtin_offsetof(type, member)

static __always_inline struct task_struct *current_task(void)
{
  return (struct task_struct *)bpf_get_current_task();
}

/* The parent process: the thread that forked may be another than its leader, and bear another name. */
static __always_inline struct task_struct *parent_of(struct task_struct *task)
{
  return GET(GET(task, real_parent), group_leader);
}

static __always_inline u32 loginuid_of(struct task_struct *task)
{
#ifdef KERNEL_HAS_LOGINUID
  return GET(task, loginuid);
#else
  return NO_ID;
#endif
}

static __always_inline u32 session_of(struct task_struct *task)
{
#ifdef KERNEL_HAS_SESSION
  return GET(task, sessionid);
#else
  return NO_ID;
#endif
}

/* The name of its terminal; NULL if it has none. */
static __always_inline const char *tty_of(struct task_struct *task)
{
#ifdef KERNEL_HAS_TTY
  struct tty_struct *tty = GET(GET(task, signal), tty);
  return tty ? tty->name : NULL;
#else
  return NULL;
#endif
}
