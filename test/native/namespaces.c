/* For tests only: moves the calling thread between namespaces. The product never does; the agent lives in
 * one. */
#define _GNU_SOURCE
#include <errno.h>
#include <node_api.h>
#include <sched.h>

static napi_value number(napi_env env, int value) {
  napi_value result = NULL;
  napi_create_int32(env, value, &result);
  return result;
}

static napi_value js_unshare(napi_env env, napi_callback_info info) {
  napi_value value;
  size_t count = 1;
  int32_t flags;
  napi_get_cb_info(env, info, &count, &value, NULL, NULL);
  if (napi_get_value_int32(env, value, &flags) != napi_ok) return number(env, -EINVAL);
  return number(env, unshare(flags) ? -errno : 0);
}

static napi_value js_setns(napi_env env, napi_callback_info info) {
  napi_value values[2];
  size_t count = 2;
  int32_t fd, flags;
  napi_get_cb_info(env, info, &count, values, NULL, NULL);
  if (napi_get_value_int32(env, values[0], &fd) != napi_ok) return number(env, -EINVAL);
  if (napi_get_value_int32(env, values[1], &flags) != napi_ok) return number(env, -EINVAL);
  return number(env, setns(fd, flags) ? -errno : 0);
}

NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, "unshare", NAPI_AUTO_LENGTH, js_unshare, NULL, &function);
  napi_set_named_property(env, exports, "unshare", function);
  napi_create_function(env, "setns", NAPI_AUTO_LENGTH, js_setns, NULL, &function);
  napi_set_named_property(env, exports, "setns", function);
  return exports;
}
