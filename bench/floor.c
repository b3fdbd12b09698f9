/* The floor: prebuilt nfnetlink batches, or messages of ipset, sent and answered with system calls alone.
 *
 * floor FILE reads "u32 steps, steps, u32 cycles, cycles of three steps", each step "u32 split, u32 length,
 * bytes". It sends the first steps once. Then each line "CYCLES PAUSE_MICROS" on standard input replays that
 * many cycles, and is answered by one line with the nanoseconds of each step. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/netlink.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { STEPS_A_CYCLE = 3, SOCKET_BYTES = 64 << 20, REPLY_BYTES = 128 << 10 };

struct step {
  uint32_t split, length;
  const uint8_t *bytes;
};

static uint8_t reply[REPLY_BYTES];
static int fd;

static void die(const char *what) {
  fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint32_t take(FILE *file) {
  uint32_t value;
  if (fread(&value, sizeof value, 1, file) != 1) die("the file of batches ends early");
  return value;
}

static struct step take_step(FILE *file) {
  struct step step = {.split = take(file)};
  step.length = take(file);
  uint8_t *bytes = malloc(step.length);
  if (!bytes || fread(bytes, 1, step.length, file) != step.length) die("the file of batches ends early");
  step.bytes = bytes;
  return step;
}

static void open_socket(void) {
  fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  if (fd < 0) die("socket");
  int one = 1, size = SOCKET_BYTES;
  setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof one);
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof one);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) die("bind");
}

/* Sends the batch, and the barrier after it if that is sent separately, and reads until nothing is left. */
static void exchange(const struct step *step) {
  if (send(fd, step->bytes, step->split, 0) < 0) die("send");
  uint32_t rest = step->length - step->split;
  if (rest > 0 && send(fd, step->bytes + step->split, rest, 0) < 0) die("send of the barrier");
  for (;;) {
    ssize_t got = recv(fd, reply, sizeof reply, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got < 0) die("recv");
    const struct nlmsghdr *header = (const void *)reply;
    if (header->nlmsg_type != NLMSG_ERROR) continue;
    errno = -((const struct nlmsgerr *)NLMSG_DATA(header))->error;
    if (errno != 0) die("the kernel refused a batch");
  }
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void replay(const struct step *steps, uint32_t cycles, long count, long pause_micros) {
  struct timespec pause = {.tv_nsec = pause_micros * 1000};
  static uint32_t next;
  for (long cycle = 0; cycle < count; cycle++) {
    const struct step *first = &steps[(next++ % cycles) * STEPS_A_CYCLE];
    for (int step = 0; step < STEPS_A_CYCLE; step++) {
      if (pause_micros > 0) nanosleep(&pause, NULL);
      uint64_t began = now();
      exchange(&first[step]);
      printf("%llu ", (unsigned long long)(now() - began));
    }
  }
  printf("\n");
  fflush(stdout);
}

int main(int argc, char **argv) {
  FILE *file = argc == 2 ? fopen(argv[1], "r") : NULL;
  if (!file) die("give a file of batches");
  open_socket();
  uint32_t loads = take(file);
  uint64_t spent = 0;
  for (uint32_t load = 0; load < loads; load++) {
    struct step step = take_step(file);
    uint64_t began = now();
    exchange(&step);
    spent += now() - began;
    free((void *)step.bytes);
  }
  uint32_t cycles = take(file);
  struct step *steps = calloc((size_t)cycles * STEPS_A_CYCLE, sizeof *steps);
  if (!steps) die("calloc");
  for (uint32_t step = 0; step < cycles * STEPS_A_CYCLE; step++) steps[step] = take_step(file);
  static char output[1 << 20];
  setvbuf(stdout, output, _IOFBF, sizeof output);
  if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0) errno = 0;
  printf("%llu\n", (unsigned long long)spent);
  fflush(stdout);
  long count, pause_micros;
  while (scanf("%ld %ld", &count, &pause_micros) == 2) replay(steps, cycles, count, pause_micros);
  return 0;
}
