/* Between the writer thread (threads.c) and what it runs (operations.c). */
#ifndef VIPWARD_OPERATIONS_H
#define VIPWARD_OPERATIONS_H
#include "threads.h"

/* Room for replies, kept from one job to the next. */
struct scratch {
  uint8_t *data;
  size_t length;
};

/* Leaves the result, and the reply where there is one, in the job. */
void operation_run(struct job *job, struct scratch *scratch);
#endif
