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

/*
 * Adds a component to a path that starts at `to` and has `used` bytes; the new number of bytes. A mask
 * bounds it, because a comparison would double the states that the verifier follows in each round of the
 * loop.
 */
static __always_inline u64 with_component(char *to, u64 used, const char *name)
{
  IN_ONE_REGISTER(used);
  used &= PATH_AREA - 1;
  return used + read_string(to + used, NAME_SIZE, name);
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
  char *to = place(cursor);
  u64 used = 0;
#if defined(CWD) && defined(KERNEL_HAS_CWD)
  struct fs_struct *fs = GET(task, fs);
  struct vfsmount *root_mount = GET(fs, root_mnt), *mount = GET(fs, pwd_mnt);
  struct dentry *root = GET(fs, root_dentry), *dentry = GET(fs, pwd_dentry);
  cursor->record->flags |= HAS_CWD;
  for (int depth = 0; depth < MAX_DEPTH; depth++) {
    if (dentry == root && mount == root_mount)
      return added(cursor, used);
    if (used > PATH_AREA - NAME_SIZE)
      break;
    const char *name = GET(dentry, d_name_name);
    struct dentry *parent = GET(dentry, d_parent);
    if (dentry == GET(mount, mnt_root) || dentry == parent) {
      struct mount *inner = (void *)mount - offsetof(struct mount, mnt), *outer = GET(inner, mnt_parent);
      if (outer == inner) {
        cursor->record->flags |= CWD_UNREACHABLE;
        return added(cursor, used);
      }
      parent = GET(inner, mnt_mountpoint);
      mount = (void *)outer + offsetof(struct mount, mnt);
      name = NULL;
    }
    /* Also for a mount point, with nothing to add: a branch would give the verifier 2^MAX_DEPTH states. */
    used = with_component(to, used, name);
    dentry = parent;
  }
  cursor->record->flags |= TRUNCATED_CWD;
#endif
  return added(cursor, used);
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
