/* Generic system calls for src/host/native.ts: numbers and caller-owned bytes in, a result or -errno out.
 * No netlink knowledge and no exceptions: an argument of the wrong type gives -EINVAL. TypeScript does all
 * checks and writes all error messages. Calls that may block run in threads.c. */
#define _GNU_SOURCE
#include "threads.h"
#include <errno.h>
#include <linux/filter.h>
#include <node_api.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct span {
  uint8_t *data;
  size_t length;
};

/* One per environment (main thread or worker). Only its JavaScript thread uses it. */
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

/* Reads the arguments by a shape: i int32, b Uint8Array, o Uint8Array or undefined, f function. */
static bool arguments(napi_env env, napi_callback_info info, const char *shape, ...) {
  napi_value values[7];
  napi_valuetype type;
  size_t count = strlen(shape);
  if (napi_get_cb_info(env, info, &count, values, NULL, NULL) != napi_ok) return false;
  va_list out;
  va_start(out, shape);
  bool good = true;
  for (size_t i = 0; good && shape[i]; i++) {
    if (shape[i] == 'i') good = napi_get_value_int32(env, values[i], va_arg(out, int32_t *)) == napi_ok;
    else if (shape[i] == 'b') good = span_of(env, values[i], va_arg(out, struct span *));
    else if (!(good = napi_typeof(env, values[i], &type) == napi_ok)) break;
    else if (shape[i] == 'f') *va_arg(out, napi_value *) = values[i], good = type == napi_function;
    else if (type == napi_undefined) *va_arg(out, struct span *) = (struct span){NULL, 0};
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

/* Ends the process at once, even if other threads are blocked. */
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

/* The socket receives only packets that the program (an array of struct sock_filter) accepts. */
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
  int free_one = 0; /* There is a free one: both arrays have the same size. */
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

/* A reply that fits goes into the caller's bytes; making new ones takes as long as a small commit. */
static napi_value take_result(napi_env env, struct job *job, struct span out) {
  bool replied = job->reply && job->status >= 0;
  bool fits = replied && out.data && (size_t)job->status <= out.length;
  if (fits) memcpy(out.data, job->reply, job->status);
  napi_value result =
      replied && !fits ? bytes_value(env, job->reply, job->status) : number(env, job->status);
  job_free(job);
  return result;
}

static napi_value js_submit(napi_env env, napi_callback_info info) {
  struct addon *addon = addon_of(env);
  int32_t operation, fd, split, token, micros;
  struct span bytes, out;
  if (!arguments(env, info, "iibiiio", &operation, &fd, &bytes, &split, &token, &micros, &out))
    return number(env, -EINVAL);
  if (operation < 0 || operation >= OPERATIONS) return number(env, -EINVAL);
  struct job *job = malloc(sizeof *job + bytes.length);
  if (!job) return number(env, -ENOMEM);
  *job = (struct job){.operation = operation, .fd = fd, .split = split, .token = token};
  job->length = bytes.length;
  if (bytes.length) memcpy(job->bytes, bytes.data, bytes.length);
  if (threads_submit(addon->threads, job, micros)) return take_result(env, job, out);
  /* A pending operation keeps the process alive until its result is delivered. */
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
  /* As with any callback, an exception is uncaught; the rest of the list is still delivered. */
  if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
}

static void deliver_result(napi_env env, struct addon *addon, struct job *job) {
  napi_value values[2] = {number(env, job->token)};
  values[1] = take_result(env, job, (struct span){NULL, 0}); /* frees the job */
  if (--addon->outstanding == 0) napi_unref_threadsafe_function(env, addon->doorbell);
  call(env, addon->on_result, 2, values);
}

/* Drops an event whose watch has ended. */
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

/* Handles the doorbell. It takes only what is queued now, so that a flood cannot block the event loop. */
static void answer(napi_env env, napi_value function, void *context, void *data) {
  struct addon *addon = context;
  napi_handle_scope scope;
  struct job *job, *next_job;
  struct event *event, *next_event;
  (void)function, (void)data;
  if (!env) return; /* The environment is shutting down, and its threads have stopped. */
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

/* Clean-up hooks run last to first. This one is added after the doorbell is created, so it runs while the
 * doorbell still exists. */
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
