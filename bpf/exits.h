/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Exits of processes whose exec was recorded. */
#ifdef EXITS

/*
 * The loader may put the former program's map in its place: then only one of the two programs reports an
 * exit.
 */
BPF_TABLE("hash", u32, struct running, running, MAX_RUNNING);

struct exit_scratch {
  struct record record;
  char data[PATH_AREA + 2 * NAME_SIZE + sizeof(struct end)]; /* twice: Linux 6.1 takes a name for that long */
};
/* exec_scratch would not do: these programs may interrupt on_exec. */
BPF_ARRAY(exit_scratch, struct exit_scratch, CPUS);
BPF_ARRAY(retry_exit_scr, struct exit_scratch, CPUS); /* the kernel keeps 15 characters of a name */

#define GROUP_EXIT 4 /* SIGNAL_GROUP_EXIT: signal_struct.flags */

/* What the parent gets from wait(2); see wait_task_zombie() of the kernel. */
static __always_inline s32 status_of(struct task_struct *task, struct signal_struct *signal)
{
  if (GET(signal, flags) & GROUP_EXIT)
    return GET(signal, group_exit_code);
  return GET(GET(task, group_leader), exit_code);
}

/* Pages of a kind. The counter may be negative: each CPU has a part that was not added yet. */
static __always_inline u64 pages(struct mm_struct *mm, u32 kind)
{
#ifdef KERNEL_HAS_RSS_STAT
  s64 count = GET(mm->rss_stat + kind, count);
  return count < 0 ? 0 : count;
#else
  return 0;
#endif
}

#ifdef KERNEL_HAS_PEAK_RSS_KB
static __always_inline u64 maxrss_of(struct signal_struct *signal)
{
  return GET(signal, maxrss);
}

/*
 * The most pages since the exec. maxrss also covers the image before it, a copy of the parent's, so it
 * counts only if it grew since. Else the memory itself has the number; it is still there at this tracepoint
 * since Linux 6.16.
 */
static __always_inline u64 peak_of(struct task_struct *task, struct signal_struct *signal, u64 before)
{
  u64 peak = maxrss_of(signal);

  if (peak > before)
    return peak;
  struct mm_struct *mm = GET(task, mm);
  if (!mm)
    return 0;
  u64 now = pages(mm, 0) + pages(mm, 1) + pages(mm, 3); /* MM_FILEPAGES, MM_ANONPAGES, MM_SHMEMPAGES */
  peak = GET(mm, hiwater_rss);
  return now > peak ? now : peak;
}
#else
static __always_inline u64 maxrss_of(struct signal_struct *signal)
{
  return 0;
}

static __always_inline u64 peak_of(struct task_struct *task, struct signal_struct *signal, u64 before)
{
  return 0;
}
#endif

static __always_inline void count_unended(struct counters *counts)
{
  COUNT(counts, seen);
  COUNT(counts, lost);
  COUNT(counts, unended);
}

/*
 * Called after an exec was recorded. It replaces an earlier exec of the same process. An entry of another
 * process under this pid means that its exit was skipped: count it as unended.
 */
static __always_inline void await_end(struct counters *counts, struct record *record,
                                      struct task_struct *task, u32 payer)
{
  struct running process = {
    .id = record->exec_id,
    .exec_time = record->timestamp,
    .maxrss = maxrss_of(GET(task, signal)),
    .uid = record->uid,
    .payer = payer,
  };
  u32 pid = record->pid;
  struct running *former = running.lookup(&pid);

  if (former && former->id.start != process.id.start)
    count_unended(counts);
  if (running.update(&pid, &process))
    count_unended(counts);
}

static __always_inline void put_end(struct counters *counts, struct exit_scratch *scratch,
                                    struct running *process, struct task_struct *task)
{
  struct record *record = &scratch->record;
  struct cursor cursor = {.record = record};
  struct signal_struct *signal = GET(task, signal);
  struct end end = {.exec_time = process->exec_time};

  end.peak = peak_of(task, signal, process->maxrss);
  end.status = status_of(task, signal);

  record->flags = HAS_COMM;
  record->result = 0;
  put_process(record, task, process->uid);
  GET_ARRAY(record->comm, GET(task, group_leader), comm);
  record->new_comm[0] = record->message[0] = 0;
  record->argc = record->argv_total = record->caps = 0;
  record->filename_len = record->interp_len = record->argv_len = record->cwd_len = record->ancestors_len = 0;
  put_no_file(record);
  put_no_parent(record);
  record->exec_id = process->id;
  record->cgroup_len = append_cgroup(&cursor, task);
  record->end_len = APPEND(&cursor, end);
  submit(counts, &cursor, sizeof(*scratch), process->payer);
}

/*
 * Runs for every thread that exits; the process exits with the last of them. Several threads may find that
 * they are the last, and two programs may run here, so whichever removes the process from the map reports
 * its exit.
 */
static __always_inline int record_exit(struct exit_scratch *scratch)
{
  struct task_struct *task = current_task();
  u32 pid = bpf_get_current_pid_tgid() >> 32;

  if (GET(GET(task, signal), live))
    return 0;
  struct running *entry = running.lookup(&pid);
  if (!entry)
    return 0;
  struct running process = *entry;
  if (running.delete(&pid))
    return 0;
  struct counters *counts = this_cpus_counters();
  if (!counts || !scratch) /* cannot be: they are arrays */
    return 0;
  if (process.id.start != start_of(task)) { /* an earlier process with this pid */
    count_unended(counts);
    return 0;
  }
  COUNT(counts, seen);
  if (has_share(process.payer))
    put_end(counts, scratch, &process, task);
  else
    count_lost(counts, process.payer);
  return 0;
}

int on_exit(struct bpf_raw_tracepoint_args *ctx)
{
  int cpu = bpf_get_smp_processor_id();
  return record_exit(exit_scratch.lookup(&cpu));
}

/* Runs after on_exit, for the exits that it was skipped for; see on_exec_retry. */
int on_exit_retry(struct bpf_raw_tracepoint_args *ctx)
{
  int cpu = bpf_get_smp_processor_id();
  return record_exit(retry_exit_scr.lookup(&cpu));
}

#else

static __always_inline void await_end(struct counters *counts, struct record *record,
                                      struct task_struct *task, u32 payer)
{
}

#endif
