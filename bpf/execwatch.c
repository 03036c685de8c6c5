/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every exec as one record in ring buffer `output`, with the message that map `config` has for its UID.
 *
 * Compiled by BCC without kernel headers. vmlinux.h is generated from the running kernel's BTF
 * (execwatchd/kernel/header.py); it defines KERNEL_HAS_… for what not every kernel has. Options: ARGV_BYTES,
 * RING_PAGES, FAILURES, CWD, ANCESTORS, INTERACTIVE, EXITS.
 */
#include "execwatch.h"
#include "vmlinux.h"

#define DATA_SIZE \
  (sizeof(struct exec_id) + FILENAME_SIZE + INTERP_SIZE + ARGV_BYTES + 2 * (PATH_AREA + NAME_SIZE) + \
   MAX_ANCESTORS * sizeof(struct ancestor))

struct scratch {
  struct record record;
  char data[DATA_SIZE];
};

/*
 * The caller's comm between task_rename and sched_process_exec, by task pointer: a thread that isn't the
 * leader changes its id when it execs. A hash map costs a microsecond here, so each task has a slot of an
 * array, and the hash map only what finds its slot taken. Two tasks that write one slot in the same
 * nanoseconds leave a wrong check, and then no comm rather than another's.
 */
struct caller {
  u64 task;
  u64 comm[COMM_SIZE / 8];
  u64 check;
};

BPF_TABLE("hash", u32, struct user, config, MAX_USERS);
BPF_ARRAY(defaults, struct user, 1);
BPF_PERCPU_ARRAY(counters, struct counters, 1);
BPF_RINGBUF_OUTPUT(output, RING_PAGES);
BPF_ARRAY(callers, struct caller, MAX_CALLERS);
BPF_TABLE("lru_hash", u64, struct caller, more_callers, MAX_CALLERS);
BPF_TABLE("hash", u32, struct bucket, buckets, MAX_BUCKETS);
BPF_TABLE("hash", u32, struct bucket, more_buckets, MAX_BUCKETS);
/* of both, and four times as many: user space has those of predecessors in it too */
BPF_F_TABLE("hash", u32, struct told, told, 8 * MAX_BUCKETS, BPF_F_NO_PREALLOC);
/* by CPU: a per-CPU map's value may not exceed 32 KiB; one program runs once on a CPU at a time */
BPF_ARRAY(exec_scratch, struct scratch, CPUS);
BPF_ARRAY(again_scratch, struct scratch, CPUS);

struct ledger_value {
  struct ledger ledger;
  struct scratch held;
};
BPF_F_TABLE("array", u32, struct ledger_value, ledger, 1, BPF_F_MMAPABLE);

#ifdef EXITS
/* The loader may put the map of the program before in its place, so that each end is reported by one of them. */
BPF_TABLE("hash", u32, struct running, running, MAX_RUNNING);
#endif

#define SECOND 1000000000ULL

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

#define offsetof(type, member) __builtin_offsetof(type, member)

/* The same for an array: it is read to `destination`, an array of the same size. */
#define GET_ARRAY(destination, pointer, member) \
  ({ \
    _Static_assert(sizeof(destination) == sizeof((pointer)->member), "arrays of one size"); \
    bpf_probe_read_kernel(destination, sizeof(destination), (pointer)->member); \
  })

/* this CPU's own; added to atomically all the same, for one program may interrupt another here */
static __always_inline struct counters *own_counters(void)
{
  int zero = 0;
  return counters.lookup(&zero);
}

/* what an administrator does by hand has a terminal, or at least came in by a login */
static __always_inline bool is_left_out(struct user *user, struct task_struct *task)
{
  if (user && user->action == ACTION_IGNORE)
    return true;
#ifdef INTERACTIVE
  u32 session = NO_ID;
#ifdef KERNEL_HAS_SESSION
  session = GET(task, sessionid);
#endif
#ifdef KERNEL_HAS_TTY
  if (GET(GET(task, signal), tty))
    return false;
#endif
  return session == NO_ID;
#else
  return false;
#endif
}

static __always_inline struct user *user_of(u32 uid)
{
  int zero = 0;
  struct user *user = config.lookup(&uid);
  return user ? user : defaults.lookup(&zero);
}

/*
 * Whose limit an exec is counted against. Any user may have thousands of subordinate UIDs in a user namespace:
 * they are the user's who made the outermost one. In one that root made, as for a container, each counts alone.
 */
static __always_inline u32 charged(u32 uid, struct task_struct *task)
{
  u32 owner = 0;

  if (uid < FIRST_SUBORDINATE)
    return uid;
  struct user_namespace *ns = GET(GET(task, cred), user_ns);
  for (int i = 0; i < MAX_NAMESPACES; i++) {
    struct user_namespace *parent = GET(ns, parent);
    if (!parent) /* the initial one */
      break;
    owner = GET(ns, owner);
    ns = parent;
  }
  return owner ? owner : uid;
}

/* Subordinate UIDs, which one user may have in numbers, have a map of their own to fill. */
static __always_inline struct bucket *bucket_of(u32 uid, u64 now)
{
  u32 others = NO_ID;
  struct bucket full = {.created = now}, *bucket;

  if (uid < FIRST_SUBORDINATE) {
    bucket = buckets.lookup(&uid);
    if (!bucket) {
      buckets.insert(&uid, &full); /* another CPU may be faster, or there may be no room */
      bucket = buckets.lookup(&uid);
    }
  } else {
    bucket = more_buckets.lookup(&uid);
    if (!bucket) {
      more_buckets.insert(&uid, &full);
      bucket = more_buckets.lookup(&uid);
    }
  }
  return bucket ? bucket : more_buckets.lookup(&others);
}

/*
 * Takes a token of the bucket, which has room for those of one second; true, and counted, if there was none.
 * CPUs that look at the same time may all find the last token: each gets a record, but what they took too much
 * is owed, for it is added. The count of what is held back is exact.
 */
static __always_inline bool is_held_back(struct counters *counted, struct user *user, u32 uid, struct task_struct *task)
{
  u32 owner = charged(uid, task);
  if (owner != uid)
    user = user_of(owner);
  if (!user || !user->limit)
    return false;
  u64 now = bpf_ktime_get_ns(), token = SECOND / user->limit;
  struct bucket *bucket = bucket_of(owner, now);
  if (!bucket) /* cannot be: user space puts in the shared one */
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
  bucket->limit = user->limit;
  __sync_fetch_and_add(&bucket->held_back, 1);
  __sync_fetch_and_add(&counted->held_back, 1);
  return true;
}

/* the process: the thread that forked may be another than its leader, and bear another name */
static __always_inline struct task_struct *parent_of(struct task_struct *task)
{
  return GET(GET(task, real_parent), group_leader);
}

static __always_inline void put_ids(struct record *record, struct task_struct *task)
{
  struct task_struct *parent = parent_of(task);
  struct cred *cred = GET(task, cred);

  record->timestamp = bpf_ktime_get_ns();
  record->pid = bpf_get_current_pid_tgid() >> 32;
  record->gid = bpf_get_current_uid_gid() >> 32;
  record->euid = GET(cred, euid);
  record->ppid = GET(parent, tgid);
  GET_ARRAY(record->parent_comm, parent, comm);
#ifdef KERNEL_HAS_LOGINUID
  record->loginuid = GET(task, loginuid);
#else
  record->loginuid = NO_ID;
#endif
#ifdef KERNEL_HAS_SESSION
  record->session = GET(task, sessionid);
#else
  record->session = NO_ID;
#endif
}

static __always_inline void put_namespaces(struct record *record, struct task_struct *task)
{
  record->pidns = record->mntns = record->nspid = 0;
#ifdef KERNEL_HAS_MNTNS
  record->mntns = GET(GET(GET(task, nsproxy), mnt_ns), ns_inum);
#endif
#ifdef KERNEL_HAS_PIDNS
  struct pid *pid = GET(task, thread_pid);
  u32 level = GET(pid, level);
  struct upid *upid = pid->numbers + level;
  record->pidns = GET(GET(upid, ns), ns_inum);
  if (level)
    record->nspid = GET(upid, nr);
#endif
}

static __always_inline void put_tty(struct record *record, struct task_struct *task)
{
  __builtin_memset(record->tty, 0, TTY_SIZE);
#ifdef KERNEL_HAS_TTY
  struct tty_struct *tty = GET(GET(task, signal), tty);
  if (tty)
    bpf_probe_read_kernel_str(record->tty, TTY_SIZE, tty->name);
#endif
}

/* an offset or length as the verifier can follow it: in one register, and bounded */
#define BOUNDED(value, limit) \
  ({ \
    u64 bounded_ = (value); \
    asm volatile("" : "+r"(bounded_)); \
    if (bounded_ > (limit)) \
      bounded_ = 0; \
    bounded_; \
  })

/* a string of the kernel's; the bytes with the NUL */
static __always_inline u64 put_string(char *to, u32 size, const char *from)
{
  return BOUNDED(bpf_probe_read_kernel_str(to, size, from), size);
}

/* what the new image got as its arguments, as /proc/PID/cmdline shows it */
static __always_inline u64 put_argv(struct record *record, char *to, struct task_struct *task)
{
  struct mm_struct *mm = GET(task, mm);
  u64 start = GET(mm, arg_start), total = GET(mm, arg_end) - start;
  u64 length = total;

  record->argv_total = total;
  asm volatile("" : "+r"(length));
  if (length > ARGV_BYTES) {
    record->flags |= TRUNCATED_ARGV;
    length = ARGV_BYTES;
  }
  if (!bpf_probe_read_user(to, length, (void *)start))
    return length;
  /* the kernel wrote it a moment ago, but reclaim may have been faster */
  record->flags |= TRUNCATED_ARGV;
  return 0;
}

/* the components of the cgroup's path, from the leaf up */
static __always_inline u64 put_cgroup(struct record *record, char *to, struct task_struct *task)
{
  u64 used = 0;
#ifdef KERNEL_HAS_CGROUP
  record->flags |= HAS_CGROUP;
  struct kernfs_node *node = GET(GET(GET(task, cgroups), dfl_cgrp), kn);
  for (int depth = 0; depth < MAX_DEPTH; depth++) {
    if (GET(node, id) == CGROUP_ROOT)
      return used;
    struct kernfs_node *parent = GET(node, parent);
    if (!parent) {
      record->flags |= CGROUP_OUTSIDE;
      return used;
    }
    if (used > PATH_AREA - NAME_SIZE)
      break;
    asm volatile("" : "+r"(used));
    used &= PATH_AREA - 1;
    used += put_string(to + used, NAME_SIZE, GET(node, name));
    node = parent;
  }
  record->flags |= TRUNCATED_CGROUP;
#endif
  return used;
}

/* the components of the working directory's path, from the leaf up, to the process's own root */
static __always_inline u64 put_cwd(struct record *record, char *to, struct task_struct *task)
{
  u64 used = 0;
#if defined(CWD) && defined(KERNEL_HAS_CWD)
  record->flags |= HAS_CWD;
  struct fs_struct *fs = GET(task, fs);
  struct vfsmount *root_mount = GET(fs, root_mnt), *mount = GET(fs, pwd_mnt);
  struct dentry *root = GET(fs, root_dentry), *dentry = GET(fs, pwd_dentry);
  for (int depth = 0; depth < MAX_DEPTH; depth++) {
    if (dentry == root && mount == root_mount)
      return used;
    if (used > PATH_AREA - NAME_SIZE)
      break;
    /* both ways append, one of them nothing: the verifier follows one state instead of 2^MAX_DEPTH */
    const char *name = GET(dentry, d_name_name);
    struct dentry *parent = GET(dentry, d_parent);
    if (dentry == GET(mount, mnt_root) || dentry == parent) {
      struct mount *inner = (void *)mount - offsetof(struct mount, mnt), *outer = GET(inner, mnt_parent);
      if (outer == inner) {
        record->flags |= CWD_UNREACHABLE;
        return used;
      }
      parent = GET(inner, mnt_mountpoint);
      mount = (void *)outer + offsetof(struct mount, mnt);
      name = NULL;
    }
    asm volatile("" : "+r"(used));
    used &= PATH_AREA - 1;
    used += put_string(to + used, NAME_SIZE, name);
    dentry = parent;
  }
  record->flags |= TRUNCATED_CWD;
#endif
  return used;
}

/* the parent, its parent, and so on, as long as there is one in the initial pid namespace */
static __always_inline u64 put_ancestors(char *to, struct task_struct *task)
{
  u64 used = 0;
#ifdef ANCESTORS
  for (int i = 0; i < ANCESTORS; i++) {
    struct ancestor ancestor = {};
    task = parent_of(task);
    ancestor.pid = GET(task, tgid);
    if (!ancestor.pid) /* the idle task, which is its own parent */
      break;
    GET_ARRAY(ancestor.comm, task, comm);
    __builtin_memcpy(to + i * sizeof(ancestor), &ancestor, sizeof(ancestor));
    used = (i + 1) * sizeof(ancestor);
  }
#endif
  return used;
}

/* the parts behind argv, up to exec_id; where they end */
static __always_inline u64 put_origin(struct record *record, char *data, u64 used, struct task_struct *task)
{
  u64 length = put_cwd(record, data + used, task);
  record->cwd_len = length;
  used += length;
  length = put_ancestors(data + used, task);
  record->ancestors_len = length;
  return used + length;
}

/* false: there was no room for it */
static __always_inline bool send(void *ctx, struct counters *counted, struct scratch *scratch, u64 data_length)
{
  asm volatile("" : "+r"(data_length));
  if (data_length > DATA_SIZE)
    data_length = DATA_SIZE;
  if (!output.ringbuf_output(scratch, sizeof(struct record) + data_length, 0))
    return true;
  __sync_fetch_and_add(&counted->lost, 1);
  return false;
}

static __always_inline void put_process(struct record *record, struct task_struct *task, u32 uid, struct user *user)
{
  record->uid = uid;
  __builtin_memcpy(record->message, user->message, MESSAGE_SIZE);
  put_ids(record, task);
  put_namespaces(record, task);
  put_tty(record, task);
  record->exec_id_len = record->end_len = 0;
}

#ifdef EXITS
static __always_inline void put_exec_id(struct exec_id *id, struct task_struct *task)
{
  id->start = GET(GET(task, group_leader), start_boottime);
  id->execs = GET(task, self_exec_id);
}

static __always_inline void count_unended(struct counters *counted)
{
  __sync_fetch_and_add(&counted->seen, 1);
  __sync_fetch_and_add(&counted->lost, 1);
  __sync_fetch_and_add(&counted->unended, 1);
}

/*
 * After an exec was recorded. The process may be there, by an exec before: its end is then that of the last
 * one recorded. What is there under its pid of another process, that one's end came while the program could
 * not run.
 */
static __always_inline void await_end(struct counters *counted, struct record *record, struct exec_id *id, struct task_struct *task)
{
  struct running one = {.id = *id, .began = record->timestamp, .uid = record->uid};
  u32 pid = record->pid;
  struct running *known = running.lookup(&pid);

#ifdef KERNEL_HAS_PEAK_RSS_KB
  one.maxrss = GET(GET(task, signal), maxrss);
#endif
  if (known && known->id.start != id->start)
    count_unended(counted);
  if (running.update(&pid, &one))
    count_unended(counted);
}
#endif

static __always_inline struct caller *slot_of(u64 task)
{
  int slot = (task >> 6) * 0x9e3779b1 >> 7 & (MAX_CALLERS - 1); /* task_struct is aligned to 64 bytes */
  return callers.lookup(&slot);
}

static __always_inline u64 check_of(struct caller *caller)
{
  return ((caller->task ^ caller->comm[0]) * 0x9e3779b97f4a7c15 ^ caller->comm[1]) + 1;
}

static __always_inline void put_caller(struct record *record, u64 task)
{
  struct caller *slot = slot_of(task), *caller = slot;
  if (!slot || slot->task != task)
    caller = more_callers.lookup(&task);
  if (!caller)
    return;
  if (caller->check == check_of(caller)) {
    record->flags |= HAS_COMM;
    __builtin_memcpy(record->comm, caller->comm, COMM_SIZE);
  }
  if (caller == slot)
    slot->task = 0;
  else
    more_callers.delete(&task);
}

/* task_rename fires inside an exec just before comm changes: the only place that still has the caller's */
int on_task_rename(struct bpf_raw_tracepoint_args *ctx)
{
  struct task_struct *current = (void *)bpf_get_current_task();
  u64 task = ctx->args[0];

  if (task != (u64)current)
    return 0;
#ifdef KERNEL_HAS_IN_EXECVE
  if (!(GET(current, in_execve) & IN_EXECVE_BIT))
    return 0; /* prctl(PR_SET_NAME) */
#endif
  struct caller caller = {.task = task}, *slot = slot_of(task);
  GET_ARRAY(caller.comm, current, comm);
  caller.check = check_of(&caller);
  if (slot && (!slot->task || slot->task == task))
    *slot = caller;
  else
    more_callers.update(&task, &caller);
  return 0;
}

static __always_inline void forget_caller(u64 task)
{
  struct caller *slot = slot_of(task);
  if (!slot || !slot->task)
    return;
  if (slot->task == task)
    slot->task = 0;
  else
    more_callers.delete(&task);
}

static __always_inline int see_exec(struct bpf_raw_tracepoint_args *ctx, struct counters *counted,
                                    struct scratch *scratch)
{
  struct task_struct *task = (void *)bpf_get_current_task();
  struct linux_binprm *bprm = (void *)ctx->args[2];
  u32 uid = bpf_get_current_uid_gid();

  __sync_fetch_and_add(&counted->seen, 1);
  struct user *user = user_of(uid);
  if (is_left_out(user, task) || is_held_back(counted, user, uid, task)) {
    __sync_fetch_and_add(&counted->ignored, 1);
    forget_caller((u64)task);
    return 0;
  }
  if (!scratch || !user) { /* cannot be: they are arrays */
    __sync_fetch_and_add(&counted->lost, 1);
    return 0;
  }
  struct record *record = &scratch->record;
  record->flags = 0;
  record->result = 0;
  put_process(record, task, uid, user);
  GET_ARRAY(record->new_comm, task, comm);
  __builtin_memset(record->comm, 0, COMM_SIZE);
  put_caller(record, (u64)task);

  char *data = scratch->data;
  const char *filename = GET(bprm, filename), *interp = GET(bprm, interp);
  u64 used = put_string(data, FILENAME_SIZE, filename), length = 0;
  record->filename_len = used;
  if (interp != filename)
    length = put_string(data + used, INTERP_SIZE, interp);
  record->interp_len = length;
  used += length;
  length = put_cgroup(record, data + used, task);
  record->cgroup_len = length;
  used += length;
  record->argc = GET(bprm, argc);
  length = put_argv(record, data + used, task);
  record->argv_len = length;
  used = put_origin(record, data, used + length, task);
#ifdef EXITS
  struct exec_id id = {};
  put_exec_id(&id, task);
  used = BOUNDED(used, DATA_SIZE - sizeof(id));
  __builtin_memcpy(data + used, &id, sizeof(id));
  record->exec_id_len = sizeof(id);
  used += sizeof(id);
#endif
  if (!send(ctx, counted, scratch, used))
    return 0;
#ifdef EXITS
  await_end(counted, record, &id, task);
#endif
  return 0;
}

int on_exec(struct bpf_raw_tracepoint_args *ctx)
{
  int cpu = bpf_get_smp_processor_id();
  struct counters *counted = own_counters();

  return counted ? see_exec(ctx, counted, exec_scratch.lookup(&cpu)) : 0;
}

/*
 * Runs after it, at the same tracepoint. Where the kernel may preempt a program, another exec on its CPU finds
 * it running and goes on without it; then the caller is still there as on_task_rename left it.
 */
int on_exec_again(struct bpf_raw_tracepoint_args *ctx)
{
  u64 task = bpf_get_current_task();
  int cpu = bpf_get_smp_processor_id();
  struct counters *counted = own_counters();
  struct caller *slot = slot_of(task);

  if (!counted || !slot || !slot->task || (slot->task != task && !more_callers.lookup(&task)))
    return 0;
  __sync_fetch_and_add(&counted->again, 1);
  return see_exec(ctx, counted, again_scratch.lookup(&cpu));
}

#ifdef EXITS
struct end_data {
  struct exec_id id;
  struct end end;
};
struct end_scratch {
  struct record record;
  char data[PATH_AREA + NAME_SIZE + sizeof(struct end_data)];
};
/* not on_exec's, which these programs may interrupt */
BPF_ARRAY(end_scratch, struct end_scratch, CPUS);
BPF_ARRAY(again_end_scratch, struct end_scratch, CPUS);

#define GROUP_EXIT 4 /* SIGNAL_GROUP_EXIT: signal_struct.flags */

/* what the parent gets from wait(2): wait_task_zombie() of the kernel */
static __always_inline s32 status_of(struct task_struct *task, struct signal_struct *signal)
{
  if (GET(signal, flags) & GROUP_EXIT)
    return GET(signal, group_exit_code);
  return GET(GET(task, group_leader), exit_code);
}

/* pages of one kind, never less than none: a counter has parts on each CPU that are not added yet */
static __always_inline u64 pages(struct mm_struct *mm, u32 kind)
{
#ifdef KERNEL_HAS_RSS_STAT
  s64 count = GET(mm->rss_stat + kind, count);
  return count < 0 ? 0 : count;
#else
  return 0;
#endif
}

/*
 * The kernel keeps one peak for a process, of the program that forked it too, so it is the exec's only if it
 * grew since. Else the memory tells, where it is still there: since Linux 6.16.
 */
static __always_inline u64 peak_of(struct task_struct *task, struct signal_struct *signal, u64 before)
{
  u64 peak = 0;
#ifdef KERNEL_HAS_PEAK_RSS_KB
  peak = GET(signal, maxrss);
  if (peak > before)
    return peak;
  peak = 0;
  struct mm_struct *mm = GET(task, mm);
  if (mm) {
    u64 now = pages(mm, 0) + pages(mm, 1) + pages(mm, 3); /* MM_FILEPAGES, MM_ANONPAGES, MM_SHMEMPAGES */
    peak = GET(mm, hiwater_rss);
    if (now > peak)
      peak = now;
  }
#endif
  return peak;
}

/*
 * Runs for every thread that ends. The process has ended with the last of them; several may find themselves
 * the last, and two programs may run here, so whoever removes the process from the map reports its end.
 */
static __always_inline int see_end(struct end_scratch *scratch)
{
  struct task_struct *task = (void *)bpf_get_current_task();
  struct signal_struct *signal = GET(task, signal);
  u32 pid = bpf_get_current_pid_tgid() >> 32;

  if (GET(signal, live))
    return 0;
  struct running *known = running.lookup(&pid);
  if (!known)
    return 0;
  struct running was = *known;
  if (running.delete(&pid))
    return 0;
  struct counters *counted = own_counters();
  if (!counted || !scratch) /* cannot be: they are arrays */
    return 0;
  struct exec_id id = {};
  put_exec_id(&id, task);
  if (was.id.start != id.start) { /* of an earlier process with this pid */
    count_unended(counted);
    return 0;
  }
  __sync_fetch_and_add(&counted->seen, 1);

  struct record *record = &scratch->record;
  record->flags = HAS_COMM;
  record->result = 0;
  put_ids(record, task);
  put_namespaces(record, task);
  put_tty(record, task);
  record->uid = was.uid;
  GET_ARRAY(record->comm, GET(task, group_leader), comm);
  record->new_comm[0] = record->message[0] = 0;
  record->argc = record->argv_total = 0;
  record->filename_len = record->interp_len = record->argv_len = record->cwd_len = record->ancestors_len = 0;
  record->exec_id_len = sizeof(struct exec_id);
  record->end_len = sizeof(struct end);
  struct end_data data = {.id = was.id, .end.began = was.began};
  data.end.peak = peak_of(task, signal, was.maxrss);
  data.end.status = status_of(task, signal);
  u64 length = BOUNDED(put_cgroup(record, scratch->data, task), PATH_AREA + NAME_SIZE);
  record->cgroup_len = length;
  __builtin_memcpy(scratch->data + length, &data, sizeof(data));
  if (output.ringbuf_output(scratch, sizeof(*record) + length + sizeof(data), 0))
    __sync_fetch_and_add(&counted->lost, 1);
  return 0;
}

int on_process_exit(struct bpf_raw_tracepoint_args *ctx)
{
  int cpu = bpf_get_smp_processor_id();
  return see_end(end_scratch.lookup(&cpu));
}

/* runs after it, for what it didn't run for: see on_exec_again */
int on_end_again(struct bpf_raw_tracepoint_args *ctx)
{
  int cpu = bpf_get_smp_processor_id();
  return see_end(again_end_scratch.lookup(&cpu));
}
#endif

#ifdef FAILURES
/*
 * A failed exec is seen only where the system call returns. Its arguments are the caller's own memory, at
 * the addresses that it entered with.
 */
struct attempt {
  u64 filename;
  u64 argv;
};

struct sys_enter { /* events/syscalls/sys_enter_execve/format */
  u64 common;
  u64 number;
  u64 args[6];
};

struct sys_exit { /* events/syscalls/sys_exit_execve/format */
  u64 common;
  u64 number;
  s64 result;
};

BPF_TABLE("lru_hash", u64, struct attempt, attempts, MAX_CALLERS);

struct failed_scratch {
  struct scratch scratch;
  char overhang[ARGV_BYTES]; /* one more argument may begin at the last byte */
};
BPF_ARRAY(failed_scratch, struct failed_scratch, CPUS);

int enter_execve(struct sys_enter *ctx)
{
  u64 task = bpf_get_current_task();
  struct attempt attempt = {.filename = ctx->args[0], .argv = ctx->args[1]};
  attempts.update(&task, &attempt);
  return 0;
}

int enter_execveat(struct sys_enter *ctx)
{
  u64 task = bpf_get_current_task();
  struct attempt attempt = {.filename = ctx->args[1], .argv = ctx->args[2]};
  attempts.update(&task, &attempt);
  return 0;
}

/* a string with its NUL, its length; 0 if it can't be read */
static __always_inline u64 user_string(char *to, u32 size, u64 from)
{
  *to = 0;
  u64 length = bpf_probe_read_user_str(to, size, (void *)from);
  u64 below = length - 1;
  asm volatile("" : "+r"(below)); /* no branch: in a loop, it would be one more each time for the verifier */
  length += below >> 63; /* kernels before 6.15 say 0 of an empty string, and not 1 */
  return BOUNDED(length, size);
}

/* the arguments by the caller's own array of pointers, as far as both can be read */
static __always_inline u64 put_user_argv(struct record *record, char *to, u64 argv)
{
  u64 used = 0, argument = 0;
  u32 argc = 0;

  for (; argc < MAX_FAILED_ARGS; argc++) {
    if (bpf_probe_read_user(&argument, sizeof(argument), (void *)(argv + 8 * argc))) {
      if (argv) /* execve() takes NULL for no arguments */
        record->flags |= TRUNCATED_ARGV;
      break;
    }
    if (!argument)
      break;
    asm volatile("" : "+r"(used));
    u64 length = 0;
    if (used < ARGV_BYTES) /* one more than is kept: what fits exactly isn't cut */
      length = user_string(to + used, ARGV_BYTES + 1, argument);
    if (!length) {
      record->flags |= TRUNCATED_ARGV;
      break;
    }
    used += length;
  }
  if (argc == MAX_FAILED_ARGS &&
      (bpf_probe_read_user(&argument, sizeof(argument), (void *)(argv + 8 * argc)) || argument))
    record->flags |= TRUNCATED_ARGV;
  asm volatile("" : "+r"(used));
  if (used > ARGV_BYTES) {
    record->flags |= TRUNCATED_ARGV;
    used = ARGV_BYTES;
  }
  record->argc = argc;
  return used;
}

int exit_execve(struct sys_exit *ctx)
{
  struct task_struct *task = (void *)bpf_get_current_task();
  u64 key = (u64)task;
  u32 uid = bpf_get_current_uid_gid();
  int cpu = bpf_get_smp_processor_id();
  struct attempt *attempt = attempts.lookup(&key);
  struct attempt tried = {};

  if (attempt) {
    tried = *attempt;
    attempts.delete(&key);
  }
  struct counters *counted = own_counters();
  if (ctx->result >= 0 || !counted)
    return 0;
  __sync_fetch_and_add(&counted->seen, 1);
  struct user *user = user_of(uid);
  if (is_left_out(user, task) || is_held_back(counted, user, uid, task)) {
    __sync_fetch_and_add(&counted->ignored, 1);
    return 0;
  }
  struct failed_scratch *failed = failed_scratch.lookup(&cpu);
  if (!failed || !user) {
    __sync_fetch_and_add(&counted->lost, 1);
    return 0;
  }
  struct scratch *scratch = &failed->scratch;
  struct record *record = &scratch->record;
  record->flags = HAS_COMM;
  record->result = ctx->result;
  put_process(record, task, uid, user);
  GET_ARRAY(record->comm, task, comm);
  record->new_comm[0] = 0;
  put_caller(record, (u64)task); /* it failed past the point of no return: comm is the new one already */

  char *data = scratch->data;
  u64 used = user_string(data, FILENAME_SIZE, tried.filename);
  if (used == FILENAME_SIZE)
    record->flags |= TRUNCATED_FILENAME;
  record->filename_len = used;
  record->interp_len = 0;
  record->argv_total = 0;
  u64 length = put_cgroup(record, data + used, task);
  record->cgroup_len = length;
  used += length;
  length = put_user_argv(record, data + used, tried.argv);
  record->argv_len = length;
  send(ctx, counted, scratch, put_origin(record, data, used + length, task));
  return 0;
}
#endif
