/*
 * A map of letters for a terminal: marks at places and one circle, seen
 * from straight above, north up. A letter is taken as twice as high as wide.
 */
#ifndef TOC_SIM_STORY_MAP_H
#define TOC_SIM_STORY_MAP_H

#include <stddef.h>

#define TOC_STORY_MAP_COLUMNS 60
#define TOC_STORY_MAP_ROWS 24

struct toc_story_mark {
    double latitude_deg, longitude_deg;
    char sign;
};

struct toc_story_map {
    char rows[TOC_STORY_MAP_ROWS][TOC_STORY_MAP_COLUMNS + 1]; /* north first; each a string */
    double km_per_column;                                     /* a row is twice that */
};

/**
 * Draw. Every mark is on the map; where several share a cell the last one shows. The circle lies under all marks and
 * may run out of the picture.
 *
 * @param marks      n of them, n >= 1; places within some hundred kilometres of each other
 * @param circle_km  about marks[0]; 0: no circle
 */
void toc_story_map_draw(const struct toc_story_mark *marks, size_t n, double circle_km, char circle_sign,
                        struct toc_story_map *ret_map);

#endif
