/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The caller's comm and privilege, kept from task_rename to sched_process_exec. The key is the task pointer:
 * a thread id would not do, since a thread that isn't the leader gets the leader's when it execs.
 *
 * A hash map costs a microsecond here. So each task has a slot of an array, and a task that finds its slot
 * taken goes to map `spilled_callers`. If two tasks write a slot in the same nanoseconds, the check doesn't
 * match, and the record has no comm rather than another task's.
 */
struct caller {
  u64 task;
  u64 comm[COMM_SIZE / 8];
  struct privilege privilege;
  u64 check;
};

BPF_ARRAY(callers, struct caller, MAX_CALLERS);
BPF_TABLE("lru_hash", u64, struct caller, spilled_callers, MAX_CALLERS);

static __always_inline struct caller *slot_of(u64 task)
{
  int slot = (task >> 6) * 0x9e3779b1 >> 7 & (MAX_CALLERS - 1); /* task_struct is aligned to 64 bytes */
  return callers.lookup(&slot);
}

static __always_inline u64 check_of(struct caller *caller)
{
  const u64 factor = 0x9e3779b97f4a7c15;
  struct privilege *privilege = &caller->privilege;
  u64 sum = (caller->task ^ caller->comm[0]) * factor ^ caller->comm[1];

  sum = sum * factor ^ privilege->permitted;
  return (sum * factor ^ privilege->euid ^ (u64)privilege->egid << 32) + 1;
}

/* task_rename fires inside an exec, just before comm changes; the credentials change after that. */
int on_task_rename(struct bpf_raw_tracepoint_args *ctx)
{
  struct task_struct *task = current_task();
  u64 key = (u64)task;

  if (ctx->args[0] != key)
    return 0;
#ifdef KERNEL_HAS_IN_EXECVE
  if (!(GET(task, in_execve) & IN_EXECVE_BIT))
    return 0; /* prctl(PR_SET_NAME) */
#endif
  struct caller caller = {.task = key}, *slot = slot_of(key);
  GET_ARRAY(caller.comm, task, comm);
  caller.privilege = privilege_of(task);
  caller.check = check_of(&caller);
  if (slot && (!slot->task || slot->task == key))
    *slot = caller;
  else
    spilled_callers.update(&key, &caller);
  return 0;
}

/* What on_task_rename kept; NULL: nothing. */
static __always_inline struct caller *caller_of(u64 task, struct caller *slot)
{
  return slot && slot->task == task ? slot : spilled_callers.lookup(&task);
}

/*
 * Takes the caller's comm, if it is there, and what the exec gained, and forgets the caller. `now`: NULL for
 * an exec that failed, which gains nothing.
 */
static __always_inline void put_caller(struct record *record, struct task_struct *task, struct privilege *now)
{
  u64 key = (u64)task;
  struct caller *slot = slot_of(key), *caller = caller_of(key, slot);

  if (!caller)
    return;
  if (caller->check == check_of(caller)) {
    record->flags |= HAS_COMM;
    __builtin_memcpy(record->comm, caller->comm, COMM_SIZE);
    if (now)
      record->flags |= gained(&caller->privilege, now);
  }
  if (caller == slot)
    slot->task = 0;
  else
    spilled_callers.delete(&key);
}

/*
 * Whether an exec that has just succeeded gave its process privilege. If on_task_rename was skipped for it,
 * nobody can tell: then it may have.
 */
static __always_inline bool may_have_gained(struct task_struct *task, struct privilege *now)
{
  u64 key = (u64)task;
  struct caller *caller = caller_of(key, slot_of(key));

  return !caller || caller->check != check_of(caller) || gained(&caller->privilege, now);
}

static __always_inline void forget_caller(struct task_struct *task)
{
  u64 key = (u64)task;
  struct caller *slot = slot_of(key);

  if (!slot || !slot->task)
    return;
  if (slot->task == key)
    slot->task = 0;
  else
    spilled_callers.delete(&key);
}

static __always_inline bool has_caller(struct task_struct *task)
{
  u64 key = (u64)task;
  struct caller *slot = slot_of(key);

  return slot && slot->task && (slot->task == key || spilled_callers.lookup(&key));
}
