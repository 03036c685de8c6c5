/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rule that applies to an exec, and whether it says to ignore it. */

static __always_inline struct rule *rule_of(u32 uid)
{
  int zero = 0;
  struct rule *rule = config.lookup(&uid);
  return rule ? rule : defaults.lookup(&zero);
}

/*
 * With INTERACTIVE, an exec with neither a terminal nor a login session is ignored too: no administrator
 * did it by hand.
 */
static __always_inline bool is_ignored(struct rule *rule, struct task_struct *task)
{
  if (rule->action == ACTION_IGNORE)
    return true;
#ifdef INTERACTIVE
  return session_of(task) == NO_ID && !tty_of(task);
#else
  return false;
#endif
}
