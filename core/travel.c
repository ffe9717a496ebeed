/*
 * Travel-time tables. Two families of first arrivals exist under flat
 * constant-velocity layers: the direct ray from the source up, and head
 * waves along a deeper, faster top. The direct ray is found by Newton steps
 * kept inside a bracket, in the tangent of its angle in the fastest layer:
 * there distance is smooth, increasing and convex, while in the ray
 * parameter it runs off to infinity.
 */
#include "core/travel.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define DISTANCE_CELLS_MAX 1000
#define DEPTH_CELLS_MAX 200
#define STEP_MIN_KM 1.0
#define SHOOT_STEPS 60

/* Layers of one phase, from the surface down; thickness of the last is infinite. */
struct column {
    size_t n;
    double top_km[TOC_LAYERS_MAX];
    double v_kms[TOC_LAYERS_MAX];
};

struct toc_travel {
    double max_distance_km, max_depth_km;
    double step_x_km, step_z_km;
    double per_step_x, per_step_z; /* 1 / step */
    size_t nx, nz;            /* nodes: cells + 1 */
    double surface_kms[2];    /* by enum toc_phase */
    float *table_s[2];        /* owned; [iz * nx + ix] */
};

/* Part of layer i that lies between two depths. */
static double thickness_km(const struct column *c, size_t i, double upper_km, double lower_km)
{
    double bottom = i + 1 < c->n ? c->top_km[i + 1] : INFINITY;
    double h = fmin(bottom, lower_km) - fmax(c->top_km[i], upper_km);

    return h > 0.0 ? h : 0.0;
}

/* Horizontal distance of the direct ray whose tangent in the fastest layer is u, and its derivative. */
static double shoot_km(const struct column *c, double depth_km, double v_max, double u, double *ret_slope)
{
    double sine2 = u * u / (1.0 + u * u), x = 0.0, slope = 0.0;

    for (size_t i = 0; i < c->n; i++) {
        double h = thickness_km(c, i, 0.0, depth_km), ratio = c->v_kms[i] / v_max;
        double s2, tangent;

        if (h <= 0.0)
            continue;
        s2 = sine2 * ratio * ratio;
        if (ratio >= 1.0) { /* the fastest itself: 1 - s2 would cancel for flat rays */
            x += h * u;
            slope += h;
            continue;
        }
        tangent = sqrt(s2 / (1.0 - s2));
        x += h * tangent;
        /* d tangent / du = ratio / ((1 - s2)^1.5 (1 + u^2)^1.5) */
        slope += h * ratio / pow((1.0 - s2) * (1.0 + u * u), 1.5);
    }
    *ret_slope = slope;
    return x;
}

/* Time along the direct ray of tangent u. */
static double ray_time_s(const struct column *c, double depth_km, double v_max, double u)
{
    double sine2 = u * u / (1.0 + u * u), t = 0.0;

    for (size_t i = 0; i < c->n; i++) {
        double h = thickness_km(c, i, 0.0, depth_km), ratio = c->v_kms[i] / v_max;

        if (h <= 0.0)
            continue;
        if (ratio >= 1.0)
            t += h * sqrt(1.0 + u * u) / c->v_kms[i];
        else
            t += h / (c->v_kms[i] * sqrt(1.0 - sine2 * ratio * ratio));
    }
    return t;
}

/* Fastest velocity between the surface and a depth, and how thick that layer is there. */
static double fastest_kms(const struct column *c, double depth_km, double *ret_thickness_km)
{
    double v = 0.0, thick = 0.0;

    for (size_t i = 0; i < c->n; i++) {
        double h = thickness_km(c, i, 0.0, depth_km);

        if (h > 0.0 && c->v_kms[i] > v) {
            v = c->v_kms[i];
            thick = h;
        }
    }
    *ret_thickness_km = thick;
    return v;
}

static double direct_s(const struct column *c, double distance_km, double depth_km)
{
    double thick, v_max = fastest_kms(c, depth_km, &thick);
    double low = 0.0, high, u;

    if (v_max <= 0.0) /* a source at the surface */
        return distance_km / c->v_kms[0];
    high = distance_km / thick; /* that layer alone would already reach as far */
    u = fmin(high, distance_km / depth_km);
    for (int step = 0; step < SHOOT_STEPS && high - low > 1e-12 * (1.0 + high); step++) {
        double slope, miss = shoot_km(c, depth_km, v_max, u, &slope) - distance_km;

        if (miss > 0.0)
            high = u;
        else
            low = u;
        if (fabs(miss) < 1e-9)
            break;
        u -= miss / slope;
        if (!(u > low && u < high))
            u = 0.5 * (low + high);
    }
    return ray_time_s(c, depth_km, v_max, u);
}

/* Head wave along the top of layer k, INFINITY where there is none. */
static double head_s(const struct column *c, size_t k, double distance_km, double depth_km)
{
    double top = c->top_km[k], v = c->v_kms[k];
    double time = 0.0, critical_km = 0.0;

    if (depth_km > top)
        return INFINITY;
    for (size_t i = 0; i < k; i++) {
        double legs = thickness_km(c, i, 0.0, top) + thickness_km(c, i, depth_km, top);
        double ratio = c->v_kms[i] / v, cosine;

        if (ratio >= 1.0)
            return INFINITY;
        cosine = sqrt(1.0 - ratio * ratio);
        time += legs * cosine / c->v_kms[i];
        critical_km += legs * ratio / cosine;
    }
    return distance_km < critical_km ? INFINITY : time + distance_km / v;
}

static double first_s(const struct column *c, double distance_km, double depth_km)
{
    double best = direct_s(c, distance_km, depth_km);

    for (size_t k = 1; k < c->n; k++)
        best = fmin(best, head_s(c, k, distance_km, depth_km));
    return best;
}

static bool layer_valid(const struct toc_layer *layer)
{
    return isfinite(layer->top_km) && layer->vp_kms >= 0.1 && layer->vp_kms <= 15.0 && layer->vs_kms >= 0.1 &&
           layer->vs_kms < layer->vp_kms;
}

static bool layers_valid(const struct toc_layer *layers, size_t n)
{
    if (n < 1 || n > TOC_LAYERS_MAX || layers[0].top_km > 0.0)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!layer_valid(&layers[i]) || (i > 0 && layers[i].top_km <= layers[i - 1].top_km))
            return false;
    return true;
}

/* What lies above sea level is a matter of station elevation: the column starts at zero. */
static void column_init(struct column *c, const struct toc_layer *layers, size_t n, enum toc_phase phase)
{
    c->n = 0;
    for (size_t i = 0; i < n; i++) {
        if (i + 1 < n && layers[i + 1].top_km <= 0.0)
            continue;
        c->top_km[c->n] = fmax(0.0, layers[i].top_km);
        c->v_kms[c->n] = phase == TOC_PHASE_P ? layers[i].vp_kms : layers[i].vs_kms;
        c->n++;
    }
}

static size_t cells(double length_km, size_t most)
{
    double n = ceil(length_km / STEP_MIN_KM);

    return n > (double)most ? most : (size_t)n;
}

static int table_fill(struct toc_travel *travel, const struct column *c, enum toc_phase phase)
{
    float *table = calloc(travel->nx * travel->nz, sizeof(*table));

    if (!table)
        return -ENOMEM;
    travel->table_s[phase] = table;
    travel->surface_kms[phase] = c->v_kms[0];
    for (size_t iz = 0; iz < travel->nz; iz++)
        for (size_t ix = 0; ix < travel->nx; ix++)
            table[iz * travel->nx + ix] =
                (float)first_s(c, (double)ix * travel->step_x_km, (double)iz * travel->step_z_km);
    return 0;
}

int toc_travel_create(const struct toc_layer *layers, size_t n_layers, double max_distance_km, double max_depth_km,
                      struct toc_travel **ret_travel)
{
    struct toc_travel *travel;
    struct column column;
    int r = 0;

    if (!layers || !layers_valid(layers, n_layers) || !(max_distance_km >= 10.0 && max_distance_km <= 2000.0) ||
        !(max_depth_km >= 1.0 && max_depth_km <= 700.0))
        return -EINVAL;
    travel = calloc(1, sizeof(*travel));
    if (!travel)
        return -ENOMEM;
    travel->max_distance_km = max_distance_km;
    travel->max_depth_km = max_depth_km;
    travel->nx = cells(max_distance_km, DISTANCE_CELLS_MAX) + 1;
    travel->nz = cells(max_depth_km, DEPTH_CELLS_MAX) + 1;
    travel->step_x_km = max_distance_km / (double)(travel->nx - 1);
    travel->step_z_km = max_depth_km / (double)(travel->nz - 1);
    travel->per_step_x = 1.0 / travel->step_x_km;
    travel->per_step_z = 1.0 / travel->step_z_km;
    for (int phase = TOC_PHASE_P; r == 0 && phase <= TOC_PHASE_S; phase++) {
        column_init(&column, layers, n_layers, (enum toc_phase)phase);
        r = table_fill(travel, &column, (enum toc_phase)phase);
    }
    if (r < 0) {
        toc_travel_destroy(travel);
        return r;
    }
    *ret_travel = travel;
    return 0;
}

void toc_travel_destroy(struct toc_travel *travel)
{
    if (!travel)
        return;
    free(travel->table_s[TOC_PHASE_P]);
    free(travel->table_s[TOC_PHASE_S]);
    free(travel);
}

/* Cell and place within it of a coordinate already held inside the table. */
static size_t locate_cell(double value, double per_step, size_t nodes, double *ret_fraction)
{
    double scaled = value * per_step;
    size_t i = (size_t)scaled;

    if (i > nodes - 2)
        i = nodes - 2;
    *ret_fraction = scaled - (double)i;
    return i;
}

/* Not fmin(fmax()): those are calls, and this is the innermost loop of every grid search. NAN becomes 0 here. */
static double inside(double value, double most)
{
    return value > 0.0 ? (value < most ? value : most) : 0.0;
}

double toc_travel_s(const struct toc_travel *travel, enum toc_phase phase, double distance_km, double depth_km)
{
    double x = inside(distance_km, travel->max_distance_km), z = inside(depth_km, travel->max_depth_km);
    double fx, fz, t00, t10, t01, t11, t;
    size_t ix = locate_cell(x, travel->per_step_x, travel->nx, &fx);
    size_t iz = locate_cell(z, travel->per_step_z, travel->nz, &fz);
    const float *row = travel->table_s[phase] + iz * travel->nx + ix;

    t00 = (double)row[0];
    t10 = (double)row[1];
    t01 = (double)row[travel->nx];
    t11 = (double)row[travel->nx + 1];
    t = (1.0 - fz) * (t00 + fx * (t10 - t00)) + fz * (t01 + fx * (t11 - t01));
    if (!(distance_km <= x)) /* beyond the edge, or NAN, which stays NAN */
        t += (distance_km - x) * ((1.0 - fz) * (t10 - t00) + fz * (t11 - t01)) * travel->per_step_x;
    if (!(depth_km == z))
        t += (depth_km - z) * ((1.0 - fx) * (t01 - t00) + fx * (t11 - t10)) * travel->per_step_z;
    return t < 0.0 ? 0.0 : t;
}

double toc_travel_surface_kms(const struct toc_travel *travel, enum toc_phase phase)
{
    return travel->surface_kms[phase];
}

double toc_travel_max_distance_km(const struct toc_travel *travel)
{
    return travel->max_distance_km;
}

double toc_travel_max_depth_km(const struct toc_travel *travel)
{
    return travel->max_depth_km;
}
