/* The interface between syscalls.c (called by JavaScript) and threads.c (the threads). No Node-API here:
 * `ring` is the only way back, and makes the JavaScript thread take both lists. */
#ifndef VIPWARD_THREADS_H
#define VIPWARD_THREADS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers of Operation in src/host/native.ts. */
enum operation { EXCHANGE, CLOSE, SETSOCKOPT, GETSOCKOPT, FLOCK, OPERATIONS };

enum { MAX_WATCHES = 64, MAX_JOBS = 1024, ROOM_BYTES = 128 };

struct job {
  struct job *next;
  int32_t operation, fd, split, token;
  bool polled;            /* The waiter stays awake, on another processor than the writer's. */
  int32_t status;         /* A result or -errno; with a reply, its length. */
  uint8_t *reply;         /* `room`, or memory of its own. */
  _Atomic uint32_t state; /* WAITED_FOR, then DONE by the writer or LATE by the waiter, whichever is first. */
  size_t length;
  uint8_t room[ROOM_BYTES]; /* For nearly every reply: what one thread allocates and another frees is slow. */
  _Alignas(8) uint8_t bytes[]; /* A copy, so that the caller may reuse its buffer while the result is late. */
};

struct event {
  struct event *next;
  uint64_t watch; /* Names the watch, not the descriptor: descriptors are reused. */
  int32_t status; /* The datagram's length or -errno. */
  uint8_t bytes[];
};

struct threads;

/* The threads call `ring` under their lock, and never after threads_stop() has returned. */
struct threads *threads_make(bool (*ring)(void *context), void *context);

/* Waits a bounded time for both threads. A thread blocked in the kernel leaves later and frees the rest. */
void threads_stop(struct threads *threads);

/* Returns 0 and the new watch's id, or -errno. */
int threads_watch(struct threads *threads, int fd, uint64_t *id);

/* Returns 0 and the ended watch's id, or -ENOENT. From then on the reader does not use the descriptor. */
int threads_unwatch(struct threads *threads, int fd, uint64_t *id);

/* Wakes the writer before a job is submitted; the writer then stays awake for 0.2 ms. */
void threads_prepare(struct threads *threads);

/* True: the job is done and belongs to the caller again. False: it continues and comes back through
 * threads_take(). A job that cannot be queued is done with -EXFULL or -EAGAIN. */
bool threads_submit(struct threads *threads, struct job *job, int64_t wait_micros);

/* Hands over both lists completely; the caller frees them. */
void threads_take(struct threads *threads, struct job **results, struct event **events);

void job_free(struct job *job);
#endif
