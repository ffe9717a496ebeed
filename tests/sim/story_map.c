/* See story_map.h: places become kilometres east and north of the first mark, then cells. */
#include "tests/sim/story_map.h"

#include <math.h>
#include <string.h>

#include "core/geo.h"

#define CIRCLE_STEPS 360
#define LEAST_KM_PER_COLUMN 0.1

struct view {
    double x_km, y_km; /* of the middle, from the first mark */
    double km_per_column;
};

static void offset(const struct toc_story_mark *from, const struct toc_story_mark *to, double *ret_x, double *ret_y)
{
    const double km = toc_geo_distance_km(from->latitude_deg, from->longitude_deg, to->latitude_deg, to->longitude_deg);
    const double azimuth = M_PI / 180.0 * toc_geo_azimuth_deg(from->latitude_deg, from->longitude_deg,
                                                              to->latitude_deg, to->longitude_deg);
    *ret_x = km * sin(azimuth);
    *ret_y = km * cos(azimuth);
}

static struct view look(const struct toc_story_mark *marks, size_t n)
{
    double west = 0.0, east = 0.0, south = 0.0, north = 0.0, x, y;
    for (size_t i = 1; i < n; i++) {
        offset(&marks[0], &marks[i], &x, &y);
        west = fmin(west, x);
        east = fmax(east, x);
        south = fmin(south, y);
        north = fmax(north, y);
    }
    const double across = (east - west) / (TOC_STORY_MAP_COLUMNS - 1);
    const double down = (north - south) / (2.0 * (TOC_STORY_MAP_ROWS - 1));
    return (struct view){
        .x_km = (west + east) / 2.0,
        .y_km = (south + north) / 2.0,
        .km_per_column = fmax(LEAST_KM_PER_COLUMN, fmax(across, down)),
    };
}

static void put(struct toc_story_map *map, const struct view *view, double x, double y, char sign)
{
    const double column = (TOC_STORY_MAP_COLUMNS - 1) / 2.0 + (x - view->x_km) / view->km_per_column;
    const double row = (TOC_STORY_MAP_ROWS - 1) / 2.0 - (y - view->y_km) / (2.0 * view->km_per_column);
    const long c = lround(column), r = lround(row);
    if (c >= 0 && c < TOC_STORY_MAP_COLUMNS && r >= 0 && r < TOC_STORY_MAP_ROWS)
        map->rows[r][c] = sign;
}

void toc_story_map_draw(const struct toc_story_mark *marks, size_t n, double circle_km, char circle_sign,
                        struct toc_story_map *ret_map)
{
    const struct view view = look(marks, n);
    double x, y;
    memset(ret_map->rows, ' ', sizeof ret_map->rows);
    for (size_t r = 0; r < TOC_STORY_MAP_ROWS; r++)
        ret_map->rows[r][TOC_STORY_MAP_COLUMNS] = '\0';
    for (int i = 0; circle_km > 0.0 && i < CIRCLE_STEPS; i++) {
        const double angle = 2.0 * M_PI * i / CIRCLE_STEPS;
        put(ret_map, &view, circle_km * sin(angle), circle_km * cos(angle), circle_sign);
    }
    for (size_t i = 0; i < n; i++) {
        offset(&marks[0], &marks[i], &x, &y);
        put(ret_map, &view, x, y, marks[i].sign);
    }
    ret_map->km_per_column = view.km_per_column;
}
