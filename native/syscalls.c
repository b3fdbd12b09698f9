/* Generic system calls for host/native.ts: numbers and caller-owned bytes in, a result or -errno out. Nothing here
 * knows netlink, and nothing throws: an argument of the wrong type is -EINVAL. All checking and all errors' words live
 * in TypeScript.
 *
 * Two threads, each started when it is first needed, keep what may block away from the JavaScript thread:
 *   the reader  polls the watched sockets and queues their datagrams,
 *   the writer  runs submitted operations strictly in order; the kernel may hold it for seconds (state D).
 * Both talk back through two lists and one doorbell (a thread-safe function that carries no data of its own), so the
 * lists have limits of ours and a thread that outlives its environment has nothing of Node's to touch. */
#define _GNU_SOURCE
#include <errno.h>
#include <node_api.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  MAX_WATCHES = 64,
  MAX_EVENTS = 4096,              /* The reader then waits, and the kernel's queue overflows: ENOBUFS tells. */
  MAX_EVENT_BYTES = 16 << 20,
  MAX_EVENTS_A_TURN = 64,         /* One busy socket cannot keep the reader from the others. */
  MAX_ERRORS_A_TURN = 4,          /* An error that recv() does not clear would otherwise spin for ever. */
  MAX_JOBS = 1024,
  EVENT_ROOM_BYTES = 256 << 10,
  REPLY_ROOM_BYTES = 128 << 10,   /* Netlink's dump datagrams grow to 32 KiB; this leaves room for four. */
  MAX_REPLY_BYTES = 256 << 20,
  KEPT_SCRATCH_BYTES = 1 << 20,
  COPIED_REPLY_BYTES = 64 << 10,
  STOP_WAIT_MS = 200,
};

enum operation { EXCHANGE, CLOSE, SETSOCKOPT, GETSOCKOPT, FLOCK };

struct span {
  uint8_t *data;
  size_t length;
};

struct job {
  struct job *next;
  int32_t operation, fd, split, token;
  int32_t status;  /* A result or -errno; the length of `reply` where there is one. */
  uint8_t *reply;
  bool done, late;
  size_t length;
  _Alignas(8) uint8_t bytes[];  /* A copy: the caller may reuse its buffer at once, even when the result is late. */
};

struct event {
  struct event *next;
  uint64_t watch;
  int32_t status;  /* The datagram's length or -errno. */
  uint8_t bytes[];
};

struct watch {
  uint64_t id;  /* Events name the watch, not the descriptor: descriptors are reused. */
  int fd;
  bool dead;
  napi_ref callback;
};

/* One per environment (main thread or worker). Freed by whoever leaves last: the environment or a thread. */
struct addon {
  pthread_mutex_t lock;
  pthread_cond_t work, finished, room;
  int holders;
  bool stopping, rung, reader_started, writer_started;
  napi_threadsafe_function doorbell;
  struct job *first_job, **last_job, *first_result, **last_result;
  struct event *first_event, **last_event;
  int jobs, events;
  size_t event_bytes;

  /* Held around every recv() of the reader, so that after unwatch() the descriptor may be closed and reused. */
  pthread_mutex_t watch_lock;
  struct watch watches[MAX_WATCHES];
  int watch_count, wake;
  uint64_t last_watch;

  /* Touched by the JavaScript thread only. */
  napi_ref on_result;
  int outstanding;
};

static void leave(struct addon *addon) {
  pthread_mutex_lock(&addon->lock);
  int left = --addon->holders;
  pthread_cond_broadcast(&addon->finished);
  pthread_mutex_unlock(&addon->lock);
  if (left > 0) return;
  close(addon->wake);
  for (struct job *job = addon->first_result, *next; job; job = next) next = job->next, free(job->reply), free(job);
  for (struct event *event = addon->first_event, *next; event; event = next) next = event->next, free(event);
  free(addon);
}

/* Threads are detached: one that the kernel holds in state D cannot be joined. They take no signals from Node. */
static bool start(struct addon *addon, bool *started, void *(*body)(void *), const char *name) {
  if (*started) return true;
  pthread_attr_t attributes;
  pthread_t thread;
  sigset_t all, before;
  sigfillset(&all);
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, 256 << 10);
  pthread_mutex_lock(&addon->lock);
  addon->holders++;
  pthread_mutex_unlock(&addon->lock);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  *started = pthread_create(&thread, &attributes, body, addon) == 0;
  /* Under the lock that a thread needs to end: a detached thread that has ended has no name to set. */
  pthread_mutex_lock(&addon->lock);
  if (*started) pthread_setname_np(thread, name);
  else addon->holders--;
  pthread_mutex_unlock(&addon->lock);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  return *started;
}

static struct timespec after_micros(int64_t micros) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  int64_t nanos = time.tv_nsec + micros * 1000;
  time.tv_sec += nanos / 1000000000;
  time.tv_nsec = nanos % 1000000000;
  return time;
}

/* With the lock held, and never once `stopping` is set: the doorbell dies with the environment. */
static void ring(struct addon *addon) {
  if (addon->rung || addon->stopping) return;
  addon->rung = napi_call_threadsafe_function(addon->doorbell, NULL, napi_tsfn_nonblocking) == napi_ok;
}

/* ---- The reader ---- */

static void queue_event(struct addon *addon, uint64_t watch, const uint8_t *bytes, int32_t status) {
  size_t length = status > 0 ? (size_t)status : 0;
  struct event *event = malloc(sizeof *event + length);
  if (!event) return;
  event->next = NULL;
  event->watch = watch;
  event->status = status;
  memcpy(event->bytes, bytes, length);
  pthread_mutex_lock(&addon->lock);
  while ((addon->events >= MAX_EVENTS || addon->event_bytes >= MAX_EVENT_BYTES) && !addon->stopping)
    pthread_cond_wait(&addon->room, &addon->lock);
  *addon->last_event = event;
  addon->last_event = &event->next;
  addon->events++;
  addon->event_bytes += length;
  ring(addon);
  pthread_mutex_unlock(&addon->lock);
}

static struct watch *find_watch(struct addon *addon, uint64_t id) {
  for (int i = 0; i < addon->watch_count; i++)
    if (addon->watches[i].id == id) return &addon->watches[i];
  return NULL;
}

/* One recv() under the watch lock. False when the socket has nothing more to say now (or ever: `dead`). */
static bool read_once(struct addon *addon, uint64_t id, short ready, uint8_t *buffer, int *errors, bool first) {
  pthread_mutex_lock(&addon->watch_lock);
  struct watch *watch = find_watch(addon, id);
  if (!watch) {
    pthread_mutex_unlock(&addon->watch_lock);
    return false;
  }
  ssize_t length = recv(watch->fd, buffer, EVENT_ROOM_BYTES, MSG_DONTWAIT | MSG_TRUNC);
  int32_t status = length < 0 ? -errno : length > EVENT_ROOM_BYTES ? -EMSGSIZE : (int32_t)length;
  bool hung_up = (ready & (POLLHUP | POLLRDHUP)) != 0;
  if (status == -EAGAIN && first && (ready & (POLLERR | POLLHUP))) status = -EIO, watch->dead = true;
  if (status == 0 && hung_up) status = -EPIPE, watch->dead = true;
  if (status < 0 && status != -EAGAIN && status != -EINTR && ++*errors > MAX_ERRORS_A_TURN) watch->dead = true;
  if (status == -EBADF || status == -ENOTSOCK) watch->dead = true;
  bool dead = watch->dead;
  pthread_mutex_unlock(&addon->watch_lock);
  if (status == -EINTR) return true;
  if (status == -EAGAIN) return false;
  queue_event(addon, id, buffer, status);
  return !dead;
}

static void *read_events(void *argument) {
  struct addon *addon = argument;
  struct pollfd polled[MAX_WATCHES + 1];
  uint64_t ids[MAX_WATCHES + 1], count;
  uint8_t *buffer = malloc(EVENT_ROOM_BYTES);
  while (buffer) {
    nfds_t length = 0;
    polled[length++] = (struct pollfd){.fd = addon->wake, .events = POLLIN};
    pthread_mutex_lock(&addon->watch_lock);
    for (int i = 0; i < addon->watch_count; i++) {
      if (addon->watches[i].dead) continue;
      ids[length] = addon->watches[i].id;
      polled[length++] = (struct pollfd){.fd = addon->watches[i].fd, .events = POLLIN | POLLRDHUP};
    }
    pthread_mutex_unlock(&addon->watch_lock);
    poll(polled, length, -1);
    if (polled[0].revents && read(addon->wake, &count, sizeof count) < 0 && errno != EAGAIN) break;
    pthread_mutex_lock(&addon->lock);
    bool stopping = addon->stopping;
    pthread_mutex_unlock(&addon->lock);
    if (stopping) break;
    for (nfds_t i = 1; i < length; i++) {
      int errors = 0, turns = 0;
      while (polled[i].revents && turns < MAX_EVENTS_A_TURN &&
             read_once(addon, ids[i], polled[i].revents, buffer, &errors, turns == 0))
        turns++;
    }
  }
  free(buffer);
  leave(addon);
  return NULL;
}

/* ---- The writer ---- */

/* Reads until the socket is empty. Datagrams stand one after the other, each padded to 4 bytes as netlink pads its
 * messages. An overrun or a datagram too long is remembered while the rest is read: the next exchange must find an
 * empty socket. */
static int32_t drain(int fd, struct span *scratch) {
  size_t used = 0;
  int32_t failure = 0;
  for (;;) {
    if (scratch->length - used < REPLY_ROOM_BYTES) {
      size_t length = scratch->length * 2 + REPLY_ROOM_BYTES;
      uint8_t *grown = length > MAX_REPLY_BYTES ? NULL : realloc(scratch->data, length);
      if (!grown) return -ENOMEM;
      *scratch = (struct span){grown, length};
    }
    ssize_t length = recv(fd, scratch->data + used, scratch->length - used, MSG_DONTWAIT | MSG_TRUNC);
    if (length < 0 && errno == EINTR) continue;
    if (length == 0 || (length < 0 && errno == EAGAIN)) return failure ? failure : (int32_t)used;
    if (length < 0 && errno != ENOBUFS) return -errno;
    if (length < 0) failure = -ENOBUFS;
    else if ((size_t)length > scratch->length - used) failure = failure ? failure : -EMSGSIZE;
    else if (!failure)
      for (used += length; used & 3;) scratch->data[used++] = 0;
  }
}

static int32_t send_all(int fd, const uint8_t *bytes, size_t length) {
  if (length == 0) return 0;
  ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
  return sent < 0 ? -errno : (size_t)sent < length ? -EIO : 0;
}

/* A failed send still drains: replies to the other half must not meet the next exchange. */
static void exchange(struct job *job, struct span *scratch) {
  size_t split = job->split < 0 ? 0 : (size_t)job->split < job->length ? (size_t)job->split : job->length;
  int32_t failure = send_all(job->fd, job->bytes, split);
  if (!failure) failure = send_all(job->fd, job->bytes + split, job->length - split);
  int32_t drained = drain(job->fd, scratch);
  job->status = failure ? failure : drained;
  if (job->status < 0) return;
  if (drained > COPIED_REPLY_BYTES) {  /* A dump: give the buffer itself away. */
    job->reply = scratch->data;
    *scratch = (struct span){NULL, 0};
  } else if ((job->reply = malloc(drained ? drained : 1))) {
    memcpy(job->reply, scratch->data, drained);
  } else {
    job->status = -ENOMEM;
  }
}

/* `bytes` is int32 level, int32 name, value. For a set with split > 0 the value holds one pointer: the 8 bytes at
 * `split` in it are an offset, the value ends there, and what follows is the memory pointed to, given back as the
 * result after the kernel wrote it. */
static void option(struct job *job) {
  int32_t words[2];
  uint8_t *value = job->bytes + 8;
  job->status = -EINVAL;
  if (job->length < 8) return;
  memcpy(words, job->bytes, 8);
  size_t room = job->length - 8, offset = room;
  if (job->operation == SETSOCKOPT && job->split > 0) {
    uint64_t end;
    if ((size_t)job->split + 8 > room) return;
    memcpy(&end, value + job->split, 8);
    if (end > room || end < (size_t)job->split + 8) return;
    offset = end;
    uint64_t address = (uintptr_t)(value + offset);
    memcpy(value + job->split, &address, 8);
  }
  socklen_t length = offset;
  int failed = job->operation == SETSOCKOPT ? setsockopt(job->fd, words[0], words[1], value, length)
                                            : getsockopt(job->fd, words[0], words[1], value, &length);
  job->status = failed ? -errno : 0;
  if (failed || (job->operation == SETSOCKOPT && job->split <= 0)) return;
  struct span out = job->operation == GETSOCKOPT ? (struct span){value, length < room ? length : room}
                                                 : (struct span){value + offset, room - offset};
  job->reply = malloc(out.length ? out.length : 1);
  job->status = job->reply ? (int32_t)out.length : -ENOMEM;
  if (job->reply) memcpy(job->reply, out.data, out.length);
}

static void run_job(struct job *job, struct span *scratch) {
  switch (job->operation) {
    case EXCHANGE: exchange(job, scratch); break;
    case CLOSE: job->status = close(job->fd) ? -errno : 0; break;
    case FLOCK: job->status = flock(job->fd, job->split) ? -errno : 0; break;
    default: option(job);
  }
  if (scratch->length > KEPT_SCRATCH_BYTES) {
    free(scratch->data);
    *scratch = (struct span){NULL, 0};
  }
}

/* When told to stop it still finishes its queue: a queued close must not be lost. */
static void *write_jobs(void *argument) {
  struct addon *addon = argument;
  struct span scratch = {NULL, 0};
  pthread_mutex_lock(&addon->lock);
  for (;;) {
    while (!addon->first_job && !addon->stopping) pthread_cond_wait(&addon->work, &addon->lock);
    struct job *job = addon->first_job;
    if (!job) break;
    addon->first_job = job->next;
    if (!job->next) addon->last_job = &addon->first_job;
    job->next = NULL;
    pthread_mutex_unlock(&addon->lock);
    run_job(job, &scratch);
    pthread_mutex_lock(&addon->lock);
    addon->jobs--;
    job->done = true;
    if (!job->late) {
      pthread_cond_broadcast(&addon->finished);
      continue;
    }
    *addon->last_result = job;
    addon->last_result = &job->next;
    ring(addon);
  }
  pthread_mutex_unlock(&addon->lock);
  free(scratch.data);
  leave(addon);
  return NULL;
}

/* ---- Values ---- */

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

static void wake_reader(struct addon *addon) {
  uint64_t one = 1;
  ssize_t written = write(addon->wake, &one, sizeof one);
  (void)written;  /* A full counter is a wake-up already. */
}

static napi_value js_watch(napi_env env, napi_callback_info info) {
  struct addon *addon = addon_of(env);
  int32_t fd, status = 0;
  napi_value callback;
  if (!arguments(env, info, "if", &fd, &callback)) return number(env, -EINVAL);
  for (int i = 0; i < addon->watch_count; i++)
    if (addon->watches[i].fd == fd) return number(env, -EEXIST);
  if (fd < 0) return number(env, -EBADF);
  if (addon->watch_count == MAX_WATCHES) return number(env, -ENOSPC);
  if (!start(addon, &addon->reader_started, read_events, "vipward-reader")) return number(env, -EAGAIN);
  pthread_mutex_lock(&addon->watch_lock);
  struct watch *watch = &addon->watches[addon->watch_count];
  *watch = (struct watch){.id = ++addon->last_watch, .fd = fd};
  if (napi_create_reference(env, callback, 1, &watch->callback) == napi_ok) addon->watch_count++;
  else status = -ENOMEM;
  pthread_mutex_unlock(&addon->watch_lock);
  wake_reader(addon);
  return number(env, status);
}

static napi_value js_unwatch(napi_env env, napi_callback_info info) {
  struct addon *addon = addon_of(env);
  int32_t fd, status = -ENOENT;
  if (!arguments(env, info, "i", &fd)) return number(env, -EINVAL);
  pthread_mutex_lock(&addon->watch_lock);
  for (int i = 0; i < addon->watch_count; i++) {
    if (addon->watches[i].fd != fd) continue;
    napi_delete_reference(env, addon->watches[i].callback);
    addon->watches[i] = addon->watches[--addon->watch_count];
    status = 0;
    break;
  }
  pthread_mutex_unlock(&addon->watch_lock);
  wake_reader(addon);
  return number(env, status);
}

static napi_value take_result(napi_env env, struct job *job) {
  napi_value result =
      job->reply && job->status >= 0 ? bytes_value(env, job->reply, job->status) : number(env, job->status);
  free(job->reply);
  free(job);
  return result;
}

/* Two hand-overs (to the writer and back) through the condition variables: see docs of Native.submit for the cost. */
static napi_value js_submit(napi_env env, napi_callback_info info) {
  struct addon *addon = addon_of(env);
  int32_t operation, fd, split, token, micros;
  struct span bytes;
  if (!arguments(env, info, "iibiii", &operation, &fd, &bytes, &split, &token, &micros)) return number(env, -EINVAL);
  if (operation < EXCHANGE || operation > FLOCK) return number(env, -EINVAL);
  if (!start(addon, &addon->writer_started, write_jobs, "vipward-writer")) return number(env, -EAGAIN);
  struct job *job = malloc(sizeof *job + bytes.length);
  if (!job) return number(env, -ENOMEM);
  *job = (struct job){.operation = operation, .fd = fd, .split = split, .token = token, .length = bytes.length};
  if (bytes.length) memcpy(job->bytes, bytes.data, bytes.length);
  struct timespec deadline = after_micros(micros > 0 ? micros : 0);
  pthread_mutex_lock(&addon->lock);
  if (addon->jobs == MAX_JOBS) {
    pthread_mutex_unlock(&addon->lock);
    free(job);
    return number(env, -EXFULL);
  }
  addon->jobs++;
  *addon->last_job = job;
  addon->last_job = &job->next;
  pthread_cond_signal(&addon->work);
  while (micros > 0 && !job->done && pthread_cond_timedwait(&addon->finished, &addon->lock, &deadline) == 0) continue;
  bool done = job->done;
  job->late = !done;
  pthread_mutex_unlock(&addon->lock);
  if (done) return take_result(env, job);
  /* A process with an operation on its way stays alive until the result is in. */
  if (addon->outstanding++ == 0) napi_ref_threadsafe_function(env, addon->doorbell);
  return NULL;
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

/* Answers the doorbell: takes both lists whole, so that a flood cannot keep the loop here. */
static void answer(napi_env env, napi_value function, void *context, void *data) {
  struct addon *addon = context;
  napi_handle_scope scope;
  (void)function, (void)data;
  if (!env) return;  /* The environment is going; leave() frees the lists. */
  pthread_mutex_lock(&addon->lock);
  struct job *job = addon->first_result, *next_job;
  struct event *event = addon->first_event, *next_event;
  addon->first_result = NULL, addon->last_result = &addon->first_result;
  addon->first_event = NULL, addon->last_event = &addon->first_event;
  addon->events = 0, addon->event_bytes = 0;
  addon->rung = false;
  pthread_cond_broadcast(&addon->room);
  pthread_mutex_unlock(&addon->lock);
  for (; job; job = next_job) {
    next_job = job->next;
    if (--addon->outstanding == 0) napi_unref_threadsafe_function(env, addon->doorbell);
    napi_open_handle_scope(env, &scope);
    napi_value values[2] = {number(env, job->token), NULL};
    values[1] = take_result(env, job);
    call(env, addon->on_result, 2, values);
    napi_close_handle_scope(env, scope);
  }
  for (; event; event = next_event) {
    next_event = event->next;
    struct watch *watch = find_watch(addon, event->watch);
    napi_open_handle_scope(env, &scope);
    if (watch) {
      napi_value value =
          event->status < 0 ? number(env, event->status) : bytes_value(env, event->bytes, event->status);
      call(env, watch->callback, 1, &value);
    }
    napi_close_handle_scope(env, scope);
    free(event);
  }
}

/* Runs before Node takes the doorbell away (clean-up hooks run last to first). It waits for the threads, but not for
 * ever: one held by the kernel leaves later, alone, and then frees what is left (the library is linked nodelete). */
static void stop(void *argument) {
  struct addon *addon = argument;
  struct timespec deadline = after_micros(STOP_WAIT_MS * 1000);
  wake_reader(addon);
  pthread_mutex_lock(&addon->lock);
  addon->stopping = true;
  pthread_cond_broadcast(&addon->work);
  pthread_cond_broadcast(&addon->room);
  pthread_mutex_unlock(&addon->lock);
  wake_reader(addon);
  pthread_mutex_lock(&addon->lock);
  while (addon->holders > 1 && pthread_cond_timedwait(&addon->finished, &addon->lock, &deadline) == 0) continue;
  pthread_mutex_unlock(&addon->lock);
  leave(addon);
}

static struct addon *make_addon(void) {
  struct addon *addon = calloc(1, sizeof *addon);
  if (!addon) return NULL;
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&addon->work, &monotonic);
  pthread_cond_init(&addon->finished, &monotonic);
  pthread_cond_init(&addon->room, &monotonic);
  pthread_condattr_destroy(&monotonic);
  pthread_mutex_init(&addon->lock, NULL);
  pthread_mutex_init(&addon->watch_lock, NULL);
  addon->holders = 1;
  addon->last_job = &addon->first_job;
  addon->last_result = &addon->first_result;
  addon->last_event = &addon->first_event;
  addon->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return addon;
}

NAPI_MODULE_INIT() {
  struct addon *addon = make_addon();
  napi_value name;
  static const struct { const char *name; napi_callback call; } calls[] = {
      {"socket", js_socket},         {"bind", js_bind},       {"getsockname", js_getsockname},
      {"setsockopt", js_setsockopt}, {"send", js_send},       {"getsockopt", js_getsockopt},
      {"receive", js_receive},       {"close", js_close},     {"watch", js_watch},
      {"unwatch", js_unwatch},       {"submit", js_submit},   {"onResult", js_on_result},
  };
  if (!addon) return NULL;
  napi_set_instance_data(env, addon, NULL, NULL);
  napi_create_string_utf8(env, "vipward", NAPI_AUTO_LENGTH, &name);
  napi_create_threadsafe_function(env, NULL, NULL, name, 0, 1, NULL, NULL, addon, answer, &addon->doorbell);
  napi_unref_threadsafe_function(env, addon->doorbell);
  napi_add_env_cleanup_hook(env, stop, addon);
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    napi_value function;
    napi_create_function(env, calls[i].name, NAPI_AUTO_LENGTH, calls[i].call, NULL, &function);
    napi_set_named_property(env, exports, calls[i].name, function);
  }
  return exports;
}
