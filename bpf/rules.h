/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rule that applies to a UID. */

static __always_inline struct rule *rule_of(u32 uid)
{
  int zero = 0;
  struct rule *rule = config.lookup(&uid);
  return rule ? rule : defaults.lookup(&zero);
}
