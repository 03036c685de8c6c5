/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose exec it is: who is charged for it. */

#define PF_KTHREAD 0x00200000 /* task_struct.flags */

struct subject {
  u32 uid;        /* real, in the initial user namespace */
  u32 charged;    /* the UID whose limit applies, and whose action and message where `uid` has no rule */
  u32 payer;      /* whose share of the ring the record takes: a key of the buckets */
  bool is_kernel; /* the kernel itself, as UID 0 */
};

/*
 * The kernel executes helpers, as modprobe, as UID 0 in children of its threads, and any user can make it do so.
 * The parent of PID 1 is the idle task, which is a kernel thread too: what PID 1 executes is its own.
 */
static __always_inline bool is_kernels(u32 uid, struct task_struct *task)
{
  if (uid)
    return false;
  struct task_struct *parent = GET(task, real_parent);
  return GET(parent, flags) & PF_KTHREAD && GET(parent, tgid);
}

/* Who made the outermost user namespace that a UID is in; NO_ID: it isn't a subordinate one, or is in none. */
static __always_inline u32 maker_of(u32 uid, struct task_struct *task)
{
  u32 maker = NO_ID;

  if (uid < FIRST_SUBORDINATE)
    return maker;
  struct user_namespace *ns = GET(GET(task, cred), user_ns);
  for (int i = 0; i < MAX_NAMESPACES; i++) {
    struct user_namespace *parent = GET(ns, parent);
    if (!parent) /* the initial namespace */
      break;
    maker = GET(ns, owner);
    ns = parent;
  }
  return maker;
}

/*
 * The UID that is charged for what another executes. Any user may have thousands of subordinate UIDs in a user
 * namespace: they count as the user who made the outermost namespace. If root made it, as for a container, each
 * UID counts by itself.
 */
static __always_inline u32 charged_by(u32 uid, u32 maker)
{
  return maker && maker != NO_ID ? maker : uid;
}

static __always_inline u32 charged(u32 uid, struct task_struct *task)
{
  return charged_by(uid, maker_of(uid, task));
}

/* The bucket of who is charged. No user has the kernel's. */
static __always_inline u32 bucket_key(struct subject *subject)
{
  if (subject->is_kernel)
    return KERNEL_ID;
  return subject->charged == KERNEL_ID ? NO_ID : subject->charged;
}

static __always_inline struct subject subject_of(struct task_struct *task)
{
  u32 uid = bpf_get_current_uid_gid(), maker = maker_of(uid, task);
  struct subject subject = {.uid = uid, .charged = charged_by(uid, maker), .is_kernel = is_kernels(uid, task)};

  subject.payer = unknown(maker ? bucket_key(&subject) : CONTAINERS_ID);
  return subject;
}
