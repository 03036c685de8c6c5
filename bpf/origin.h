/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where an exec comes from: the process, and its cgroup, working directory and ancestors. */

static __always_inline void put_ids(struct record *record, struct task_struct *task)
{
  struct task_struct *parent = parent_of(task);

  record->timestamp = bpf_ktime_get_ns();
  record->pid = bpf_get_current_pid_tgid() >> 32;
  record->gid = bpf_get_current_uid_gid() >> 32;
  record->euid = GET(GET(task, cred), euid);
  record->ppid = GET(parent, tgid);
  GET_ARRAY(record->parent_comm, parent, comm);
  record->loginuid = loginuid_of(task);
  record->session = session_of(task);
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

/*
 * Run by the loader, not attached: the inode number of the mount namespace that the host's init process is in;
 * 0: unknown.
 */
int host_mntns(struct bpf_raw_tracepoint_args *ctx)
{
#ifdef KERNEL_HAS_MNTNS
  struct pid *pid = GET(current_task(), thread_pid);
  struct task_struct *init = GET(GET(pid->numbers, ns), child_reaper);
  return GET(GET(GET(init, nsproxy), mnt_ns), ns_inum);
#else
  return 0;
#endif
}

static __always_inline void put_tty(struct record *record, struct task_struct *task)
{
  const char *name = tty_of(task);

  __builtin_memset(record->tty, 0, TTY_SIZE);
  if (name)
    bpf_probe_read_kernel_str(record->tty, TTY_SIZE, name);
}

static __always_inline void put_process(struct record *record, struct task_struct *task, u32 uid)
{
  record->uid = uid;
  put_ids(record, task);
  put_namespaces(record, task);
  put_tty(record, task);
}

/* The components of the cgroup's path, from the leaf up. */
static __always_inline u64 append_cgroup(struct cursor *cursor, struct task_struct *task)
{
  char *to = place(cursor);
  u64 used = 0;
#ifdef KERNEL_HAS_CGROUP
  struct kernfs_node *node = GET(GET(GET(task, cgroups), dfl_cgrp), kn);
  cursor->record->flags |= HAS_CGROUP;
  for (int depth = 0; depth < MAX_DEPTH; depth++) {
    if (GET(node, id) == CGROUP_ROOT)
      return added(cursor, used);
    struct kernfs_node *parent = GET(node, parent);
    if (!parent) {
      cursor->record->flags |= CGROUP_OUTSIDE;
      return added(cursor, used);
    }
    if (used > PATH_AREA - NAME_SIZE)
      break;
    used = with_component(to, used, GET(node, name));
    node = parent;
  }
  cursor->record->flags |= TRUNCATED_CGROUP;
#endif
  return added(cursor, used);
}

/* The components of the working directory's path, from the leaf up to the root directory of the process. */
static __always_inline u64 append_cwd(struct cursor *cursor, struct task_struct *task)
{
#if defined(CWD) && defined(KERNEL_HAS_CWD)
  const struct path_flags flags = {TRUNCATED_CWD, CWD_UNREACHABLE, CWD_DELETED};
  struct fs_struct *fs = GET(task, fs);
  struct path directory = {.mount = GET(fs, pwd_mnt), .dentry = GET(fs, pwd_dentry)};
  cursor->record->flags |= HAS_CWD;
  return append_path(cursor, directory, root_of(task), flags);
#else
  return 0;
#endif
}

/* The parent, its parent, and so on, up to the init process. */
static __always_inline u64 append_ancestors(struct cursor *cursor, struct task_struct *task)
{
  u64 start = cursor->used;
#ifdef ANCESTORS
  for (int i = 0; i < ANCESTORS; i++) {
    task = parent_of(task);
    struct ancestor ancestor = {.pid = GET(task, tgid)};
    if (!ancestor.pid) /* the idle task, which is its own parent */
      break;
    GET_ARRAY(ancestor.comm, task, comm);
    APPEND(cursor, ancestor);
  }
#endif
  return cursor->used - start;
}
