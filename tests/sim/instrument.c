/* See instrument.h. Gains are those of common field equipment, in order of magnitude. */
#include "tests/sim/instrument.h"

#include <math.h>

void toc_instrument_draw(struct toc_random *random, bool acceleration, struct toc_instrument *ret_instrument)
{
    struct toc_instrument *instrument = ret_instrument;
    instrument->acceleration = acceleration;
    instrument->limit = TOC_COUNTS_24BIT;
    instrument->self_noise = 0.0;
    if (!acceleration) {
        instrument->gain = toc_random_log_range(random, 1e8, 1.5e9);
    } else if (toc_random_uniform(random) < 0.7) { /* force balance, 24 bits, 2 to 4 g */
        instrument->gain = TOC_COUNTS_24BIT / (9.81 * toc_random_range(random, 2.0, 4.0));
        instrument->self_noise = toc_random_log_range(random, 3e-8, 1e-6);
    } else { /* small and cheap, 16 bits */
        instrument->limit = 32767;
        instrument->gain = 32767.0 / (9.81 * toc_random_range(random, 2.0, 4.0));
        instrument->self_noise = toc_random_log_range(random, 5e-5, 5e-4);
    }
    instrument->offset_counts = toc_random_normal(random) * instrument->limit * 2e-5;
}

void toc_instrument_digitise(const struct toc_instrument *instrument, double rate_hz, struct toc_random *random,
                             const float *velocity, size_t n, int32_t *ret_counts)
{
    const double hiss = instrument->self_noise * sqrt(rate_hz / 2.0);
    const double limit = instrument->limit;

    for (size_t k = 0; k < n; k++) {
        double motion = velocity[k];
        if (instrument->acceleration) {
            const size_t before = k > 0 ? k - 1 : 0, after = k > 0 ? k : (n > 1 ? 1 : 0);
            motion = ((double)velocity[after] - velocity[before]) * rate_hz + hiss * toc_random_normal(random);
        }
        const double counts = motion * instrument->gain + instrument->offset_counts;
        ret_counts[k] = (int32_t)lrint(fmin(fmax(counts, -limit), limit));
    }
}
