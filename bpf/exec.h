/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Successful execs. */

/* By CPU, as a program runs once on a CPU at a time. A per-CPU map can't have values of more than 32 KiB. */
BPF_ARRAY(exec_scratch, struct scratch, CPUS);
BPF_ARRAY(retry_scratch, struct scratch, CPUS);

/* The arguments, as /proc/PID/cmdline shows them. */
static __always_inline u64 append_argv(struct cursor *cursor, struct task_struct *task)
{
  struct mm_struct *mm = GET(task, mm);
  u64 start = GET(mm, arg_start), total = GET(mm, arg_end) - start, length = total;

  cursor->record->argv_total = total;
  IN_ONE_REGISTER(length);
  if (length > ARGV_BYTES) {
    cursor->record->flags |= TRUNCATED_ARGV;
    length = ARGV_BYTES;
  }
  if (!bpf_probe_read_user(place(cursor), length, (void *)start))
    return added(cursor, length);
  /* The kernel wrote them a moment ago, but they may have been swapped out since. */
  cursor->record->flags |= TRUNCATED_ARGV;
  return 0;
}

static __always_inline int record_exec(struct bpf_raw_tracepoint_args *ctx, struct counters *counts,
                                       struct scratch *scratch)
{
  struct task_struct *task = current_task();
  struct linux_binprm *bprm = (void *)ctx->args[2];
  struct subject subject = subject_of(task);
  struct rule *rule = admitted(counts, scratch, &subject, task, true);

  if (!rule)
    return 0;
  struct record *record = &scratch->record;
  struct privilege now = privilege_of(task);
  record->flags = subject.is_kernel ? BY_KERNEL : 0;
  record->result = 0;
  __builtin_memcpy(record->message, rule->message, MESSAGE_SIZE);
  put_process(record, task, subject.uid);
  GET_ARRAY(record->new_comm, task, comm);
  __builtin_memset(record->comm, 0, COMM_SIZE);
  put_caller(record, task, &now);
  put_caps(record, task);
  record->argc = GET(bprm, argc);
  record->exec_id = exec_id_of(task);

  struct cursor cursor = {.record = record};
  struct file *file = GET(bprm, file);
  const char *filename = GET(bprm, filename), *interp = GET(bprm, interp);
  record->filename_len = append_string(&cursor, FILENAME_SIZE, filename);
  record->interp_len = interp == filename ? 0 : append_string(&cursor, INTERP_SIZE, interp);
  settle(&cursor, FILENAME_SIZE + INTERP_SIZE);
  record->cgroup_len = append_cgroup(&cursor, task);
  put_file(record, file);
  settle(&cursor, FILENAME_SIZE + INTERP_SIZE + PATH_SIZE);
  record->exe_len = append_exe(&cursor, file, task);
  settle(&cursor, FILENAME_SIZE + INTERP_SIZE + 2 * PATH_SIZE);
  record->parent_exe_len = append_parent(&cursor, task);
  settle(&cursor, FILENAME_SIZE + INTERP_SIZE + 3 * PATH_SIZE);
  record->argv_len = append_argv(&cursor, task);
  settle(&cursor, FILENAME_SIZE + INTERP_SIZE + 3 * PATH_SIZE + ARGV_BYTES);
  record->cwd_len = append_cwd(&cursor, task);
  record->ancestors_len = append_ancestors(&cursor, task);
  record->end_len = 0;
  if (submit(counts, &cursor, sizeof(*scratch), subject.payer))
    await_end(counts, record, task, subject.payer);
  return 0;
}

int on_exec(struct bpf_raw_tracepoint_args *ctx)
{
  int cpu = bpf_get_smp_processor_id();
  struct counters *counts = this_cpus_counters();

  return counts ? record_exec(ctx, counts, exec_scratch.lookup(&cpu)) : 0;
}

/*
 * Runs after on_exec, at the same tracepoint. Where the kernel may preempt a program, it skips on_exec for
 * an exec on a CPU where on_exec is still running. Such an exec shows by its caller, which on_exec would
 * have taken.
 */
int on_exec_retry(struct bpf_raw_tracepoint_args *ctx)
{
  int cpu = bpf_get_smp_processor_id();
  struct counters *counts = this_cpus_counters();

  if (!counts || !has_caller(current_task()))
    return 0;
  COUNT(counts, retried);
  return record_exec(ctx, counts, retry_scratch.lookup(&cpu));
}
