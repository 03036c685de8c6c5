/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rule that applies to a UID. */

static __always_inline struct rule *default_rule(void)
{
  int zero = 0;
  return defaults.lookup(&zero);
}

static __always_inline struct rule *rule_of(u32 uid)
{
  struct rule *rule = config.lookup(&uid);
  return rule ? rule : default_rule();
}

/* The rule that was set for a UID, else that of the UID that is charged for it. */
static __always_inline struct rule *rule_for(u32 uid, u32 charged)
{
  struct rule *rule = config.lookup(&uid);

  if (rule)
    return rule;
  return charged == uid ? default_rule() : rule_of(charged);
}
