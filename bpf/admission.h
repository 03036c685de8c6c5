/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which execs are recorded, the successful and the failed ones; every one of them is counted. */

/* The rule for an exec that is to be recorded, in this memory; NULL if it isn't. */
static __always_inline struct user *admitted(struct counters *counts, void *scratch, u32 uid,
                                             struct task_struct *task)
{
  struct user *user = user_of(uid);

  COUNT(counts, seen);
  if (!user || !scratch) { /* cannot be: they are arrays */
    COUNT(counts, lost);
    return NULL;
  }
  if (!is_left_out(user, task) && !is_held_back(counts, user, uid, task))
    return user;
  COUNT(counts, ignored);
  forget_caller(task);
  return NULL;
}
