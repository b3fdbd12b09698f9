/* Generic system calls for src/host/native.ts: numbers and caller-owned bytes in, a result or -errno out.
 * Nothing here knows netlink, and nothing throws: an argument of the wrong type is -EINVAL. All checking
 * and all errors' words live in TypeScript.
 *
 * Two threads, each started when it is first needed, keep what may block away from the JavaScript thread:
 *   the reader  polls the watched sockets and queues their datagrams,
 *   the writer  runs submitted operations strictly in order; the kernel may hold it for seconds (state D).
 * Both answer through lists with limits of ours, so a thread that outlives its environment touches nothing
 * of Node's. The one way back is `ring`, a function that makes the JavaScript thread take both lists.
 *
 * Sleeping and waking is done on futexes. Waking a thread on a processor that has gone idle takes longer than
 * most commits, so where there are two processors the writer is woken ahead of its work and looks out for it,
 * and who waits for a result looks out for it too, each for a short time. An idle process does neither. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <node_api.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ---- A count of what happened, on a futex: for sleeping until it changes, or looking out awake ---- */

/* A waiter reads the value, looks whether it must wait, and waits only while the value stands. */
struct event_count {
  _Atomic uint32_t value, sleepers;
};

/* A sleeper says so before it looks a last time, and who notifies looks for it afterwards. */
static void notify(struct event_count *count) {
  atomic_fetch_add(&count->value, 1);
  if (atomic_load(&count->sleepers) > 0)
    syscall(SYS_futex, &count->value, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* False only when the deadline (CLOCK_MONOTONIC, NULL for none) has passed. */
static bool await(struct event_count *count, uint32_t seen, const struct timespec *deadline) {
  const int until = FUTEX_WAIT_BITSET_PRIVATE;
  atomic_fetch_add(&count->sleepers, 1);
  long slept = syscall(SYS_futex, &count->value, until, seen, deadline, NULL, FUTEX_BITSET_MATCH_ANY);
  bool timed_out = slept != 0 && errno == ETIMEDOUT;
  atomic_fetch_sub(&count->sleepers, 1);
  return !timed_out;
}

static int64_t now_nanos(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static void pause_processor(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/* True as soon as the count is another than the one seen, false at the time given. */
static bool look_out(const struct event_count *count, uint32_t seen, int64_t until_nanos) {
  while (now_nanos() < until_nanos) {
    for (int turn = 0; turn < 16; turn++) {
      if (atomic_load_explicit(&count->value, memory_order_acquire) != seen) return true;
      pause_processor();
    }
  }
  return false;
}

static struct timespec after_micros(int64_t micros) {
  int64_t nanos = now_nanos() + micros * 1000;
  return (struct timespec){.tv_sec = nanos / 1000000000, .tv_nsec = nanos % 1000000000};
}

/* ---- What goes to the threads, and what comes back ---- */

/* The numbers of Operation in src/host/native.ts. */
enum operation { EXCHANGE, CLOSE, SETSOCKOPT, GETSOCKOPT, FLOCK, OPERATIONS };

enum { MAX_WATCHES = 64, MAX_JOBS = 1024 };

struct job {
  struct job *next;
  int32_t operation, fd, split, token;
  int32_t status;         /* A result or -errno; the length of `reply` where there is one. */
  uint8_t *reply;
  _Atomic uint32_t state; /* WAITED_FOR, then DONE by the writer or LATE by who waited: whoever is first. */
  size_t length;
  _Alignas(8) uint8_t bytes[]; /* A copy: the caller may reuse its buffer even while the result is late. */
};

struct event {
  struct event *next;
  uint64_t watch; /* Names the watch, not the descriptor: descriptors are reused. */
  int32_t status; /* The datagram's length or -errno. */
  uint8_t bytes[];
};

static void job_free(struct job *job) {
  free(job->reply);
  free(job);
}

/* ---- Operations: the system calls that may block, as the writer runs them ---- */

/* Room for replies, kept from one job to the next. */
struct scratch {
  uint8_t *data;
  size_t length;
};

enum {
  REPLY_ROOM_BYTES = 128 << 10, /* Netlink's dump datagrams grow to 32 KiB; this leaves room for four. */
  MAX_REPLY_BYTES = 256 << 20,
  KEPT_SCRATCH_BYTES = 1 << 20,
  COPIED_REPLY_BYTES = 64 << 10,
};

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

/* A failed send still drains: replies to the other half must not meet the next exchange. With a negative
 * split any reply to the first half keeps the second back. */
static void exchange(struct job *job, struct scratch *scratch) {
  size_t wanted = job->split < 0 ? -(size_t)job->split : (size_t)job->split;
  size_t split = wanted < job->length ? wanted : job->length;
  int32_t failure = send_all(job->fd, job->bytes, split), drained = 0;
  if (!failure && job->split < 0) drained = drain(job->fd, scratch);
  bool answered = drained != 0;
  if (!failure && !answered) failure = send_all(job->fd, job->bytes + split, job->length - split);
  if (!answered) drained = drain(job->fd, scratch);
  job->status = failure ? failure : drained;
  if (failure || drained < 0) return;
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

/* Leaves the result, and the reply where there is one, in the job. */
static void operation_run(struct job *job, struct scratch *scratch) {
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

/* ---- What the threads share ---- */

enum {
  MAX_EVENTS = 4096,            /* The reader then waits, and the kernel's queue overflows: ENOBUFS tells. */
  MAX_EVENT_BYTES = 16 << 20,
  MAX_EVENTS_A_TURN = 64,       /* One busy socket cannot keep the reader from the others. */
  MAX_ERRORS_A_TURN = 4,        /* An error that recv() does not clear would otherwise spin for ever. */
  EVENT_ROOM_BYTES = 256 << 10,
  STOP_WAIT_MICROS = 200000,
  LOOK_OUT_MICROS = 200,        /* How long a writer that was told to be ready does not sleep. */
  LINGER_MICROS = 80,           /* The same behind a job, if it came as soon behind the one before. */
  GRACE_MICROS = 8,             /* How much later than it is submitted a job may be begun. */
  VAIN_WEIGHT = 4,              /* A preparation in vain outweighs as many others, */
  MAX_VAIN = 24,                /* and so much is too much. */
  BUSY_MICROS = 2000,           /* How long nothing is prepared for then, at first. */
  MAX_BUSY_MICROS = 100000,
  ANSWER_MICROS = 60,           /* How long who waits for a result does not sleep: most commits take 10. */
};

enum { WAITED_FOR, DONE, LATE };

struct watch {
  uint64_t id;
  int fd;
  bool dead;
};

/* Freed by whoever leaves last: the environment or a thread. */
struct threads {
  pthread_mutex_t lock;
  struct event_count work, finished, room;
  _Atomic int64_t ready_until; /* Nanoseconds of CLOCK_MONOTONIC. */
  _Atomic uint32_t taken;      /* Jobs, since the start. */
  uint32_t submitted;
  int holders;
  pthread_t writer;
  cpu_set_t processors; /* Those that this process may run on. */
  int kept_from;
  int64_t busy_until, busy_micros, vain;
  bool spins, stopping, rung, reader_started, writer_started;
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

static void *write_jobs(void *argument);

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
  if (*started && body == write_jobs) threads->writer = thread;
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
    uint32_t seen = atomic_load(&threads->room.value);
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

/* 0 and the new watch's id, or -errno. */
static int threads_watch(struct threads *threads, int fd, uint64_t *id) {
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

/* 0 and the ended watch's id, or -ENOENT. Once it returns, the reader no longer touches the descriptor. */
static int threads_unwatch(struct threads *threads, int fd, uint64_t *id) {
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
  int64_t done_at = 0;
  for (;;) {
    uint32_t seen = atomic_load(&threads->work.value);
    pthread_mutex_lock(&threads->lock);
    struct job *job = threads->first_job;
    bool stopping = threads->stopping;
    if (job) {
      threads->first_job = job->next;
      if (!job->next) threads->last_job = &threads->first_job;
      job->next = NULL;
      threads->jobs--;
      atomic_fetch_add(&threads->taken, 1);
      atomic_store(&threads->ready_until, 0);
    }
    pthread_mutex_unlock(&threads->lock);
    if (job) {
      bool follows = threads->spins && now_nanos() - done_at < LINGER_MICROS * 1000;
      operation_run(job, &scratch);
      done_at = now_nanos();
      if (follows) atomic_store(&threads->ready_until, done_at + LINGER_MICROS * 1000);
      give_back(threads, job);
    } else if (stopping) {
      break;
    } else if (!look_out(&threads->work, seen, atomic_load(&threads->ready_until))) {
      await(&threads->work, seen, NULL);
    }
  }
  free(scratch.data);
  leave(threads);
  return NULL;
}

/* On the processor of who waits for it the writer could only take turns with it. */
static void keep_away(struct threads *threads, int processor) {
  cpu_set_t others = threads->processors;
  if (threads->kept_from == processor) return;
  CPU_CLR(processor, &others);
  pthread_setaffinity_np(threads->writer, sizeof others, &others);
  threads->kept_from = processor;
}

/* Moves a writer that waits for another processor to this one, which is about to be free. */
static void pull(struct threads *threads) {
  cpu_set_t here;
  CPU_ZERO(&here);
  CPU_SET(sched_getcpu(), &here);
  pthread_setaffinity_np(threads->writer, sizeof here, &here);
  pthread_setaffinity_np(threads->writer, sizeof threads->processors, &threads->processors);
  threads->kept_from = -1;
}

/* A job is about to be submitted: wakes the writer, which for 0.2 ms does not go back to sleep. */
static void threads_prepare(struct threads *threads) {
  int64_t now = now_nanos();
  if (!threads->spins || now < threads->busy_until) return;
  if (!start(threads, &threads->writer_started, write_jobs, "vipward-writer")) return;
  keep_away(threads, sched_getcpu());
  atomic_store(&threads->ready_until, now + LOOK_OUT_MICROS * 1000);
  notify(&threads->work);
}

/* Whether the writer has taken as many jobs, or does so in a moment. */
static bool begun(const struct threads *threads, uint32_t number) {
  int64_t until = now_nanos() + GRACE_MICROS * 1000;
  do {
    for (int turn = 0; turn < 16; turn++) {
      if ((int32_t)(atomic_load_explicit(&threads->taken, memory_order_acquire) - number) >= 0) return true;
      pause_processor();
    }
  } while (now_nanos() < until);
  return false;
}

/* Waits awake for a job that the writer looks out for. Where it does not even begin it, the other processors
 * are busy or fast asleep: it comes to this one. Where that happens often nothing is prepared for a while,
 * longer each time. */
static bool answered(struct threads *threads, const struct job *job, uint32_t number) {
  if (begun(threads, number)) {
    threads->busy_micros -= (threads->busy_micros - BUSY_MICROS) / 16;
    threads->vain -= threads->vain > 0;
    int64_t until = now_nanos() + ANSWER_MICROS * 1000;
    for (;;) {
      uint32_t seen = atomic_load(&threads->finished.value);
      if (atomic_load(&job->state) == DONE) return true;
      if (!look_out(&threads->finished, seen, until)) return false;
    }
  }
  pull(threads);
  threads->vain += VAIN_WEIGHT;
  if (threads->vain < MAX_VAIN) return false;
  threads->vain = MAX_VAIN;
  threads->busy_until = now_nanos() + threads->busy_micros * 1000;
  threads->busy_micros *= threads->busy_micros < MAX_BUSY_MICROS ? 2 : 1;
  return false;
}

/* True: the job is done and the caller's again. False: it goes on, and comes back through threads_take(). A
 * job that cannot be queued is done with -EXFULL or -EAGAIN. */
static bool threads_submit(struct threads *threads, struct job *job, int64_t wait_micros) {
  struct timespec deadline = after_micros(wait_micros > 0 ? wait_micros : 0);
  bool expected = threads->kept_from >= 0 && now_nanos() < atomic_load(&threads->ready_until);
  uint32_t waited_for = WAITED_FOR, number = 0;
  job->status = -EAGAIN;
  if (!start(threads, &threads->writer_started, write_jobs, "vipward-writer")) return true;
  atomic_store(&job->state, wait_micros > 0 ? WAITED_FOR : LATE);
  pthread_mutex_lock(&threads->lock);
  bool full = threads->jobs == MAX_JOBS;
  if (!full) {
    *threads->last_job = job;
    threads->last_job = &job->next;
    threads->jobs++;
    number = ++threads->submitted;
  }
  pthread_mutex_unlock(&threads->lock);
  if (full) {
    job->status = -EXFULL;
    return true;
  }
  notify(&threads->work);
  if (wait_micros <= 0) return false;
  if (expected && answered(threads, job, number)) return true;
  for (;;) {
    uint32_t seen = atomic_load(&threads->finished.value);
    if (atomic_load(&job->state) == DONE) return true;
    if (!await(&threads->finished, seen, &deadline))
      return !atomic_compare_exchange_strong(&job->state, &waited_for, LATE);
  }
}

/* ---- Both threads, for the JavaScript thread ---- */

/* Hands over both lists whole; whoever takes them frees them. */
static void threads_take(struct threads *threads, struct job **results, struct event **events) {
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

/* `ring` is called from the threads, under their lock, and never after threads_stop() has returned. */
static struct threads *threads_make(bool (*ring)(void *context), void *context) {
  struct threads *threads = calloc(1, sizeof *threads);
  if (!threads) return NULL;
  pthread_mutex_init(&threads->lock, NULL);
  pthread_mutex_init(&threads->watch_lock, NULL);
  threads->holders = 1;
  threads->ring = ring;
  threads->kept_from = -1;
  threads->busy_micros = BUSY_MICROS;
  bool known = sched_getaffinity(0, sizeof threads->processors, &threads->processors) == 0;
  threads->spins = known && CPU_COUNT(&threads->processors) > 1;
  threads->context = context;
  threads->last_job = &threads->first_job;
  threads->last_result = &threads->first_result;
  threads->last_event = &threads->first_event;
  threads->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return threads;
}

/* Waits a bounded time for both threads; one that the kernel holds leaves later and frees what is left. */
static void threads_stop(struct threads *threads) {
  struct timespec deadline = after_micros(STOP_WAIT_MICROS);
  pthread_mutex_lock(&threads->lock);
  threads->stopping = true;
  pthread_mutex_unlock(&threads->lock);
  notify(&threads->work);
  notify(&threads->room);
  wake_reader(threads);
  for (;;) {
    uint32_t seen = atomic_load(&threads->finished.value);
    pthread_mutex_lock(&threads->lock);
    bool alone = threads->holders == 1;
    pthread_mutex_unlock(&threads->lock);
    if (alone || !await(&threads->finished, seen, &deadline)) break;
  }
  leave(threads);
}

/* ---- Node-API: arguments and results ---- */

struct span {
  uint8_t *data;
  size_t length;
};

/* One per environment (main thread or worker), and touched by its JavaScript thread only. */
struct addon {
  struct threads *threads;
  napi_threadsafe_function doorbell;
  struct { uint64_t id; napi_ref callback; } watches[MAX_WATCHES]; /* id 0: free. */
  napi_ref on_result;
  int outstanding;
};

static napi_value number(napi_env env, int64_t value) {
  napi_value result = NULL;
  napi_create_int64(env, value, &result);
  return result;
}

static napi_value bytes_value(napi_env env, const uint8_t *bytes, size_t length) {
  void *data;
  napi_value buffer, result = NULL;
  if (napi_create_arraybuffer(env, length, &data, &buffer) != napi_ok) return number(env, -ENOMEM);
  if (length) memcpy(data, bytes, length);
  napi_create_typedarray(env, napi_uint8_array, length, buffer, 0, &result);
  return result;
}

static bool span_of(napi_env env, napi_value value, struct span *span) {
  napi_typedarray_type type;
  void *data = NULL;
  bool is = false;
  if (napi_is_typedarray(env, value, &is) != napi_ok || !is) return false;
  if (napi_get_typedarray_info(env, value, &type, &span->length, &data, NULL, NULL) != napi_ok) return false;
  span->data = data;
  return type == napi_uint8_array && (data || span->length == 0);
}

/* Reads the arguments a shape names: i int32, b Uint8Array, o Uint8Array or undefined, f function. */
static bool arguments(napi_env env, napi_callback_info info, const char *shape, ...) {
  napi_value values[6];
  napi_valuetype type;
  size_t count = strlen(shape);
  if (napi_get_cb_info(env, info, &count, values, NULL, NULL) != napi_ok) return false;
  va_list out;
  va_start(out, shape);
  bool good = true;
  for (size_t i = 0; good && shape[i]; i++) {
    good = napi_typeof(env, values[i], &type) == napi_ok;
    if (!good) break;
    if (shape[i] == 'i') good = napi_get_value_int32(env, values[i], va_arg(out, int32_t *)) == napi_ok;
    else if (shape[i] == 'f') *va_arg(out, napi_value *) = values[i], good = type == napi_function;
    else if (shape[i] == 'o' && type == napi_undefined) *va_arg(out, struct span *) = (struct span){NULL, 0};
    else good = span_of(env, values[i], va_arg(out, struct span *));
  }
  va_end(out);
  return good;
}

static napi_value outcome(napi_env env, int64_t result) {
  return number(env, result < 0 ? -errno : result);
}

/* ---- Plain calls, on the JavaScript thread ---- */

static napi_value js_socket(napi_env env, napi_callback_info info) {
  int32_t domain, type, protocol;
  if (!arguments(env, info, "iii", &domain, &type, &protocol)) return number(env, -EINVAL);
  return outcome(env, socket(domain, type | SOCK_CLOEXEC, protocol));
}

static napi_value js_bind(napi_env env, napi_callback_info info) {
  int32_t fd;
  struct span address;
  if (!arguments(env, info, "ib", &fd, &address)) return number(env, -EINVAL);
  return outcome(env, bind(fd, (struct sockaddr *)address.data, address.length));
}

static napi_value js_connect(napi_env env, napi_callback_info info) {
  int32_t fd;
  struct span address;
  if (!arguments(env, info, "ib", &fd, &address)) return number(env, -EINVAL);
  return outcome(env, connect(fd, (struct sockaddr *)address.data, address.length));
}

/* Ends the process at once, whatever other threads of it are waiting for. */
static napi_value js_exit(napi_env env, napi_callback_info info) {
  int32_t code;
  if (!arguments(env, info, "i", &code)) return number(env, -EINVAL);
  _exit(code);
}

static napi_value js_getsockname(napi_env env, napi_callback_info info) {
  int32_t fd;
  struct span out;
  if (!arguments(env, info, "ib", &fd, &out)) return number(env, -EINVAL);
  socklen_t length = out.length;
  return outcome(env, getsockname(fd, (struct sockaddr *)out.data, &length) ? -1 : (int64_t)length);
}

static napi_value js_setsockopt(napi_env env, napi_callback_info info) {
  int32_t fd, level, name;
  struct span value;
  if (!arguments(env, info, "iiib", &fd, &level, &name, &value)) return number(env, -EINVAL);
  return outcome(env, setsockopt(fd, level, name, value.data, value.length));
}

/* Packets that the program of struct sock_filter does not let through never reach the socket. */
static napi_value js_attach_filter(napi_env env, napi_callback_info info) {
  int32_t fd;
  struct span program;
  if (!arguments(env, info, "ib", &fd, &program)) return number(env, -EINVAL);
  struct sock_fprog filter = {
      .len = program.length / sizeof(struct sock_filter),
      .filter = (struct sock_filter *)program.data,
  };
  return outcome(env, setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter));
}

static napi_value js_getsockopt(napi_env env, napi_callback_info info) {
  int32_t fd, level, name;
  struct span out;
  if (!arguments(env, info, "iiib", &fd, &level, &name, &out)) return number(env, -EINVAL);
  socklen_t length = out.length;
  return outcome(env, getsockopt(fd, level, name, out.data, &length) ? -1 : (int64_t)length);
}

static napi_value js_send(napi_env env, napi_callback_info info) {
  int32_t fd, flags;
  struct span bytes, address;
  if (!arguments(env, info, "ibio", &fd, &bytes, &flags, &address)) return number(env, -EINVAL);
  const struct sockaddr *to = address.length ? (struct sockaddr *)address.data : NULL;
  return outcome(env, sendto(fd, bytes.data, bytes.length, flags | MSG_NOSIGNAL, to, address.length));
}

static napi_value js_receive(napi_env env, napi_callback_info info) {
  int32_t fd, flags;
  struct span out;
  if (!arguments(env, info, "ibi", &fd, &out, &flags)) return number(env, -EINVAL);
  return outcome(env, recv(fd, out.data, out.length, flags));
}

static napi_value js_close(napi_env env, napi_callback_info info) {
  int32_t fd;
  if (!arguments(env, info, "i", &fd)) return number(env, -EINVAL);
  return outcome(env, close(fd));
}

/* ---- Watching and submitting ---- */

static struct addon *addon_of(napi_env env) {
  void *addon = NULL;
  napi_get_instance_data(env, &addon);
  return addon;
}

static napi_value js_watch(napi_env env, napi_callback_info info) {
  struct addon *addon = addon_of(env);
  int32_t fd;
  uint64_t id;
  napi_value callback;
  if (!arguments(env, info, "if", &fd, &callback)) return number(env, -EINVAL);
  int status = threads_watch(addon->threads, fd, &id);
  if (status < 0) return number(env, status);
  int free_one = 0; /* There is one: both arrays have the same size. */
  while (addon->watches[free_one].id) free_one++;
  addon->watches[free_one].id = id;
  napi_create_reference(env, callback, 1, &addon->watches[free_one].callback);
  return number(env, 0);
}

static napi_value js_unwatch(napi_env env, napi_callback_info info) {
  struct addon *addon = addon_of(env);
  int32_t fd;
  uint64_t id;
  if (!arguments(env, info, "i", &fd)) return number(env, -EINVAL);
  int status = threads_unwatch(addon->threads, fd, &id);
  for (int i = 0; status == 0 && i < MAX_WATCHES; i++) {
    if (addon->watches[i].id != id) continue;
    napi_delete_reference(env, addon->watches[i].callback);
    addon->watches[i].id = 0;
  }
  return number(env, status);
}

static napi_value take_result(napi_env env, struct job *job) {
  napi_value result =
      job->reply && job->status >= 0 ? bytes_value(env, job->reply, job->status) : number(env, job->status);
  job_free(job);
  return result;
}

static napi_value js_submit(napi_env env, napi_callback_info info) {
  struct addon *addon = addon_of(env);
  int32_t operation, fd, split, token, micros;
  struct span bytes;
  if (!arguments(env, info, "iibiii", &operation, &fd, &bytes, &split, &token, &micros))
    return number(env, -EINVAL);
  if (operation < 0 || operation >= OPERATIONS) return number(env, -EINVAL);
  struct job *job = malloc(sizeof *job + bytes.length);
  if (!job) return number(env, -ENOMEM);
  *job = (struct job){.operation = operation, .fd = fd, .split = split, .token = token};
  job->length = bytes.length;
  if (bytes.length) memcpy(job->bytes, bytes.data, bytes.length);
  if (threads_submit(addon->threads, job, micros)) return take_result(env, job);
  /* A process with an operation on its way stays alive until the result is in. */
  if (addon->outstanding++ == 0) napi_ref_threadsafe_function(env, addon->doorbell);
  return NULL;
}

static napi_value js_prepare(napi_env env, napi_callback_info info) {
  (void)info;
  threads_prepare(addon_of(env)->threads);
  return number(env, 0);
}

static napi_value js_on_result(napi_env env, napi_callback_info info) {
  struct addon *addon = addon_of(env);
  napi_value callback;
  if (!arguments(env, info, "f", &callback)) return number(env, -EINVAL);
  if (addon->on_result) napi_delete_reference(env, addon->on_result);
  addon->on_result = NULL;
  return number(env, napi_create_reference(env, callback, 1, &addon->on_result) == napi_ok ? 0 : -ENOMEM);
}

/* ---- Back on the JavaScript thread ---- */

static void call(napi_env env, napi_ref reference, size_t count, const napi_value *values) {
  napi_value function, receiver, error;
  if (!reference || napi_get_reference_value(env, reference, &function) != napi_ok) return;
  napi_get_undefined(env, &receiver);
  if (napi_call_function(env, receiver, function, count, values, NULL) != napi_pending_exception) return;
  /* As with any callback, a throw is an uncaught exception; the rest of the list is still delivered. */
  if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
}

static void deliver_result(napi_env env, struct addon *addon, struct job *job) {
  napi_value values[2] = {number(env, job->token), take_result(env, job)};
  if (--addon->outstanding == 0) napi_unref_threadsafe_function(env, addon->doorbell);
  call(env, addon->on_result, 2, values);
}

/* The watch may be gone: then so is who wanted the event. */
static void deliver_event(napi_env env, struct addon *addon, struct event *event) {
  for (int i = 0; i < MAX_WATCHES; i++) {
    if (addon->watches[i].id != event->watch) continue;
    napi_value value =
        event->status < 0 ? number(env, event->status) : bytes_value(env, event->bytes, event->status);
    call(env, addon->watches[i].callback, 1, &value);
    break;
  }
  free(event);
}

/* Answers the doorbell. It takes what is there now and no more, so that a flood cannot keep the loop here. */
static void answer(napi_env env, napi_value function, void *context, void *data) {
  struct addon *addon = context;
  napi_handle_scope scope;
  struct job *job, *next_job;
  struct event *event, *next_event;
  (void)function, (void)data;
  if (!env) return; /* The environment is going, and its threads have stopped. */
  threads_take(addon->threads, &job, &event);
  for (; job; job = next_job) {
    next_job = job->next;
    napi_open_handle_scope(env, &scope);
    deliver_result(env, addon, job);
    napi_close_handle_scope(env, scope);
  }
  for (; event; event = next_event) {
    next_event = event->next;
    napi_open_handle_scope(env, &scope);
    deliver_event(env, addon, event);
    napi_close_handle_scope(env, scope);
  }
}

static bool ring_doorbell(void *context) {
  struct addon *addon = context;
  return napi_call_threadsafe_function(addon->doorbell, NULL, napi_tsfn_nonblocking) == napi_ok;
}

/* Clean-up hooks run last to first, so this one, added after the doorbell was made, runs while it still
 * hangs. */
static void stop(void *context) {
  struct addon *addon = context;
  threads_stop(addon->threads);
  addon->threads = NULL;
}

static void free_addon(napi_env env, void *addon, void *hint) {
  (void)env, (void)hint;
  free(addon);
}

NAPI_MODULE_INIT() {
  static const struct { const char *name; napi_callback call; } calls[] = {
      {"socket", js_socket},         {"bind", js_bind},     {"getsockname", js_getsockname},
      {"setsockopt", js_setsockopt}, {"send", js_send},     {"getsockopt", js_getsockopt},
      {"receive", js_receive},       {"close", js_close},   {"watch", js_watch},
      {"unwatch", js_unwatch},       {"submit", js_submit}, {"onResult", js_on_result},
      {"prepare", js_prepare},       {"connect", js_connect}, {"exit", js_exit},
      {"attachFilter", js_attach_filter},
  };
  napi_value name, function;
  struct addon *addon = calloc(1, sizeof *addon);
  if (!addon || !(addon->threads = threads_make(ring_doorbell, addon))) return free(addon), NULL;
  napi_set_instance_data(env, addon, free_addon, NULL);
  napi_create_string_utf8(env, "vipward", NAPI_AUTO_LENGTH, &name);
  napi_create_threadsafe_function(env, NULL, NULL, name, 0, 1, NULL, NULL, addon, answer, &addon->doorbell);
  napi_unref_threadsafe_function(env, addon->doorbell);
  napi_add_env_cleanup_hook(env, stop, addon);
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    napi_create_function(env, calls[i].name, NAPI_AUTO_LENGTH, calls[i].call, NULL, &function);
    napi_set_named_property(env, exports, calls[i].name, function);
  }
  return exports;
}
