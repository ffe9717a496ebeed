/*
 * Seeded random numbers for the simulator: the same seed gives the same
 * numbers on every machine, which libc's rand() does not promise. Not for
 * keys. Streams of one seed are independent, so that each trace can be made
 * alone, in any order, and still be the same.
 */
#ifndef TOC_SIM_RANDOM_H
#define TOC_SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

/** xoshiro256** (Blackman and Vigna 2018), state filled by splitmix64. A plain value. */
struct toc_random {
    uint64_t s[4];
    double spare; /* second half of a pair of normals */
    bool has_spare;
};

void toc_random_seed(struct toc_random *random, uint64_t seed, uint64_t stream);
uint64_t toc_random_next(struct toc_random *random);

/** A seed made of a seed and a number: for trees of streams. */
uint64_t toc_random_mix(uint64_t seed, uint64_t number);

/** Uniform in [0, 1), in [low, high), log-uniform in [low, high) (both > 0). */
double toc_random_uniform(struct toc_random *random);
double toc_random_range(struct toc_random *random, double low, double high);
double toc_random_log_range(struct toc_random *random, double low, double high);

/** Standard normal (polar method of Marsaglia). */
double toc_random_normal(struct toc_random *random);

#endif
