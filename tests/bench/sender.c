// SPDX-License-Identifier: GPL-2.0-or-later
// sender FILE COUNT SOCKET: sends COUNT datagrams as fast as the reader of SOCKET takes them. FILE has them one behind
// the other, each behind its size as 32 bits; after the last comes the first again. Prints the nanoseconds until the
// reader had read them all.
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
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
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (argc != 4)
    return 2;
  int file = open(argv[1], O_RDONLY), room = 8 << 20, unread;
  struct stat status = {0};
  fstat(file, &status);
  const char *first = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE, file, 0), *next = first;
  int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  strncpy(address.sun_path, argv[3], sizeof address.sun_path - 1);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  if (first == MAP_FAILED || connect(fd, (struct sockaddr *)&address, sizeof address)) {
    perror("sender");
    return 1;
  }
  uint64_t begin = now();
  for (long count = atol(argv[2]); count;) {
    uint32_t size;
    memcpy(&size, next, sizeof size);
    if (send(fd, next + sizeof size, size, MSG_DONTWAIT) == size) {
      count--;
      next += sizeof size + size;
      if (next == first + status.st_size)
        next = first;
    } else if (errno == EAGAIN) {
      usleep(1000); // rather than be woken for each entry that is read: that costs the reader a third of its speed
    } else {
      perror("sender");
      return 1;
    }
  }
  while (!ioctl(fd, SIOCOUTQ, &unread) && unread)
    usleep(200);
  printf("%llu\n", (unsigned long long)(now() - begin));
  return 0;
}
