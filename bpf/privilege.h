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

/* Another effective UID or GID is a set-UID or set-GID file's. */
static __always_inline bool is_gain(struct privilege *before, struct privilege *after)
{
  return before->euid != after->euid || before->egid != after->egid || after->permitted & ~before->permitted;
}
