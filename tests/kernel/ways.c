// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ways WAY FILE [ARGUMENT...]: executes FILE in this way. Before it does so it writes a byte to descriptor
 * $READY and waits for one from $GO, so that a test can look at the process first.
 * A way that fails ends with the errno as its exit code.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FD 77 /* where a way opens a file, so that the kernel's name for it is known */

static char *file, **arguments, **environment;

static void check(long result)
{
  if (result < 0)
    exit(errno);
}

static void wait_for_the_test(void)
{
  int ready = atoi(getenv("READY")), go = atoi(getenv("GO"));
  char byte = 0;
  fcntl(ready, F_SETFD, FD_CLOEXEC);
  fcntl(go, F_SETFD, FD_CLOEXEC);
  check(write(ready, &byte, 1));
  if (read(go, &byte, 1) != 1)
    _exit(1); /* the test is gone */
}

static void open_at(int flags)
{
  int fd = open(file, flags);
  check(fd);
  check(dup2(fd, FD));
}

static void way_execve(void)
{
  wait_for_the_test();
  execve(file, arguments, environment);
}

static void way_execveat(void)
{
  wait_for_the_test();
  syscall(SYS_execveat, AT_FDCWD, file, arguments, environment, 0);
}

static void way_check(void) /* only asks whether it may */
{
  wait_for_the_test();
  if (!syscall(SYS_execveat, AT_FDCWD, file, arguments, environment, 0x10000)) /* AT_EXECVE_CHECK */
    exit(0);
}

static void way_execveat_directory(void) /* FILE is DIRECTORY//NAME */
{
  char *name = strstr(file, "//");
  *name = 0;
  open_at(O_RDONLY | O_DIRECTORY);
  wait_for_the_test();
  syscall(SYS_execveat, FD, name + 2, arguments, environment, 0);
}

static void way_execveat_empty_path(void)
{
  open_at(O_PATH);
  wait_for_the_test();
  syscall(SYS_execveat, FD, "", arguments, environment, AT_EMPTY_PATH);
}

static void way_fexecve(void)
{
  open_at(O_RDONLY);
  wait_for_the_test();
  fexecve(FD, arguments, environment);
}

static void way_memfd(void)
{
  static char buffer[1 << 16];
  ssize_t size;
  int from = open(file, O_RDONLY), to = memfd_create("in memory", MFD_CLOEXEC);
  check(from);
  check(to);
  while ((size = read(from, buffer, sizeof(buffer))) > 0)
    check(write(to, buffer, size));
  check(dup2(to, FD));
  close(to);
  wait_for_the_test();
  fexecve(FD, arguments, environment);
}

#ifdef __x86_64__
static unsigned below_4g(const char *text)
{
  static char *at;
  if (!at)
    at = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  char *copy = at;
  at = stpcpy(at, text) + 1;
  return (unsigned)(unsigned long)copy;
}

static void way_int80(void) /* the system call of a 32-bit process */
{
  unsigned *argv = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  unsigned name = below_4g(file);
  long result = 11; /* execve */
  for (int i = 0; arguments[i]; i++)
    argv[i] = below_4g(arguments[i]);
  wait_for_the_test();
  asm volatile("int $0x80" : "+a"(result) : "b"(name), "c"((unsigned)(unsigned long)argv), "d"(0) : "memory");
  errno = -result;
}
#endif

static void parent_of(pid_t child)
{
  int status;
  check(child);
  check(waitpid(child, &status, 0));
  exit(WEXITSTATUS(status));
}

static void way_posix_spawn(void)
{
  pid_t child;
  wait_for_the_test();
  errno = posix_spawn(&child, file, NULL, NULL, arguments, environment);
  if (!errno)
    parent_of(child);
}

static void way_vfork(void)
{
  wait_for_the_test();
  pid_t child = vfork();
  if (!child) {
    execve(file, arguments, environment);
    _exit(errno);
  }
  parent_of(child);
}

static void *thread(void *argument)
{
  if (!argument)
    for (;;)
      pause();
  prctl(PR_SET_NAME, argument);
  wait_for_the_test();
  execve(file, arguments, environment);
  exit(errno);
}

static void way_thread(void) /* which isn't the leader, while others run */
{
  pthread_t ids[4];
  for (int i = 0; i < 4; i++)
    check(-pthread_create(&ids[i], NULL, thread, i == 3 ? "a worker" : NULL));
  for (;;)
    pause();
}

static void way_no_arguments(void)
{
  wait_for_the_test();
  syscall(SYS_execve, file, NULL, environment);
}

static void way_argument_of_128k(void)
{
  static char long_argument[128 << 10];
  memset(long_argument, 'x', sizeof(long_argument) - 1);
  arguments[1] = long_argument;
  way_execve();
}

static void namespace(int flag)
{
  char map[64];
  snprintf(map, sizeof(map), "0 %d 1", geteuid());
  check(unshare(flag));
  if (flag != CLONE_NEWUSER)
    return;
  int fd = open("/proc/self/uid_map", O_WRONLY);
  check(write(fd, map, strlen(map)));
  close(fd);
}

static void way_too_long(void)
{
  char *endless = malloc(8 << 20);
  memset(endless, 'z', (8 << 20) - 1);
  endless[(8 << 20) - 1] = 0;
  arguments[1] = endless;
  way_execve();
}

static void way_pid_namespace(void)
{
  namespace(CLONE_NEWPID);
  pid_t child = fork();
  if (!child)
    way_execve();
  parent_of(child);
}

static void way_user_namespace(void)
{
  check(setgroups(0, NULL));
  check(setresgid(65534, 65534, 65534));
  check(setresuid(54321, 54321, 54321));
  check(prctl(PR_SET_DUMPABLE, 1)); /* else uid_map is root's */
  namespace(CLONE_NEWUSER);
  way_execve();
}

static void way_mount_namespace(void)
{
  namespace(CLONE_NEWNS);
  way_execve();
}

static void way_other_user(void)
{
  check(setgroups(0, NULL));
  check(setresgid(65534, 65534, 65534));
  check(setresuid(65534, 65534, 65534));
  way_execve();
}

static void way_logged_in(void) /* as UID 54321, who then became another */
{
  int fd = open("/proc/self/loginuid", O_WRONLY);
  check(fd);
  check(write(fd, "54321", 5));
  close(fd);
  way_other_user();
}

static void way_renamed(void)
{
  check(prctl(PR_SET_NAME, "re\nnamed \xff=\x1b"));
  way_execve();
}

static void way_nameless(void)
{
  check(prctl(PR_SET_NAME, ""));
  way_execve();
}

static void way_terminal(void) /* $TERMINAL becomes the controlling one */
{
  int fd = open(getenv("TERMINAL"), O_RDWR | O_CLOEXEC | O_NOCTTY);
  check(fd);
  check(ioctl(fd, TIOCSCTTY, 0));
  way_execve();
}

static void way_chroot(void) /* to $ROOT; stays in the directory where it is */
{
  check(chroot(getenv("ROOT")));
  way_execve();
}

static void way_bind_mount(void) /* of $ROOT on the current directory, entered */
{
  char *here = getcwd(NULL, 0);
  namespace(CLONE_NEWNS);
  check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
  check(mount(getenv("ROOT"), here, NULL, MS_BIND, NULL));
  check(chdir(here));
  check(chdir("inner"));
  way_execve();
}

static void way_crash(void)
{
  wait_for_the_test();
  signal(SIGABRT, SIG_DFL);
  abort();
}

static void way_bad_filename(void)
{
  wait_for_the_test();
  syscall(SYS_execve, (char *)8, arguments, environment);
}

static void way_bad_argv(void)
{
  wait_for_the_test();
  syscall(SYS_execve, file, (char **)8, environment);
}

static void way_bad_argument(void)
{
  arguments[1] = (char *)8;
  wait_for_the_test();
  syscall(SYS_execve, file, arguments, environment);
}

static void way_twice(void) /* a failure, then FILE */
{
  wait_for_the_test();
  execve("/nonexistent", arguments, environment);
  execve(file, arguments, environment);
}

/* FILE as UID ARGUMENT[0], ARGUMENT[1] times; ARGUMENT[2]: the effective UID, if it is another */
static void way_many(void)
{
  uid_t uid = atoi(arguments[0]), euid = atoi(arguments[arguments[2] ? 2 : 0]);
  int count = atoi(arguments[1]);
  wait_for_the_test();
  while (count--) {
    int status;
    pid_t child = fork();
    if (!child) {
      setresuid(uid, euid, euid);
      execve(file, arguments, environment);
      _exit(errno);
    }
    check(child);
    check(waitpid(child, &status, 0));
    if (status)
      exit(WEXITSTATUS(status));
  }
  exit(0);
}

/* FILE below one of both directories ARGUMENT[1] and [2], whichever it is in at that moment; ARGUMENT[0] times */
static void way_retry(void)
{
  char paths[2][PATH_MAX];
  int count = atoi(arguments[0]), status;
  for (int i = 0; i < 2; i++)
    snprintf(paths[i], PATH_MAX, "%s/%s", arguments[1 + i], file);
  wait_for_the_test();
  while (count--) {
    pid_t child = fork();
    if (!child) {
      close(0);
      for (int i = 0;; i ^= 1)
        execve(paths[i], arguments, environment);
    }
    check(child);
    check(waitpid(child, &status, 0));
  }
  exit(0);
}

/* This program again, in place: as a member of the family with a new name. */
static void join_family(const char *parent, unsigned seed, int children, int again)
{
  char name[32], seeds[16], number[16], more[2] = {again ? '1' : '0', 0};
  snprintf(name, sizeof(name), "%d.%x", getpid(), rand());
  snprintf(seeds, sizeof(seeds), "%u", seed);
  snprintf(number, sizeof(number), "%d", children);
  char *argv[] = {"ways", "family", file, name, (char *)parent, seeds, number, more, NULL};
  execve(file, argv, environment);
  _exit(errno);
}

/* Forks `depth` times, each the child of the one before, of which some don't wait; the last one joins. */
static void forked_member(const char *parent, int depth, int children)
{
  for (int i = 0; i < depth; i++) {
    pid_t child = fork();
    if (child && rand() % 8)
      waitpid(child, NULL, 0);
    if (child)
      _exit(0);
  }
  join_family(parent, rand() ^ getpid(), children, rand() % 4 == 0);
}

/*
 * FILE is this program. Arguments: its name, its parent's name, a seed, how many children it has, and whether it
 * executes itself once more before. Each child is a member, and forks a random number of times before.
 */
static void way_family(void)
{
  char *name = arguments[0], *parent = arguments[1];
  int children = atoi(arguments[3]);
  srand(atoi(arguments[2]));
  if (*arguments[4] == '1')
    join_family(parent, rand() ^ getpid(), children, 0);
  for (int i = 0; i < children; i++) {
    int depth = rand() % 4 ? rand() % 3 : rand() % 12;
    pid_t child = fork();
    check(child);
    if (!child) {
      srand(rand() ^ getpid());
      forked_member(name, depth, children > 8 ? rand() % 3 : 0);
    }
    if (rand() % 8)
      check(waitpid(child, NULL, 0));
  }
  while (wait(NULL) > 0)
    ;
  exit(0);
}

static void map_all(pid_t pid, const char *of, unsigned first)
{
  char path[64];
  snprintf(path, sizeof(path), "/proc/%d/%s", pid, of);
  int fd = open(path, O_WRONLY);
  check(fd);
  check(dprintf(fd, "0 %u 65536", first));
  close(fd);
}

/* goes on in a new user namespace as root there; `owner` makes it, if it isn't 0, and `first` is that root */
static void enter_namespace(uid_t owner, unsigned first)
{
  int made[2], mapped[2], status;
  char byte = 0;
  check(pipe(made));
  check(pipe(mapped));
  pid_t child = fork();
  check(child);
  if (child) {
    close(made[1]);
    if (read(made[0], &byte, 1) == 1) {
      map_all(child, "gid_map", first);
      map_all(child, "uid_map", first);
      check(write(mapped[1], &byte, 1));
    }
    check(waitpid(child, &status, 0));
    exit(WEXITSTATUS(status));
  }
  if (owner)
    check(setresuid(owner, owner, owner));
  check(unshare(CLONE_NEWUSER));
  check(prctl(PR_SET_DUMPABLE, 1)); /* else uid_map is root's */
  check(write(made[1], &byte, 1));
  close(mapped[1]);
  if (read(mapped[0], &byte, 1) != 1)
    _exit(1);
  check(setresgid(0, 0, 0));
  check(setresuid(0, 0, 0));
  check(prctl(PR_SET_DUMPABLE, 1));
}

/*
 * FILE as each of ARGUMENT[2] UIDs from ARGUMENT[1] on, within ARGUMENT[3] user namespaces, of which the user
 * ARGUMENT[0] makes the outermost; ARGUMENT[4]: the effective UID inside, if it is another
 */
static void way_subordinate(void)
{
  uid_t owner = atoi(arguments[0]);
  unsigned first = atoi(arguments[1]), count = atoi(arguments[2]), depth = atoi(arguments[3]);
  wait_for_the_test();
  for (unsigned i = 0; i < depth; i++)
    enter_namespace(i ? 0 : owner, i ? 0 : first);
  for (unsigned i = 0; i < count; i++) {
    int status;
    pid_t child = fork();
    if (!child) {
      uid_t euid = arguments[4] ? (uid_t)atoi(arguments[4]) : i;
      setresuid(i, euid, euid);
      execve(file, arguments, environment);
      _exit(errno);
    }
    check(child);
    check(waitpid(child, &status, 0));
    if (status)
      exit(WEXITSTATUS(status));
  }
  exit(0);
}

static char *text(void)
{
  unsigned size;
  if (fread(&size, sizeof(size), 1, stdin) != 1)
    exit(0);
  char *read = calloc(1, size + 1);
  if (size && fread(read, size, 1, stdin) != 1)
    exit(1);
  return read;
}

static void way_serve(void) /* requests on stdin: file, count, arguments; each answered by its pid */
{
  wait_for_the_test();
  for (;;) {
    file = text();
    int count = atoi(text()), status;
    arguments = calloc(count + 1, sizeof(char *));
    for (int i = 0; i < count; i++)
      arguments[i] = text();
    pid_t child = vfork();
    if (!child) {
      execve(file, arguments, environment);
      _exit(errno);
    }
    check(child);
    check(waitpid(child, &status, 0));
    printf("%d %d\n", child, WEXITSTATUS(status));
    fflush(stdout);
  }
}

static const struct {
  const char *name;
  void (*go)(void);
} ways[] = {
  {"execve", way_execve},
  {"execveat", way_execveat},
  {"check", way_check},
  {"execveat-directory", way_execveat_directory},
  {"execveat-empty-path", way_execveat_empty_path},
  {"fexecve", way_fexecve},
  {"memfd", way_memfd},
#ifdef __x86_64__
  {"int80", way_int80},
#endif
  {"posix_spawn", way_posix_spawn},
  {"vfork", way_vfork},
  {"thread", way_thread},
  {"no-arguments", way_no_arguments},
  {"argument-of-128k", way_argument_of_128k},
  {"too-long", way_too_long},
  {"pid-namespace", way_pid_namespace},
  {"user-namespace", way_user_namespace},
  {"mount-namespace", way_mount_namespace},
  {"other-user", way_other_user},
  {"logged-in", way_logged_in},
  {"renamed", way_renamed},
  {"nameless", way_nameless},
  {"terminal", way_terminal},
  {"chroot", way_chroot},
  {"bind-mount", way_bind_mount},
  {"crash", way_crash},
  {"bad-filename", way_bad_filename},
  {"bad-argv", way_bad_argv},
  {"bad-argument", way_bad_argument},
  {"twice", way_twice},
  {"many", way_many},
  {"retry", way_retry},
  {"family", way_family},
  {"subordinate", way_subordinate},
  {"serve", way_serve},
};

int main(int argc, char **argv, char **envp)
{
  if (argc < 3)
    return 1;
  file = argv[2];
  arguments = argv + 3;
  environment = envp;
  for (unsigned i = 0; i < sizeof(ways) / sizeof(*ways); i++)
    if (!strcmp(ways[i].name, argv[1])) {
      ways[i].go();
      return errno;
    }
  return 1;
}
