/* An event counter on a futex, for sleeping until it changes and for polling it while awake. */
#ifndef VIPWARD_EVENT_COUNT_H
#define VIPWARD_EVENT_COUNT_H
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* A waiter reads the value, checks whether it must wait, and sleeps only while the value is unchanged. */
struct event_count {
  _Atomic uint32_t value, sleepers;
};

/* A sleeper registers before its last check, and notify() looks for sleepers after the change. */
static inline void notify(struct event_count *count) {
  atomic_fetch_add(&count->value, 1);
  if (atomic_load(&count->sleepers) > 0)
    syscall(SYS_futex, &count->value, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* False only when the deadline (CLOCK_MONOTONIC, NULL for none) has passed. */
static inline bool await(struct event_count *count, uint32_t seen, const struct timespec *deadline) {
  const int until = FUTEX_WAIT_BITSET_PRIVATE;
  atomic_fetch_add(&count->sleepers, 1);
  long slept = syscall(SYS_futex, &count->value, until, seen, deadline, NULL, FUTEX_BITSET_MATCH_ANY);
  bool timed_out = slept != 0 && errno == ETIMEDOUT;
  atomic_fetch_sub(&count->sleepers, 1);
  return !timed_out;
}

static inline int64_t now_nanos(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static inline void pause_processor(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/* True as soon as the count differs from `seen`; false at the given time. */
static inline bool look_out(const struct event_count *count, uint32_t seen, int64_t until_nanos) {
  while (now_nanos() < until_nanos) {
    for (int turn = 0; turn < 16; turn++) {
      if (atomic_load_explicit(&count->value, memory_order_acquire) != seen) return true;
      pause_processor();
    }
  }
  return false;
}

static inline struct timespec after_micros(int64_t micros) {
  int64_t nanos = now_nanos() + micros * 1000;
  return (struct timespec){.tv_sec = nanos / 1000000000, .tv_nsec = nanos % 1000000000};
}
#endif
