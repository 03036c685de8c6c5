/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a process may do, and whether an exec let it do more. */

struct privilege {
  u32 euid;
  u32 egid;
  u64 permitted; /* capabilities, in its user namespace */
};

static __always_inline struct privilege privilege_of(struct task_struct *task)
{
  struct cred *cred = GET(task, cred);
  struct privilege privilege = {
    .euid = GET(cred, euid), .egid = GET(cred, egid), .permitted = GET(cred, cap_permitted)};
  return privilege;
}

/* What an exec gave, as flags of the record. Another effective UID or GID is a set-UID or set-GID file's. */
static __always_inline u32 gained(struct privilege *before, struct privilege *after)
{
  u32 flags = 0;

  if (before->euid != after->euid)
    flags |= GAINED_EUID;
  if (before->egid != after->egid)
    flags |= GAINED_EGID;
  if (after->permitted & ~before->permitted)
    flags |= GAINED_CAPS;
  return flags;
}

static __always_inline void put_caps(struct record *record, struct task_struct *task)
{
  record->caps = 0;
#ifdef KERNEL_HAS_CAPS
  struct cred *cred = GET(task, cred);
  u64 effective = GET(cred, cap_effective);
  if (effective != GET(cred, cap_bset))
    record->caps = effective;
#endif
}
