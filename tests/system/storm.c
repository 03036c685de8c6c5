// SPDX-License-Identifier: GPL-2.0-or-later
// storm COUNT PAUSE_US TAG: executes itself COUNT times as `storm TAG-0` … `storm TAG-N`, one after the other.
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv)
{
  if (argc != 4)
    return 0;
  int count = atoi(argv[1]), pause = atoi(argv[2]);
  char serial[64];
  char *arguments[] = {argv[0], serial, NULL};
  for (int i = 0; i < count; i++) {
    pid_t child;
    snprintf(serial, sizeof serial, "%s-%d", argv[3], i);
    int error = posix_spawn(&child, argv[0], NULL, NULL, arguments, environ);
    if (error) {
      fprintf(stderr, "storm: %s\n", strerror(error));
      return 1;
    }
    int status;
    if (waitpid(child, &status, 0) != child || status)
      return 1;
    if (pause)
      usleep(pause);
  }
  return 0;
}
