/*
 * The operator's socket: one command line in, one answer out, closed. Only
 * root and the daemon's own user are heard. What commands mean is the owner's
 * business.
 */
#ifndef TOC_DAEMON_CONTROL_H
#define TOC_DAEMON_CONTROL_H

#include <stddef.h>

#include <uv.h>

struct toc_control;

/** Answer a command (one word). @return owned text (freed by the caller), NULL when there is no memory for one */
typedef char *toc_control_answer(void *user, const char *command);

/** @return 0 or -errno; ret_why in words */
int toc_control_create(uv_loop_t *loop, const char *path, toc_control_answer *answer, void *user,
                       struct toc_control **ret_control, char *ret_why, size_t why_size);

/** Close; memory goes when the loop has run the close callbacks. NULL is fine. */
void toc_control_destroy(struct toc_control *control);

#endif
