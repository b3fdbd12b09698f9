/* Between syscalls.c (what JavaScript calls) and threads.c (what runs beside it). No Node-API here: the one
 * way back is `ring`, a function that makes the JavaScript thread take both lists. */
#ifndef VIPWARD_THREADS_H
#define VIPWARD_THREADS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

struct threads;

/* `ring` is called from the threads, under their lock, and never after threads_stop() has returned. */
struct threads *threads_make(bool (*ring)(void *context), void *context);

/* Waits a bounded time for both threads; one that the kernel holds leaves later and frees what is left. */
void threads_stop(struct threads *threads);

/* 0 and the new watch's id, or -errno. */
int threads_watch(struct threads *threads, int fd, uint64_t *id);

/* 0 and the ended watch's id, or -ENOENT. Once it returns, the reader no longer touches the descriptor. */
int threads_unwatch(struct threads *threads, int fd, uint64_t *id);

/* A job is about to be submitted: wakes the writer, which for 0.2 ms does not go back to sleep. */
void threads_prepare(struct threads *threads);

/* True: the job is done and the caller's again. False: it goes on, and comes back through threads_take(). A
 * job that cannot be queued is done with -EXFULL or -EAGAIN. */
bool threads_submit(struct threads *threads, struct job *job, int64_t wait_micros);

/* Hands over both lists whole; whoever takes them frees them. */
void threads_take(struct threads *threads, struct job **results, struct event **events);

void job_free(struct job *job);
#endif
