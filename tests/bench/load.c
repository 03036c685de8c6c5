// SPDX-License-Identifier: GPL-2.0-or-later
// load WORKERS SECONDS COUNT RATE PROGRAM TAG [ARGUMENT...]: WORKERS processes execute `PROGRAM TAGz ARGUMENT...`, each
// one after the other, until SECONDS have passed or each did COUNT (0: no such limit), RATE a second together (0: as
// fast as they can). The last ARGUMENT is another number each time if it is @. Prints how many there were and the
// nanoseconds that they took.
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static uint64_t now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void sleep_until(uint64_t then)
{
  struct timespec t = {then / 1000000000, then % 1000000000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
    ;
}

// with an execve that a preloaded library can replace
static pid_t execute(char **arguments)
{
  pid_t child = vfork();
  if (!child) {
    execve(arguments[0], arguments, environ);
    perror(arguments[0]);
    _exit(1);
  }
  return child;
}

static uint64_t work(uint64_t begin, uint64_t end, uint64_t count, double interval, char **arguments, char **last)
{
  char number[32];
  uint64_t done = 0;
  if (strcmp(*last, "@"))
    last = NULL;
  else
    *last = number;
  while ((!count || done < count) && now() < end) {
    int status;
    if (last)
      snprintf(number, sizeof number, "%d-%llu", getpid(), (unsigned long long)done);
    if (interval)
      sleep_until(begin + done * interval);
    pid_t child = execute(arguments);
    if (waitpid(child, &status, 0) != child || status)
      _exit(1);
    done++;
  }
  return done;
}

int main(int argc, char **argv)
{
  char tag[64];
  if (argc < 7)
    return 2;
  snprintf(tag, sizeof tag, "%sz", argv[6]); // the load's own command line has it without
  argv[6] = tag;
  int workers = atoi(argv[1]), failed = 0, status;
  double seconds = atof(argv[2]), rate = atof(argv[4]), interval = rate ? workers * 1e9 / rate : 0;
  uint64_t count = strtoull(argv[3], NULL, 10), total = 0;
  uint64_t *done = mmap(NULL, workers * sizeof *done, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (done == MAP_FAILED)
    return 1;
  uint64_t begin = now(), end = seconds ? begin + (uint64_t)(seconds * 1e9) : UINT64_MAX;
  for (int i = 0; i < workers; i++)
    if (!fork()) {
      done[i] = work(begin + i * interval / workers, end, count, interval, argv + 5, argv + argc - 1);
      _exit(0);
    }
  while (wait(&status) > 0)
    failed |= status;
  uint64_t took = now() - begin;
  for (int i = 0; i < workers; i++)
    total += done[i];
  printf("%llu %llu\n", (unsigned long long)total, (unsigned long long)took);
  return failed != 0;
}
