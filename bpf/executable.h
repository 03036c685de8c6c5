/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file that an exec runs: for a script that is the interpreter. */

#define OVERLAYFS_MAGIC 0x794c7630
#define CTIME_NSEC 0x7fffffff /* Linux 6.13 and newer have a flag in the highest bit */

#ifdef KERNEL_HAS_EXE_ID

static __always_inline s64 ctime_of(struct inode *inode)
{
#if defined(KERNEL_HAS_CTIME_SEC)
  return GET(inode, i_ctime_sec) * SECOND + (GET(inode, i_ctime_nsec) & CTIME_NSEC);
#elif defined(KERNEL_HAS_CTIME)
  return GET(inode, i_ctime_tv_sec) * SECOND + (GET(inode, i_ctime_tv_nsec) & CTIME_NSEC);
#else
  return 0;
#endif
}

/* Whether an overlay has the file in its upper layer: it was written since the overlay was made. */
static __always_inline bool is_upper(struct inode *inode, struct super_block *super)
{
#ifdef KERNEL_HAS_UPPER
  struct ovl_inode *overlaid = (void *)inode - offsetof(struct ovl_inode, vfs_inode);
  return GET(super, s_magic) == OVERLAYFS_MAGIC && GET(overlaid, __upperdentry);
#else
  return false;
#endif
}

static __always_inline void put_file(struct record *record, struct file *file)
{
  struct inode *inode = GET(file, f_inode);
  struct super_block *super = GET(inode, i_sb);

  record->exe_device = GET(super, s_dev);
  record->exe_inode = GET(inode, i_ino);
  record->exe_ctime = ctime_of(inode);
  record->exe_mode = GET(inode, i_mode);
  record->exe_uid = GET(inode, i_uid);
  record->exe_gid = GET(inode, i_gid);
  if (!GET(inode, i_nlink))
    record->flags |= IS_FILELESS;
  if (is_upper(inode, super))
    record->flags |= IS_UPPER;
}

#else

static __always_inline void put_file(struct record *record, struct file *file)
{
}

#endif

/* The components of the file's path below the root directory of the process. */
static __always_inline u64 append_exe(struct cursor *cursor, struct file *file, struct task_struct *task)
{
#ifdef KERNEL_HAS_EXE
  const struct path_flags flags = {TRUNCATED_EXE, EXE_UNREACHABLE, EXE_DELETED};
  return append_path(cursor, path_of(file), root_of(task), flags);
#else
  return 0;
#endif
}

/* In place of put_file() and append_exe(), for an exec that failed and for an end. */
static __always_inline void put_no_file(struct record *record)
{
  record->exe_len = 0;
  record->exe_device = record->exe_mode = record->exe_uid = record->exe_gid = 0;
  record->exe_inode = record->exe_ctime = 0;
}
