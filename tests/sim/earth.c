/* See earth.h. */
#include "tests/sim/earth.h"

int toc_earth_create(struct toc_travel **ret_travel)
{
    static const struct toc_layer layers[] = {
        {0.0, 5.5, 3.18},
        {5.5, 6.3, 3.64},
        {16.0, 6.7, 3.87},
        {32.0, 7.8, 4.50},
    };
    return toc_travel_create(layers, sizeof layers / sizeof layers[0], 1000.0, 160.0, ret_travel);
}
