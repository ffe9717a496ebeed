/*
 * Who is next: members with a deadline, earliest first. A station's data
 * are due so long after they arrived; those of a station near an earthquake
 * are due at once, the others a little later. Since deadlines do not move
 * while time does, everybody's turn comes: urgent ones go first by a fixed
 * lead, they never shut the others out.
 */
#ifndef TOC_CORE_DUE_H
#define TOC_CORE_DUE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/nstime.h"

struct toc_due;

/** Members are 0..n-1, n below 2^31. @return 0 or -ENOMEM. Nothing is allocated after. */
int toc_due_create(uint32_t n, struct toc_due **ret_due);
void toc_due_destroy(struct toc_due *due);

/** Wait until `deadline`. Who waits already keeps the earlier of the two, and its place among equals. O(log n) */
void toc_due_put(struct toc_due *due, uint32_t member, toc_ns deadline);

/** The member with the earliest deadline, among equals the one that was put first. @return false: nobody waits */
bool toc_due_take(struct toc_due *due, uint32_t *ret_member);

/** How many wait. */
uint32_t toc_due_count(const struct toc_due *due);

#endif
