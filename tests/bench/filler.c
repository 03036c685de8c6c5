// SPDX-License-Identifier: GPL-2.0-or-later
// filler PROGRAM COUNT RATE: runs the BPF program behind descriptor PROGRAM, which puts one record into a ring, until
// COUNT are in, RATE a second (0: whenever there is room). Prints how many records had no room, and the nanoseconds.
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uint64_t now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ull + t.tv_nsec;
}

int main(int argc, char **argv)
{
  union bpf_attr run = {0};
  if (argc != 4)
    return 2;
  run.test.prog_fd = atoi(argv[1]);
  uint64_t count = strtoull(argv[2], NULL, 10), refused = 0, done = 0, begin = now();
  double rate = atof(argv[3]);
  while (done < count) {
    uint64_t due = rate ? (now() - begin) * rate / 1e9 : count;
    for (; done < due && done < count; done++) {
      if (syscall(SYS_bpf, BPF_PROG_TEST_RUN, &run, sizeof run)) {
        perror("filler");
        return 1;
      }
      if (run.test.retval) {
        refused++;
        if (!rate)
          break;
      }
    }
    usleep(1000);
  }
  printf("%llu %llu\n", (unsigned long long)refused, (unsigned long long)(now() - begin));
  return 0;
}
