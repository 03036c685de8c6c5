/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counts every exec, successful or failed, and decides which are recorded. */

/* Whether the action of its effective UID is to ignore an exec that its real UID's ignores. */
static __always_inline bool is_ignored_as(u32 euid, u32 uid, struct task_struct *task)
{
  if (euid == uid)
    return true;
  struct rule *rule = rule_for(euid, charged(euid, task));
  return !rule || rule->action == ACTION_IGNORE;
}

/*
 * With INTERACTIVE, an exec with neither a terminal nor a login session is ignored too: no administrator
 * did it by hand.
 */
static __always_inline bool is_unattended(struct task_struct *task)
{
#ifdef INTERACTIVE
  return session_of(task) == NO_ID && !tty_of(task);
#else
  return false;
#endif
}

/* An exec that gains privilege is never ignored. Its credentials are read only where it would be. */
static __always_inline bool is_ignored(struct rule *rule, u32 uid, struct task_struct *task, bool succeeded)
{
  bool unattended = is_unattended(task);

  if (rule->action != ACTION_IGNORE && !unattended)
    return false;
  struct privilege now = privilege_of(task);
  if (!unattended && !is_ignored_as(now.euid, uid, task))
    return false;
  return !(succeeded && may_have_gained(task, &now));
}

/* The rule of an exec that is to be recorded, else NULL, and counted. `scratch`: the memory for its record. */
static __always_inline struct rule *admitted(struct counters *counts, void *scratch, struct subject *subject,
                                             struct task_struct *task, bool succeeded)
{
  struct rule *rule = subject->is_kernel ? default_rule() : rule_for(subject->uid, subject->charged);

  COUNT(counts, seen);
  if (!rule || !scratch) { /* cannot be: they are arrays */
    COUNT(counts, lost);
    return NULL;
  }
  if (is_ignored(rule, subject->uid, task, succeeded) || is_suppressed(counts, rule, subject))
    COUNT(counts, ignored);
  else if (has_share(subject->payer))
    return rule;
  else
    count_lost(counts, subject->payer);
  forget_caller(task);
  return NULL;
}
