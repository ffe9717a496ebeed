/*
 * splitmix64 spreads a seed (even 0, 1, 2, ...) over the 256 bits of state
 * that xoshiro256** wants to start from; see random.h.
 */
#include "tests/sim/random.h"

#include <math.h>

static uint64_t splitmix(uint64_t *state)
{
    *state += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static uint64_t rotate_left(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

uint64_t toc_random_mix(uint64_t seed, uint64_t number)
{
    uint64_t state = seed;
    state = splitmix(&state) ^ number;
    return splitmix(&state);
}

void toc_random_seed(struct toc_random *random, uint64_t seed, uint64_t stream)
{
    uint64_t state = toc_random_mix(seed, stream);
    for (int i = 0; i < 4; i++)
        random->s[i] = splitmix(&state);
    random->spare = 0.0;
    random->has_spare = false;
}

uint64_t toc_random_next(struct toc_random *random)
{
    uint64_t *s = random->s;
    const uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    const uint64_t shifted = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate_left(s[3], 45);
    return result;
}

double toc_random_uniform(struct toc_random *random)
{
    return (double)(toc_random_next(random) >> 11) * 0x1.0p-53;
}

double toc_random_range(struct toc_random *random, double low, double high)
{
    return low + (high - low) * toc_random_uniform(random);
}

double toc_random_log_range(struct toc_random *random, double low, double high)
{
    return low * pow(high / low, toc_random_uniform(random));
}

double toc_random_normal(struct toc_random *random)
{
    if (random->has_spare) {
        random->has_spare = false;
        return random->spare;
    }
    double u, v, q;
    do {
        u = 2.0 * toc_random_uniform(random) - 1.0;
        v = 2.0 * toc_random_uniform(random) - 1.0;
        q = u * u + v * v;
    } while (q >= 1.0 || q == 0.0);
    const double scale = sqrt(-2.0 * log(q) / q);
    random->spare = v * scale;
    random->has_spare = true;
    return u * scale;
}
