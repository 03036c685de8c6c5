/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counts every exec, successful or failed, and decides which are recorded. */

/* The rule of an exec that is to be recorded, else NULL. `scratch`: the memory for its record. */
static __always_inline struct rule *admitted(struct counters *counts, void *scratch, u32 uid,
                                             struct task_struct *task)
{
  struct rule *rule = rule_of(uid);

  COUNT(counts, seen);
  if (!rule || !scratch) { /* cannot be: they are arrays */
    COUNT(counts, lost);
    return NULL;
  }
  if (!is_ignored(rule, task) && !is_suppressed(counts, rule, uid, task))
    return rule;
  COUNT(counts, ignored);
  forget_caller(task);
  return NULL;
}
