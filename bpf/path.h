/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The path of a file or a directory below a process's root, as d_path() of the kernel finds it, by its
 * components from the leaf up.
 */

/*
 * Adds a component to a path that starts at `to` and has `used` bytes; the new number of bytes. A mask
 * bounds it, because a comparison would double the states that the verifier follows in each round of the
 * loop.
 */
static __always_inline u64 with_component(char *to, u64 used, const char *name)
{
  IN_ONE_REGISTER(used);
  used &= PATH_AREA - 1;
  s64 length = bpf_probe_read_kernel_str(to + used, NAME_SIZE, name);
  s64 failed = length >> 63;
  IN_ONE_REGISTER(failed);
  return used + (length & ~failed & (2 * NAME_SIZE - 1));
}

#if defined(KERNEL_HAS_EXE) || defined(KERNEL_HAS_CWD)

/* As in the kernel. */
struct path {
  struct vfsmount *mount;
  struct dentry *dentry;
};

/* How record.flags say it of a path. */
struct path_flags {
  u32 cut;
  u32 unreachable; /* not below the root directory of the process */
  u32 deleted;
};

/*
 * The heads of both structures, as far as members are read here: to copy 48 bytes costs one call, and as much
 * as to copy 8.
 */
#define END_OF(type, member) (offsetof(type, member) + sizeof(((type *)0)->member))
#define LARGER(a, b) ((a) > (b) ? (a) : (b))
#define DENTRY_HEAD \
  LARGER(LARGER(END_OF(struct dentry, d_parent), END_OF(struct dentry, d_name_name)), \
         LARGER(END_OF(struct dentry, d_hash_pprev), END_OF(struct dentry, d_seq_seqcount_sequence)))
#define MOUNT_HEAD \
  LARGER(offsetof(struct mount, mnt) + END_OF(struct vfsmount, mnt_root), \
         LARGER(END_OF(struct mount, mnt_parent), END_OF(struct mount, mnt_mountpoint)))

#define HEAD(name, size) u64 name[((size) + 7) / 8]
#define READ_HEAD(head, from) bpf_probe_read_kernel(head, sizeof(head), (void *)(from))
#define IN_HEAD(head, type, member) (((type *)(head))->member)

static __always_inline struct mount *mount_of(struct vfsmount *mount)
{
  return (void *)mount - offsetof(struct mount, mnt);
}

#ifdef KERNEL_HAS_EXE
static __always_inline struct path path_of(struct file *file)
{
  struct path path = {.mount = GET(file, f_path_mnt), .dentry = GET(file, f_path_dentry)};
  return path;
}
#endif

/* The root directory of a process. */
static __always_inline struct path root_of(struct task_struct *task)
{
  struct fs_struct *fs = GET(task, fs);
  struct path root = {.mount = GET(fs, root_mnt), .dentry = GET(fs, root_dentry)};
  return root;
}

/* All ones if both are equal, else 0: a choice without a branch. */
static __always_inline u64 if_equal(u64 a, u64 b)
{
  u64 differs = a ^ b;

  IN_ONE_REGISTER(differs);
  differs |= -differs;
  IN_ONE_REGISTER(differs);
  return (differs >> 63) - 1;
}

static __always_inline u64 chosen(u64 mask, u64 value, u64 other)
{
  return other ^ ((value ^ other) & mask);
}

/*
 * A round adds a component, or goes from the root of a mount to its mount point; or it does nothing, if the
 * component was renamed meanwhile, which its d_seq tells. A file that is in no directory, as memfd_create()
 * makes it, has a name and counts as deleted, as in /proc/PID/exe.
 *
 * A round has no branch but out of the loop: else the verifier would follow 2^MAX_DEPTH ways.
 */
static __always_inline u64 append_path(struct cursor *cursor, struct path leaf, struct path root,
                                       struct path_flags flags)
{
  char *to = place(cursor);
  u64 used = 0, dentry = (u64)leaf.dentry, mount = (u64)mount_of(leaf.mount);
  u64 root_mount = (u64)mount_of(root.mount);
  u32 state = flags.cut;
  HEAD(entry, DENTRY_HEAD);
  HEAD(mounted, MOUNT_HEAD);

  READ_HEAD(entry, dentry);
  cursor->record->flags |= flags.deleted & if_equal((u64)IN_HEAD(entry, struct dentry, d_hash_pprev), 0) &
    ~if_equal((u64)IN_HEAD(entry, struct dentry, d_parent), dentry);
  for (int depth = 0; depth < MAX_DEPTH; depth++) {
    if (if_equal(dentry, (u64)root.dentry) & if_equal(mount, root_mount)) {
      state = 0;
      break;
    }
    READ_HEAD(mounted, mount);
    u64 outer = (u64)IN_HEAD(mounted, struct mount, mnt_parent);
    u64 is_root = if_equal(dentry, (u64)IN_HEAD(mounted, struct mount, mnt).mnt_root);
    if (is_root & if_equal(outer, mount)) {
      state = flags.unreachable;
      break;
    }
    if (used > PATH_AREA - NAME_SIZE)
      break;
    READ_HEAD(entry, dentry);
    u64 parent = (u64)IN_HEAD(entry, struct dentry, d_parent);
    u64 sequence = IN_HEAD(entry, struct dentry, d_seq_seqcount_sequence);
    u64 name = (u64)IN_HEAD(entry, struct dentry, d_name_name) & ~is_root;
    u64 longer = with_component(to, used, (char *)name);
    if (if_equal(parent, dentry) & ~is_root) {
      used = longer;
      state = dentry == (u64)leaf.dentry ? flags.deleted : flags.unreachable;
      break;
    }
    u64 after = GET((struct dentry *)dentry, d_seq_seqcount_sequence);
    u64 is_whole = if_equal(sequence & ~1ULL, after);
    used = chosen(is_whole, longer, used);
    u64 above = chosen(is_root, (u64)IN_HEAD(mounted, struct mount, mnt_mountpoint), parent);
    dentry = chosen(is_whole, above, dentry);
    mount = chosen(is_whole & is_root, outer, mount);
  }
  cursor->record->flags |= state;
  IN_ONE_REGISTER(used);
  return added(cursor, used > PATH_AREA ? PATH_AREA : used);
}

#endif
