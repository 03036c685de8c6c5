/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Failed execs. They are seen only where the system call returns. The arguments are read from the caller's
 * memory, at the addresses that were given to the system call.
 */
#ifdef FAILURES

#define AT_EXECVE_CHECK 0x10000 /* execveat(2): only asks whether it would be allowed */

struct attempt {
  u64 filename;
  u64 argv;
  u64 is_check; /* no exec, however it ends */
};

struct sys_enter { /* events/syscalls/sys_enter_execve/format */
  u64 common;
  u64 number;
  u64 args[6];
};

struct sys_exit { /* events/syscalls/sys_exit_execve/format */
  u64 common;
  u64 number;
  s64 result;
};

/* By task pointer. */
BPF_TABLE("lru_hash", u64, struct attempt, attempts, MAX_CALLERS);

struct failed_scratch {
  struct record record;
  char data[DATA_SIZE + ARGV_BYTES]; /* room for an argument that starts at argv's last byte */
};
BPF_ARRAY(failed_scratch, struct failed_scratch, CPUS);

int enter_execve(struct sys_enter *ctx)
{
  u64 task = bpf_get_current_task();
  struct attempt attempt = {.filename = ctx->args[0], .argv = ctx->args[1]};
  attempts.update(&task, &attempt);
  return 0;
}

int enter_execveat(struct sys_enter *ctx)
{
  u64 task = bpf_get_current_task();
  struct attempt attempt = {
    .filename = ctx->args[1], .argv = ctx->args[2], .is_check = ctx->args[4] & AT_EXECVE_CHECK};
  attempts.update(&task, &attempt);
  return 0;
}

/* Reads a string in the caller's memory; its bytes with the NUL, 0 if it can't be read. */
static __always_inline u64 read_user_string(char *to, u32 size, u64 from)
{
  *to = 0;
  u64 length = bpf_probe_read_user_str(to, size, (void *)from);
  u64 below = length - 1;
  IN_ONE_REGISTER(below); /* no branch, which the verifier would follow in each round of the loop */
  length += below >> 63; /* before Linux 6.15 the result for an empty string is 0, not 1 */
  return string_length(length, size);
}

/* The arguments, by the caller's array of pointers, as far as both can be read. */
static __always_inline u64 append_user_argv(struct cursor *cursor, u64 argv)
{
  char *to = place(cursor);
  u64 used = 0, argument = 0;
  u32 argc = 0;

  for (; argc < MAX_FAILED_ARGS; argc++) {
    if (bpf_probe_read_user(&argument, sizeof(argument), (void *)(argv + 8 * argc))) {
      if (argv) /* execve() takes NULL for no arguments */
        cursor->record->flags |= TRUNCATED_ARGV;
      break;
    }
    if (!argument)
      break;
    IN_ONE_REGISTER(used);
    u64 length = 0;
    if (used < ARGV_BYTES) /* with a byte more than is kept, to tell what fits exactly from what is cut */
      length = read_user_string(to + used, ARGV_BYTES + 1, argument);
    if (!length) {
      cursor->record->flags |= TRUNCATED_ARGV;
      break;
    }
    used += length;
  }
  if (argc == MAX_FAILED_ARGS &&
      (bpf_probe_read_user(&argument, sizeof(argument), (void *)(argv + 8 * argc)) || argument))
    cursor->record->flags |= TRUNCATED_ARGV;
  IN_ONE_REGISTER(used);
  if (used > ARGV_BYTES) {
    cursor->record->flags |= TRUNCATED_ARGV;
    used = ARGV_BYTES;
  }
  cursor->record->argc = argc;
  return added(cursor, used);
}

int exit_execve(struct sys_exit *ctx)
{
  struct task_struct *task = current_task();
  u64 key = (u64)task;
  struct subject subject = subject_of(task);
  int cpu = bpf_get_smp_processor_id();
  struct counters *counts = this_cpus_counters();
  struct attempt *entry = attempts.lookup(&key), attempt = {};

  if (entry) {
    attempt = *entry;
    attempts.delete(&key);
  }
  if (ctx->result >= 0 || attempt.is_check || !counts)
    return 0;
  struct failed_scratch *scratch = failed_scratch.lookup(&cpu);
  struct rule *rule = admitted(counts, scratch, &subject, task, false);
  if (!rule)
    return 0;
  struct record *record = &scratch->record;
  record->flags = HAS_COMM | (subject.is_kernel ? BY_KERNEL : 0);
  record->result = ctx->result;
  __builtin_memcpy(record->message, rule->message, MESSAGE_SIZE);
  put_process(record, task, subject.uid);
  GET_ARRAY(record->comm, task, comm);
  record->new_comm[0] = 0;
  put_caps(record, task);
  put_caller(record, task, NULL); /* if it failed past the point of no return, comm is the new one already */

  struct cursor cursor = {.record = record};
  record->filename_len = added(&cursor, read_user_string(place(&cursor), FILENAME_SIZE, attempt.filename));
  if (record->filename_len == FILENAME_SIZE)
    record->flags |= TRUNCATED_FILENAME;
  record->interp_len = record->argv_total = 0;
  record->exec_id.start = record->exec_id.execs = 0;
  put_no_file(record);
  settle(&cursor, FILENAME_SIZE);
  record->cgroup_len = append_cgroup(&cursor, task);
  settle(&cursor, FILENAME_SIZE + PATH_SIZE);
  record->parent_exe_len = append_parent(&cursor, task);
  settle(&cursor, FILENAME_SIZE + 2 * PATH_SIZE);
  record->argv_len = append_user_argv(&cursor, attempt.argv);
  settle(&cursor, FILENAME_SIZE + 2 * PATH_SIZE + ARGV_BYTES);
  record->cwd_len = append_cwd(&cursor, task);
  record->ancestors_len = append_ancestors(&cursor, task);
  record->end_len = 0;
  submit(counts, &cursor, sizeof(struct scratch), subject.payer);
  return 0;
}

#endif
