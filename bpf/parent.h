/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which exec it is, and which one the parent's program comes from. */

#define PF_FORKNOEXEC 0x00000040 /* task_struct.flags: forked, and has executed nothing since */

static __always_inline u64 start_of(struct task_struct *task)
{
  return GET(GET(task, group_leader), start_boottime);
}

static __always_inline struct exec_id exec_id_of(struct task_struct *task)
{
  struct exec_id id = {.start = start_of(task), .execs = GET(task, self_exec_id)};
  return id;
}

static __always_inline void put_no_parent(struct record *record)
{
  record->parent_id.start = record->parent_id.execs = 0;
  record->parent_pid = record->parent_exe_len = 0;
  record->flags &= ~(TRUNCATED_PARENT_EXE | PARENT_EXE_UNREACHABLE | PARENT_EXE_DELETED);
}

#ifdef KERNEL_HAS_PARENT_ID

static __always_inline struct file *exe_of(struct task_struct *task)
{
  return GET(GET(task, mm), exe_file);
}

/*
 * The exec that this process's program comes from: its last one, or that of the nearest ancestor that
 * executed something. A fork runs its parent's file, as it was opened once. An ancestor with another one has
 * executed something since, or didn't fork this process but was left with it: then nobody can tell, nor
 * beyond MAX_FORKS.
 */
static __always_inline void put_parent_id(struct record *record, struct task_struct *task, struct file *file)
{
  for (int i = 0; i < MAX_FORKS; i++) {
    struct task_struct *leader = GET(task, group_leader); /* of the threads, only its flag is cleared */
    if (exe_of(task) != file)
      return;
    if (!(GET(leader, flags) & PF_FORKNOEXEC)) {
      record->parent_id = exec_id_of(leader);
      record->parent_pid = GET(leader, tgid);
      return;
    }
    task = GET(leader, real_parent);
  }
}

/* Whether a process still runs this file, by the same exec, and is in no other. */
static __always_inline bool still_runs(struct task_struct *task, struct file *file, u64 execs)
{
#ifdef KERNEL_HAS_IN_EXECVE
  if (GET(task, in_execve) & IN_EXECVE_BIT)
    return false;
#endif
  return exe_of(task) == file && GET(task, self_exec_id) == execs;
}

/*
 * Where the parent's program comes from, and the components of its path below the parent's own root
 * directory. The parent may end or execute something meanwhile: then there is nothing, rather than half of
 * each.
 */
static __always_inline u64 append_parent(struct cursor *cursor, struct task_struct *task)
{
  struct task_struct *parent = GET(task, real_parent); /* the thread: a leader that has ended runs no file */
  struct file *file = exe_of(parent);
  u64 execs = GET(parent, self_exec_id), start = cursor->used, length = 0;

  put_no_parent(cursor->record);
  if (!file) /* the kernel itself, or a process that is ending */
    return 0;
  put_parent_id(cursor->record, parent, file);
#ifdef KERNEL_HAS_EXE
  const struct path_flags flags = {TRUNCATED_PARENT_EXE, PARENT_EXE_UNREACHABLE, PARENT_EXE_DELETED};
  length = append_path(cursor, path_of(file), root_of(parent), flags);
#endif
  if (still_runs(parent, file, execs))
    return length;
  put_no_parent(cursor->record);
  cursor->used = start;
  return 0;
}

#else

static __always_inline u64 append_parent(struct cursor *cursor, struct task_struct *task)
{
  put_no_parent(cursor->record);
  return 0;
}

#endif
