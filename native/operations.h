/* The interface between the writer thread (threads.c) and the operations it runs (operations.c). */
#ifndef VIPWARD_OPERATIONS_H
#define VIPWARD_OPERATIONS_H
#include "threads.h"

/* A buffer for replies, kept from one job to the next. */
struct scratch {
  uint8_t *data;
  size_t length;
};

/* Stores the result, and the reply if there is one, in the job. */
void operation_run(struct job *job, struct scratch *scratch);
#endif
