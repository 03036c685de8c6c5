/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counts every exec, successful or failed, and decides which are recorded. */

/* Whether the actions of both its real and its effective UID are to ignore it. */
static __always_inline bool is_left_out(struct rule *rule, u32 uid, struct task_struct *task)
{
  if (rule->action != ACTION_IGNORE)
    return false;
  u32 euid = GET(GET(task, cred), euid);
  if (euid == uid)
    return true;
  rule = rule_for(euid, charged(euid, task));
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

/* An exec that gains privilege is never ignored. */
static __always_inline bool is_ignored(struct rule *rule, u32 uid, struct task_struct *task, bool succeeded)
{
  if (!is_left_out(rule, uid, task) && !is_unattended(task))
    return false;
  return !(succeeded && may_have_gained(task));
}

/* The rule of an exec that is to be recorded, else NULL. `scratch`: the memory for its record. */
static __always_inline struct rule *admitted(struct counters *counts, void *scratch, struct subject *subject,
                                             struct task_struct *task, bool succeeded)
{
  struct rule *rule = subject->is_kernel ? default_rule() : rule_for(subject->uid, subject->charged);

  COUNT(counts, seen);
  if (!rule || !scratch) { /* cannot be: they are arrays */
    COUNT(counts, lost);
    return NULL;
  }
  if (!is_ignored(rule, subject->uid, task, succeeded) && !is_suppressed(counts, rule, subject))
    return rule;
  COUNT(counts, ignored);
  forget_caller(task);
  return NULL;
}
