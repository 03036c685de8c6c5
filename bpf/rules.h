/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which rule an exec goes by, and whether that leaves it out. */

static __always_inline struct user *user_of(u32 uid)
{
  int zero = 0;
  struct user *user = config.lookup(&uid);
  return user ? user : defaults.lookup(&zero);
}

/*
 * With INTERACTIVE, an exec with neither a terminal nor a login session is ignored too: no administrator did it
 * by hand.
 */
static __always_inline bool is_left_out(struct user *user, struct task_struct *task)
{
  if (user->action == ACTION_IGNORE)
    return true;
#ifdef INTERACTIVE
  return session_of(task) == NO_ID && !tty_of(task);
#else
  return false;
#endif
}
