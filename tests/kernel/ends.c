// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ends WAY [NUMBER] [FILE]: ends in this way.
 *   code N         by exit(N)
 *   signal N       by this signal
 *   touch N        by exit(0), after so many MiB were resident
 *   leader-first N the leader's thread ends, then another calls exit(N)
 *   each-alone N   the leader's thread ends with N, then another with N + 1, neither for all
 *   other-thread N a thread calls exit(N) while the leader waits
 *   crowd N        N threads end at the same time, with the leader
 *   fork N         a child that executes nothing ends with N, then the parent by exit(0)
 *   exec-thread N FILE a thread executes FILE code N
 *   chain N FILE   executes FILE code N
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *way, *file;
static char *number;
static pthread_t leader;
static pthread_barrier_t together;

static void be(const char *next)
{
  execl(file, file, next, number, file, NULL);
  _exit(126);
}

static void *thread(void *unused)
{
  (void)unused;
  if (!strcmp(way, "exec-thread"))
    be("code");
  if (!strcmp(way, "leader-first"))
    pthread_join(leader, NULL);
  if (!strcmp(way, "each-alone")) {
    char path[64], state = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", getpid());
    while (state != 'Z') { /* the leader stays as a zombie */
      FILE *stat = fopen(path, "r");
      if (!stat || fscanf(stat, "%*d (%*[^)]) %c", &state) != 1)
        _exit(127);
      fclose(stat);
    }
    syscall(SYS_exit, atoi(number) + 1);
  }
  if (!strcmp(way, "crowd")) {
    pthread_barrier_wait(&together);
    syscall(SYS_exit, 0);
  }
  exit(atoi(number));
}

static void run_threads(int count)
{
  pthread_t made;
  leader = pthread_self();
  pthread_barrier_init(&together, NULL, count + 1);
  for (int i = 0; i < count; i++)
    if (pthread_create(&made, NULL, thread, NULL))
      _exit(127);
}

static void touch(size_t size)
{
  char *memory = malloc(size);
  memset(memory, 1, size);
  asm volatile("" : : "r"(memory) : "memory");
  free(memory);
}

int main(int argc, char **argv)
{
  if (argc < 3)
    return 127;
  way = argv[1], number = argv[2], file = argc > 3 ? argv[3] : NULL;
  int n = atoi(number);
  if (!strcmp(way, "code"))
    exit(n);
  if (!strcmp(way, "signal")) {
    raise(n);
  } else if (!strcmp(way, "touch")) {
    touch((size_t)n << 20);
    return 0;
  } else if (!strcmp(way, "chain")) {
    be("code");
  } else if (!strcmp(way, "fork")) {
    int status;
    pid_t child = fork();
    if (!child)
      _exit(n);
    return waitpid(child, &status, 0) != child;
  } else if (!strcmp(way, "leader-first")) {
    run_threads(1);
    pthread_exit(NULL);
  } else if (!strcmp(way, "each-alone")) {
    run_threads(1);
    syscall(SYS_exit, n);
  } else if (!strcmp(way, "crowd")) {
    run_threads(n);
    pthread_barrier_wait(&together);
    syscall(SYS_exit, 0);
  } else {
    run_threads(1);
    pause();
  }
  return 127;
}
