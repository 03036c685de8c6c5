// SPDX-License-Identifier: GPL-2.0-or-later
/* What the ways execute: it stays until its standard input ends, or stops itself if its argument says so. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
  char buffer[4096];

  if (argc > 1 && !strcmp(argv[1], "stop"))
    raise(SIGSTOP);
  while (read(0, buffer, sizeof(buffer)) > 0)
    ;
  return 0;
}
