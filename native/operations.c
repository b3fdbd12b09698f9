/* The system calls that may block; the writer thread runs them for a job. */
#define _GNU_SOURCE
#include "operations.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  REPLY_ROOM_BYTES = 128 << 10, /* Netlink's dump datagrams grow to 32 KiB; this leaves room for four. */
  MAX_REPLY_BYTES = 256 << 20,
  KEPT_SCRATCH_BYTES = 1 << 20,
  COPIED_REPLY_BYTES = 64 << 10,
};

/* Reads until the socket is empty. Datagrams are concatenated, each padded to 4 bytes as netlink pads its
 * messages. After an overrun, an oversized datagram or a lack of memory it returns an error but still
 * reads the rest: the next exchange must find an empty socket. */
static int32_t drain(int fd, struct scratch *scratch) {
  size_t used = 0;
  int32_t failure = 0;
  for (;;) {
    if (scratch->length < used + REPLY_ROOM_BYTES + 4) {
      size_t length = used + scratch->length + REPLY_ROOM_BYTES + 4;
      uint8_t *grown = length > MAX_REPLY_BYTES ? NULL : realloc(scratch->data, length);
      if (grown) *scratch = (struct scratch){grown, length};
      else if (scratch->length < REPLY_ROOM_BYTES + 4) return -ENOMEM;
      else failure = -ENOMEM, used = 0;
    }
    size_t room = scratch->length - used - 4; /* Four bytes stay free for the padding. */
    ssize_t length = recv(fd, scratch->data + used, room, MSG_DONTWAIT | MSG_TRUNC);
    if (length < 0 && errno == EINTR) continue;
    if (length == 0 || (length < 0 && errno == EAGAIN)) return failure ? failure : (int32_t)used;
    if (length < 0 && errno != ENOBUFS) return -errno;
    if (length < 0) failure = -ENOBUFS;
    else if ((size_t)length > room) failure = -EMSGSIZE;
    else if (!failure)
      for (used += length; used & 3;) scratch->data[used++] = 0;
  }
}

static int32_t send_all(int fd, const uint8_t *bytes, size_t length) {
  if (length == 0) return 0;
  ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
  return sent < 0 ? -errno : (size_t)sent < length ? -EIO : 0;
}

static void reply(struct job *job, const uint8_t *bytes, size_t length) {
  job->reply = length <= ROOM_BYTES ? job->room : malloc(length);
  job->status = job->reply ? (int32_t)length : -ENOMEM;
  if (job->reply && length) memcpy(job->reply, bytes, length);
}

/* After a failed send it still drains: replies to the first half must not reach the next exchange. With a
 * negative split, any reply to the first half suppresses the second send. */
static void exchange(struct job *job, struct scratch *scratch) {
  size_t wanted = job->split < 0 ? -(size_t)job->split : (size_t)job->split;
  size_t split = wanted < job->length ? wanted : job->length;
  int32_t failure = send_all(job->fd, job->bytes, split), drained = 0;
  if (job->split < 0) drained = drain(job->fd, scratch);
  bool answered = drained != 0;
  if (!failure && !answered) failure = send_all(job->fd, job->bytes + split, job->length - split);
  if (!answered) drained = drain(job->fd, scratch);
  job->status = failure ? failure : drained;
  if (failure || drained < 0) return;
  if (drained <= COPIED_REPLY_BYTES) return reply(job, scratch->data, drained);
  job->reply = scratch->data; /* A dump: hand over the buffer itself. */
  *scratch = (struct scratch){NULL, 0};
}

/* `bytes` is int32 level, int32 name, value. For setsockopt with split > 0 the value contains one pointer:
 * the 8 bytes at `split` are an offset in it where the value ends and the memory that the pointer refers
 * to begins. The kernel writes to that memory, and it becomes the result. */
static int32_t option(struct job *job) {
  int32_t words[2];
  uint8_t *value = job->bytes + sizeof words;
  if (job->length < sizeof words) return -EINVAL;
  memcpy(words, job->bytes, sizeof words);
  size_t room = job->length - sizeof words, pointer = job->split > 0 ? (size_t)job->split : 0;
  socklen_t length = room;
  if (job->operation == GETSOCKOPT) {
    if (getsockopt(job->fd, words[0], words[1], value, &length)) return -errno;
    reply(job, value, length < room ? length : room);
    return job->status;
  }
  if (!pointer) return setsockopt(job->fd, words[0], words[1], value, length) ? -errno : 0;
  uint64_t end, address;
  if (pointer + sizeof end > room) return -EINVAL;
  memcpy(&end, value + pointer, sizeof end);
  if (end > room || end < pointer + sizeof end) return -EINVAL;
  address = (uintptr_t)(value + end);
  memcpy(value + pointer, &address, sizeof address);
  if (setsockopt(job->fd, words[0], words[1], value, end)) return -errno;
  reply(job, value + end, room - end);
  return job->status;
}

void operation_run(struct job *job, struct scratch *scratch) {
  switch (job->operation) {
    case EXCHANGE: exchange(job, scratch); break;
    case CLOSE: job->status = close(job->fd) ? -errno : 0; break;
    case FLOCK: job->status = flock(job->fd, job->split) ? -errno : 0; break;
    default: job->status = option(job);
  }
  if (scratch->length <= KEPT_SCRATCH_BYTES) return;
  free(scratch->data);
  *scratch = (struct scratch){NULL, 0};
}
