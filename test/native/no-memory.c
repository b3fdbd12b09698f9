/* Preloaded: the reader thread is refused memory a few times, though not for its buffer, which is large. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>

enum { REFUSALS = 5, BUFFER_BYTES = 256 << 10 };

static _Atomic int refused;

void *malloc(size_t length) {
  static void *(*real)(size_t);
  char name[16] = "";
  if (!real) real = dlsym(RTLD_NEXT, "malloc");
  prctl(PR_GET_NAME, name);
  if (length < BUFFER_BYTES && !strcmp(name, "vipward-reader") && refused < REFUSALS) {
    refused++;
    return NULL;
  }
  return real(length);
}
