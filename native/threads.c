/* Two threads, each started when it is first needed, keep what may block away from the JavaScript thread:
 *   the reader  polls the watched sockets and queues their datagrams,
 *   the writer  runs submitted operations strictly in order; the kernel may hold it for seconds (state D).
 * Both answer through lists with limits of ours, so a thread that outlives its environment touches nothing
 * of Node's.
 *
 * Sleeping and waking is done on futexes. A hand-over and its answer took, on 2 cores (p50 back to back /
 * after a 2 ms pause): futex 4 / 8 us, two eventfds 5 / 10 us, mutex and condition variables 14 / 13 us,
 * because the woken thread first runs into the mutex its waker still holds. Nothing spins: on 2 cores the
 * spinner would take the writer's. */
#define _GNU_SOURCE
#include "threads.h"
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
  MAX_EVENTS = 4096,            /* The reader then waits, and the kernel's queue overflows: ENOBUFS tells. */
  MAX_EVENT_BYTES = 16 << 20,
  MAX_EVENTS_A_TURN = 64,       /* One busy socket cannot keep the reader from the others. */
  MAX_ERRORS_A_TURN = 4,        /* An error that recv() does not clear would otherwise spin for ever. */
  EVENT_ROOM_BYTES = 256 << 10,
  REPLY_ROOM_BYTES = 128 << 10, /* Netlink's dump datagrams grow to 32 KiB; this leaves room for four. */
  MAX_REPLY_BYTES = 256 << 20,
  KEPT_SCRATCH_BYTES = 1 << 20,
  COPIED_REPLY_BYTES = 64 << 10,
  STOP_WAIT_MICROS = 200000,
};

enum { WAITED_FOR, DONE, LATE };

/* Counts what happened. A waiter reads the count, looks whether it must wait, and sleeps only while it
 * stands. */
typedef _Atomic uint32_t event_count;

struct watch {
  uint64_t id;
  int fd;
  bool dead;
};

/* Freed by whoever leaves last: the environment or a thread. */
struct threads {
  pthread_mutex_t lock;
  event_count work, finished, room;
  int holders;
  bool stopping, rung, reader_started, writer_started;
  bool (*ring)(void *context);
  void *context;
  struct job *first_job, **last_job, *first_result, **last_result;
  struct event *first_event, **last_event;
  int jobs, events;
  size_t event_bytes;

  /* Held around every recv() of the reader, so that after an unwatch the descriptor may be closed and
   * reused. */
  pthread_mutex_t watch_lock;
  struct watch watches[MAX_WATCHES];
  int watch_count, wake;
  uint64_t last_watch;
};

struct scratch {
  uint8_t *data;
  size_t length;
};

static void notify(event_count *count) {
  atomic_fetch_add(count, 1);
  syscall(SYS_futex, count, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* False only when the deadline (CLOCK_MONOTONIC, NULL for none) has passed. */
static bool await(event_count *count, uint32_t seen, const struct timespec *deadline) {
  const int until = FUTEX_WAIT_BITSET_PRIVATE;
  long slept = syscall(SYS_futex, count, until, seen, deadline, NULL, FUTEX_BITSET_MATCH_ANY);
  return slept == 0 || errno != ETIMEDOUT;
}

static struct timespec after_micros(int64_t micros) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  int64_t nanos = time.tv_nsec + micros * 1000;
  time.tv_sec += nanos / 1000000000;
  time.tv_nsec = nanos % 1000000000;
  return time;
}

void job_free(struct job *job) {
  free(job->reply);
  free(job);
}

static void leave(struct threads *threads) {
  pthread_mutex_lock(&threads->lock);
  int left = --threads->holders;
  /* Under the lock: once it is released, whoever leaves last may free the count. */
  notify(&threads->finished);
  pthread_mutex_unlock(&threads->lock);
  if (left > 0) return;
  if (threads->wake >= 0) close(threads->wake);
  for (struct job *job = threads->first_result, *next; job; job = next) next = job->next, job_free(job);
  for (struct event *event = threads->first_event, *next; event; event = next)
    next = event->next, free(event);
  free(threads);
}

/* Threads are detached: one that the kernel holds in state D cannot be joined. They take no signals from
 * Node. */
static bool start(struct threads *threads, bool *started, void *(*body)(void *), const char *name) {
  if (*started) return true;
  pthread_attr_t attributes;
  pthread_t thread;
  sigset_t all, before;
  sigfillset(&all);
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, 256 << 10);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  /* Under the lock that a thread needs to leave: a detached thread that has ended has no name to set. */
  pthread_mutex_lock(&threads->lock);
  *started = pthread_create(&thread, &attributes, body, threads) == 0;
  if (*started) threads->holders++;
  if (*started) pthread_setname_np(thread, name);
  pthread_mutex_unlock(&threads->lock);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  return *started;
}

/* With the lock held. Rings once for all that is queued until the lists are taken. */
static void ring(struct threads *threads) {
  if (!threads->rung && !threads->stopping) threads->rung = threads->ring(threads->context);
}

/* ---- The reader ---- */

static void queue_event(struct threads *threads, uint64_t watch, const uint8_t *bytes, int32_t status) {
  size_t length = status > 0 ? (size_t)status : 0;
  struct event *event = malloc(sizeof *event + length);
  if (!event) return;
  *event = (struct event){.watch = watch, .status = status};
  memcpy(event->bytes, bytes, length);
  for (;;) {
    uint32_t seen = atomic_load(&threads->room);
    pthread_mutex_lock(&threads->lock);
    if (threads->stopping || (threads->events < MAX_EVENTS && threads->event_bytes < MAX_EVENT_BYTES)) break;
    pthread_mutex_unlock(&threads->lock);
    await(&threads->room, seen, NULL);
  }
  *threads->last_event = event;
  threads->last_event = &event->next;
  threads->events++;
  threads->event_bytes += length;
  ring(threads);
  pthread_mutex_unlock(&threads->lock);
}

/* What one recv() on a watched socket means: a length, or -errno; -EAGAIN when there is nothing (more) to
 * say. A socket is given up where poll() would report the same thing for ever and recv() not clear it. */
static int32_t read_watched(struct watch *watch, short ready, uint8_t *buffer, bool first, int *errors) {
  ssize_t length = recv(watch->fd, buffer, EVENT_ROOM_BYTES, MSG_DONTWAIT | MSG_TRUNC);
  int32_t status = length < 0 ? -errno : length > EVENT_ROOM_BYTES ? -EMSGSIZE : (int32_t)length;
  if (status == -EAGAIN && first && (ready & (POLLERR | POLLHUP))) status = -EIO, watch->dead = true;
  if (status == 0 && (ready & (POLLHUP | POLLRDHUP))) status = -EPIPE, watch->dead = true;
  bool failed = status < 0 && status != -EAGAIN && status != -EINTR;
  if (failed && ++*errors > MAX_ERRORS_A_TURN) watch->dead = true;
  if (status == -EBADF || status == -ENOTSOCK) watch->dead = true;
  return status;
}

static void read_turn(struct threads *threads, uint64_t id, short ready, uint8_t *buffer) {
  int errors = 0;
  for (int turn = 0; turn < MAX_EVENTS_A_TURN; turn++) {
    int32_t status = -EAGAIN;
    bool dead = false;
    pthread_mutex_lock(&threads->watch_lock);
    for (int i = 0; i < threads->watch_count; i++) {
      if (threads->watches[i].id != id) continue;
      status = read_watched(&threads->watches[i], ready, buffer, turn == 0, &errors);
      dead = threads->watches[i].dead;
    }
    pthread_mutex_unlock(&threads->watch_lock);
    if (status == -EAGAIN) return;
    if (status != -EINTR) queue_event(threads, id, buffer, status);
    if (dead) return;
  }
}

static void *read_events(void *argument) {
  struct threads *threads = argument;
  struct pollfd polled[MAX_WATCHES + 1];
  uint64_t ids[MAX_WATCHES + 1], count;
  uint8_t *buffer = malloc(EVENT_ROOM_BYTES);
  while (buffer) {
    nfds_t length = 0;
    polled[length++] = (struct pollfd){.fd = threads->wake, .events = POLLIN};
    pthread_mutex_lock(&threads->watch_lock);
    for (int i = 0; i < threads->watch_count; i++) {
      if (threads->watches[i].dead) continue;
      ids[length] = threads->watches[i].id;
      polled[length++] = (struct pollfd){.fd = threads->watches[i].fd, .events = POLLIN | POLLRDHUP};
    }
    pthread_mutex_unlock(&threads->watch_lock);
    poll(polled, length, -1);
    if (polled[0].revents && read(threads->wake, &count, sizeof count) < 0 && errno != EAGAIN) break;
    pthread_mutex_lock(&threads->lock);
    bool stopping = threads->stopping;
    pthread_mutex_unlock(&threads->lock);
    if (stopping) break;
    for (nfds_t i = 1; i < length; i++)
      if (polled[i].revents) read_turn(threads, ids[i], polled[i].revents, buffer);
  }
  free(buffer);
  leave(threads);
  return NULL;
}

static void wake_reader(struct threads *threads) {
  uint64_t one = 1;
  ssize_t written = write(threads->wake, &one, sizeof one);
  (void)written; /* A full counter is a wake-up already. */
}

int threads_watch(struct threads *threads, int fd, uint64_t *id) {
  if (fd < 0) return -EBADF;
  for (int i = 0; i < threads->watch_count; i++)
    if (threads->watches[i].fd == fd) return -EEXIST;
  if (threads->watch_count == MAX_WATCHES) return -ENOSPC;
  if (!start(threads, &threads->reader_started, read_events, "vipward-reader")) return -EAGAIN;
  pthread_mutex_lock(&threads->watch_lock);
  *id = ++threads->last_watch;
  threads->watches[threads->watch_count++] = (struct watch){.id = *id, .fd = fd};
  pthread_mutex_unlock(&threads->watch_lock);
  wake_reader(threads);
  return 0;
}

int threads_unwatch(struct threads *threads, int fd, uint64_t *id) {
  int status = -ENOENT;
  pthread_mutex_lock(&threads->watch_lock);
  for (int i = 0; i < threads->watch_count && status; i++) {
    if (threads->watches[i].fd != fd) continue;
    *id = threads->watches[i].id;
    threads->watches[i] = threads->watches[--threads->watch_count];
    status = 0;
  }
  pthread_mutex_unlock(&threads->watch_lock);
  wake_reader(threads);
  return status;
}

/* ---- The writer ---- */

/* Reads until the socket is empty. Datagrams stand one after the other, each padded to 4 bytes as netlink
 * pads its messages. An overrun or a datagram too long is remembered while the rest is read: the next
 * exchange must find an empty socket. */
static int32_t drain(int fd, struct scratch *scratch) {
  size_t used = 0;
  int32_t failure = 0;
  for (;;) {
    if (scratch->length < used + REPLY_ROOM_BYTES + 4) {
      size_t length = used + scratch->length + REPLY_ROOM_BYTES + 4;
      uint8_t *grown = length > MAX_REPLY_BYTES ? NULL : realloc(scratch->data, length);
      if (!grown) return -ENOMEM;
      *scratch = (struct scratch){grown, length};
    }
    size_t room = scratch->length - used - 4; /* Four bytes stay free for the padding. */
    ssize_t length = recv(fd, scratch->data + used, room, MSG_DONTWAIT | MSG_TRUNC);
    if (length < 0 && errno == EINTR) continue;
    if (length == 0 || (length < 0 && errno == EAGAIN)) return failure ? failure : (int32_t)used;
    if (length < 0 && errno != ENOBUFS) return -errno;
    if (length < 0) failure = -ENOBUFS;
    else if ((size_t)length > room) failure = failure ? failure : -EMSGSIZE;
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
  job->reply = malloc(length ? length : 1);
  job->status = job->reply ? (int32_t)length : -ENOMEM;
  if (job->reply && length) memcpy(job->reply, bytes, length);
}

/* A failed send still drains: replies to the other half must not meet the next exchange. */
static void exchange(struct job *job, struct scratch *scratch) {
  size_t split = job->split < 0 ? 0 : (size_t)job->split < job->length ? (size_t)job->split : job->length;
  int32_t failure = send_all(job->fd, job->bytes, split);
  if (!failure) failure = send_all(job->fd, job->bytes + split, job->length - split);
  int32_t drained = drain(job->fd, scratch);
  job->status = failure ? failure : drained;
  if (job->status < 0) return;
  if (drained <= COPIED_REPLY_BYTES) return reply(job, scratch->data, drained);
  job->reply = scratch->data; /* A dump: give the buffer itself away. */
  *scratch = (struct scratch){NULL, 0};
}

/* `bytes` is int32 level, int32 name, value. For a set with split > 0 the value holds one pointer: the 8
 * bytes at `split` in it are an offset, the value ends there, and what follows is the memory pointed to,
 * given back as the result after the kernel wrote it. */
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

static void run_job(struct job *job, struct scratch *scratch) {
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

/* Gives a done job back: to whoever waits for it, else to the list of late results. */
static void give_back(struct threads *threads, struct job *job) {
  uint32_t waited_for = WAITED_FOR;
  if (atomic_compare_exchange_strong(&job->state, &waited_for, DONE)) {
    notify(&threads->finished); /* The job itself may be freed already. */
    return;
  }
  pthread_mutex_lock(&threads->lock);
  *threads->last_result = job;
  threads->last_result = &job->next;
  ring(threads);
  pthread_mutex_unlock(&threads->lock);
}

/* When told to stop it still finishes its queue: a queued close must not be lost. */
static void *write_jobs(void *argument) {
  struct threads *threads = argument;
  struct scratch scratch = {NULL, 0};
  for (;;) {
    uint32_t seen = atomic_load(&threads->work);
    pthread_mutex_lock(&threads->lock);
    struct job *job = threads->first_job;
    bool stopping = threads->stopping;
    if (job) {
      threads->first_job = job->next;
      if (!job->next) threads->last_job = &threads->first_job;
      job->next = NULL;
      threads->jobs--;
    }
    pthread_mutex_unlock(&threads->lock);
    if (job) {
      run_job(job, &scratch);
      give_back(threads, job);
    } else if (stopping) {
      break;
    } else {
      await(&threads->work, seen, NULL);
    }
  }
  free(scratch.data);
  leave(threads);
  return NULL;
}

bool threads_submit(struct threads *threads, struct job *job, int64_t wait_micros) {
  struct timespec deadline = after_micros(wait_micros > 0 ? wait_micros : 0);
  uint32_t waited_for = WAITED_FOR;
  job->status = -EAGAIN;
  if (!start(threads, &threads->writer_started, write_jobs, "vipward-writer")) return true;
  atomic_store(&job->state, wait_micros > 0 ? WAITED_FOR : LATE);
  pthread_mutex_lock(&threads->lock);
  bool full = threads->jobs == MAX_JOBS;
  if (!full) {
    *threads->last_job = job;
    threads->last_job = &job->next;
    threads->jobs++;
  }
  pthread_mutex_unlock(&threads->lock);
  if (full) {
    job->status = -EXFULL;
    return true;
  }
  notify(&threads->work);
  if (wait_micros <= 0) return false;
  for (;;) {
    uint32_t seen = atomic_load(&threads->finished);
    if (atomic_load(&job->state) == DONE) return true;
    if (!await(&threads->finished, seen, &deadline))
      return !atomic_compare_exchange_strong(&job->state, &waited_for, LATE);
  }
}

/* ---- Both ---- */

void threads_take(struct threads *threads, struct job **results, struct event **events) {
  pthread_mutex_lock(&threads->lock);
  *results = threads->first_result;
  *events = threads->first_event;
  threads->first_result = NULL, threads->last_result = &threads->first_result;
  threads->first_event = NULL, threads->last_event = &threads->first_event;
  threads->events = 0, threads->event_bytes = 0;
  threads->rung = false;
  pthread_mutex_unlock(&threads->lock);
  if (*events) notify(&threads->room);
}

struct threads *threads_make(bool (*ring)(void *context), void *context) {
  struct threads *threads = calloc(1, sizeof *threads);
  if (!threads) return NULL;
  pthread_mutex_init(&threads->lock, NULL);
  pthread_mutex_init(&threads->watch_lock, NULL);
  threads->holders = 1;
  threads->ring = ring;
  threads->context = context;
  threads->last_job = &threads->first_job;
  threads->last_result = &threads->first_result;
  threads->last_event = &threads->first_event;
  threads->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return threads;
}

void threads_stop(struct threads *threads) {
  struct timespec deadline = after_micros(STOP_WAIT_MICROS);
  pthread_mutex_lock(&threads->lock);
  threads->stopping = true;
  pthread_mutex_unlock(&threads->lock);
  notify(&threads->work);
  notify(&threads->room);
  wake_reader(threads);
  for (;;) {
    uint32_t seen = atomic_load(&threads->finished);
    pthread_mutex_lock(&threads->lock);
    bool alone = threads->holders == 1;
    pthread_mutex_unlock(&threads->lock);
    if (alone || !await(&threads->finished, seen, &deadline)) break;
  }
  leave(threads);
}
