/* Two threads, each started on first use, keep blocking calls off the JavaScript thread: the reader polls
 * the watched sockets and queues their datagrams; the writer runs submitted operations strictly in order,
 * and may block in the kernel for seconds (state D). Both answer through bounded lists of ours, so a
 * thread that outlives its environment touches no memory of Node's. */
#define _GNU_SOURCE
#include "event-count.h"
#include "operations.h"
#include "threads.h"
#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Threads sleep and wake on futexes. Waking a thread on an idle processor takes longer than most commits. So
 * with two processors or more, threads_prepare() wakes the writer ahead of its work; the writer and the
 * waiter for its result then poll for a short time before they sleep. An idle process polls nothing. Where
 * the writer often comes too late, it works on the waiter's processor for a while: that one is awake. */
enum {
  MAX_EVENTS = 4096,            /* Then the reader waits, and the kernel's queue overflows (ENOBUFS). */
  MAX_EVENT_BYTES = 16 << 20,
  MAX_EVENTS_A_TURN = 64,       /* So that one busy socket does not starve the others. */
  MAX_ERRORS_A_TURN = 4,        /* So that an error that recvfrom() does not clear does not spin forever. */
  EVENT_ROOM_BYTES = 256 << 10,
  MEMORY_WAIT_MILLIS = 10,
  STOP_WAIT_MICROS = 200000,
  LOOK_OUT_MICROS = 200,        /* A prepared writer stays awake this long. */
  FOLLOW_MICROS = 80,           /* A job that comes this soon after the previous one belongs to a burst. */
  LINGER_MICROS = 500,          /* Then the writer stays awake, also while the caller collects garbage. */
  VAIN_WEIGHT = 4,              /* One preparation in vain counts as much as this many useful ones. */
  MAX_VAIN = 24,                /* At this sum preparing pauses. */
  BUSY_MICROS = 2000,           /* The length of the first pause. */
  MAX_BUSY_MICROS = 100000,
  START_MICROS = 20,            /* A writer that was awake takes a job within this time, */
  WAKE_MICROS = 60,             /* and one that had to be woken within this. */
  ANSWER_MICROS = 200,          /* A waiter stays awake this long for a job that was taken. */
};

enum { WAITED_FOR, DONE, LATE };

struct watch {
  uint64_t id;
  int fd;
  bool dead;
};

/* The last holder frees it: the environment or a thread. */
struct threads {
  pthread_mutex_t lock;
  struct event_count work, finished, room;
  _Atomic int64_t ready_until; /* Nanoseconds of CLOCK_MONOTONIC. */
  _Atomic uint32_t taken;      /* Jobs since the start. */
  _Atomic bool working;        /* The writer runs a job. */
  uint32_t submitted;
  int holders;
  pthread_t writer;
  int kept_from, kept_on; /* Processors that the writer has to stay off, or on; -1 without. */
  int64_t busy_until, busy_micros, vain;
  bool woken, stopping, rung, reader_started, writer_started;
  bool (*ring)(void *context);
  void *context;
  struct job *first_job, **last_job, *first_result, **last_result;
  struct event *first_event, **last_event;
  int jobs, events;
  size_t event_bytes;

  /* Held around every recvfrom() of the reader, so that after an unwatch the descriptor may be closed and
   * reused. */
  pthread_mutex_t watch_lock;
  struct watch watches[MAX_WATCHES];
  int watch_count, wake;
  uint64_t last_watch;
};

void job_free(struct job *job) {
  if (job->reply != job->room) free(job->reply);
  free(job);
}

static void leave(struct threads *threads) {
  pthread_mutex_lock(&threads->lock);
  int left = --threads->holders;
  /* Under the lock: after its release the last holder may free the count. */
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

/* Threads are detached, since a thread in state D cannot be joined. They take no signals from Node. */
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
  /* Under the lock that a thread needs to leave: an ended detached thread cannot be named. */
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

/* Called with the lock held. Rings once until the lists are taken. */
static void ring(struct threads *threads) {
  if (!threads->rung && !threads->stopping) threads->rung = threads->ring(threads->context);
}

/* ---- The reader ---- */

static bool is_stopping(struct threads *threads) {
  pthread_mutex_lock(&threads->lock);
  bool stopping = threads->stopping;
  pthread_mutex_unlock(&threads->lock);
  return stopping;
}

/* Without memory or room the reader waits; ENOBUFS then reports what the kernel had to drop. NULL only when
 * it is told to stop. */
static void *memory_of(struct threads *threads, size_t length) {
  void *memory;
  while (!(memory = malloc(length)) && !is_stopping(threads)) poll(NULL, 0, MEMORY_WAIT_MILLIS);
  return memory;
}

static void queue_event(struct threads *threads, uint64_t watch, const uint8_t *bytes, int32_t status) {
  size_t length = status > 0 ? (size_t)status : 0;
  struct event *event = memory_of(threads, sizeof *event + length);
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

/* A datagram that another process sent to a netlink group is not the kernel's: it fails with EINTR. */
static ssize_t receive(int fd, uint8_t *buffer) {
  struct sockaddr_nl from = {0}; /* An address of another family is truncated, and not read. */
  socklen_t length = sizeof from;
  struct sockaddr *address = (struct sockaddr *)&from;
  ssize_t got = recvfrom(fd, buffer, EVENT_ROOM_BYTES, MSG_DONTWAIT | MSG_TRUNC, address, &length);
  if (got < 0 || from.nl_family != AF_NETLINK || from.nl_pid == 0) return got;
  errno = EINTR;
  return -1;
}

/* The result of one receive() on a watched socket: a length or -errno; -EAGAIN if there is nothing more.
 * The reader gives up a socket whose condition poll() would report forever and recvfrom() does not clear. */
static int32_t read_watched(struct watch *watch, short ready, uint8_t *buffer, bool first, int *errors) {
  ssize_t length = receive(watch->fd, buffer);
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
  uint8_t *buffer = memory_of(threads, EVENT_ROOM_BYTES);
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
    if (is_stopping(threads)) break;
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
  (void)written; /* A full counter wakes the reader already. */
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

/* Returns a done job to its waiting submitter, or else to the list of late results. */
static void give_back(struct threads *threads, struct job *job) {
  uint32_t waited_for = WAITED_FOR;
  if (atomic_compare_exchange_strong(&job->state, &waited_for, DONE)) {
    notify(&threads->finished); /* Does not touch the job, which may be freed already. */
    return;
  }
  pthread_mutex_lock(&threads->lock);
  *threads->last_result = job;
  threads->last_result = &job->next;
  ring(threads);
  pthread_mutex_unlock(&threads->lock);
}

/* When it is told to stop, the writer still finishes its queue: a queued close must not be lost. */
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
      atomic_store(&threads->working, true);
      atomic_fetch_add(&threads->taken, 1);
      atomic_store(&threads->ready_until, 0);
    }
    pthread_mutex_unlock(&threads->lock);
    if (job) {
      /* A waiter that sleeps may need this processor to wake up on. */
      bool lingers = job->polled && now_nanos() - done_at < FOLLOW_MICROS * 1000;
      operation_run(job, &scratch);
      done_at = now_nanos();
      if (lingers) atomic_store(&threads->ready_until, done_at + LINGER_MICROS * 1000);
      atomic_store(&threads->working, false);
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

/* Keeps the writer off the waiting thread's processor, where it could only run in turns with it. False if
 * there is no other. The processors of the waiting thread are asked for whenever the writer moves: an
 * administrator or a kubelet may change those of the process. */
static bool keep_away(struct threads *threads) {
  cpu_set_t others;
  int processor = sched_getcpu();
  if (threads->kept_from == processor) return true;
  threads->kept_from = -1;
  if (sched_getaffinity(0, sizeof others, &others)) return false;
  CPU_CLR(processor, &others);
  if (pthread_setaffinity_np(threads->writer, sizeof others, &others)) return false;
  threads->kept_from = processor, threads->kept_on = -1;
  return true;
}

/* Keeps the writer on the waiting thread's processor, where it runs as soon as that thread sleeps. Moving a
 * thread that runs in the kernel would wait for it. */
static void keep_here(struct threads *threads) {
  cpu_set_t here;
  int processor = sched_getcpu();
  if (threads->kept_on == processor || atomic_load(&threads->working)) return;
  CPU_ZERO(&here);
  CPU_SET(processor, &here);
  pthread_setaffinity_np(threads->writer, sizeof here, &here);
  threads->kept_from = -1, threads->kept_on = processor;
}

/* A job that takes long must not compete with the thread that submitted it. */
static void let_go(struct threads *threads) {
  cpu_set_t all;
  if (threads->kept_on < 0 || sched_getaffinity(0, sizeof all, &all)) return;
  pthread_setaffinity_np(threads->writer, sizeof all, &all);
  threads->kept_on = -1;
}

void threads_prepare(struct threads *threads) {
  int64_t now = now_nanos();
  if (!start(threads, &threads->writer_started, write_jobs, "vipward-writer")) return;
  if (now < threads->busy_until) {
    keep_here(threads);
    return;
  }
  if (!keep_away(threads)) return;
  threads->woken = atomic_load(&threads->work.sleepers) > 0;
  atomic_store(&threads->ready_until, now + LOOK_OUT_MICROS * 1000);
  notify(&threads->work);
}

/* The prepared writer has not started, because the other processors are busy or asleep: it moves to this
 * one. If that happens often, preparing pauses for a while, longer each time. */
static void missed(struct threads *threads) {
  keep_here(threads);
  let_go(threads);
  threads->vain += VAIN_WEIGHT;
  if (threads->vain < MAX_VAIN) return;
  threads->vain = MAX_VAIN;
  threads->busy_until = now_nanos() + threads->busy_micros * 1000;
  threads->busy_micros *= threads->busy_micros < MAX_BUSY_MICROS ? 2 : 1;
}

/* Waits awake for a job that an awake writer is about to take. */
static bool answered(struct threads *threads, const struct job *job, uint32_t number) {
  int64_t began = now_nanos();
  uint32_t seen;
  for (int micros = threads->woken ? WAKE_MICROS : START_MICROS;; micros = ANSWER_MICROS) {
    do {
      seen = atomic_load(&threads->finished.value);
      if (atomic_load(&job->state) == DONE) {
        threads->busy_micros -= (threads->busy_micros - BUSY_MICROS) / 16;
        threads->vain -= threads->vain > 0;
        return true;
      }
    } while (look_out(&threads->finished, seen, began + micros * 1000));
    bool taken = (int32_t)(atomic_load(&threads->taken) - number) >= 0;
    if (!taken && !atomic_load(&threads->working)) missed(threads);
    if (!taken || micros == ANSWER_MICROS) return false;
  }
}

bool threads_submit(struct threads *threads, struct job *job, int64_t wait_micros) {
  struct timespec deadline = after_micros(wait_micros > 0 ? wait_micros : 0);
  bool expected = threads->kept_from >= 0 && now_nanos() < atomic_load(&threads->ready_until);
  uint32_t waited_for = WAITED_FOR, number = 0;
  job->status = -EAGAIN;
  job->polled = expected && wait_micros > 0;
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
  if (wait_micros <= 0) {
    let_go(threads);
    return false;
  }
  if (job->polled && answered(threads, job, number)) return true;
  for (;;) {
    uint32_t seen = atomic_load(&threads->finished.value);
    if (atomic_load(&job->state) == DONE) return true;
    if (await(&threads->finished, seen, &deadline)) continue;
    let_go(threads);
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
  threads->kept_from = threads->kept_on = -1;
  threads->busy_micros = BUSY_MICROS;
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
    uint32_t seen = atomic_load(&threads->finished.value);
    pthread_mutex_lock(&threads->lock);
    bool alone = threads->holders == 1;
    pthread_mutex_unlock(&threads->lock);
    if (alone || !await(&threads->finished, seen, &deadline)) break;
  }
  leave(threads);
}
