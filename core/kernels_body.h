/*
 * The one source of all instruction sets: included once by each of
 * core/kernels_*.c, which defines `vector`, LANES, the v_ functions and the
 * number of rows a tile of so many vectors may have before its sums leave
 * the registers.
 *
 * A tile keeps rows x vectors of sums in registers; every step of the sum
 * loads the vectors of one row of weights and one float of each row of input.
 * The loops over rows and vectors have constant bounds once inlined and are
 * unrolled whole; nothing else would keep the sums in registers.
 */
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

struct tile {
    const float *in, *weight, *init;
    float *out;
    uint32_t tail; /* columns of the last vector, 0: all */
};

INLINE void tile_sum(const struct toc_product *p, const struct tile *t, const int rows, const int vectors,
                     vector (*sum)[ROW_VECTORS])
{
    const ptrdiff_t step = p->in_step, width = (ptrdiff_t)((p->columns + 15u) / 16u * 16u);
    const float *weight = t->weight, *run = t->in;

    for (uint32_t s = 0; s < p->segments; s++, run += p->segment_step)
        for (const float *in = run, *end = run + p->segment; in < end; in++, weight += width) {
            vector w[ROW_VECTORS];

            UNROLL for (int v = 0; v < vectors; v++) w[v] = v_load(weight + v * LANES);
            UNROLL for (int r = 0; r < rows; r++)
            {
                vector x = v_all(in[r * step]);

                UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = v_fma(x, w[v], sum[r][v]);
            }
        }
}

INLINE void tile_run(const struct toc_product *p, const struct tile *t, const int rows, const int vectors)
{
    vector sum[TILE_2 > TILE_1 ? TILE_2 : TILE_1][ROW_VECTORS];
    const vector slope = v_all(p->slope);

    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++) sum[r][v] =
        v_load(t->init + r * p->init_step + v * LANES);
    tile_sum(p, t, rows, vectors, sum);
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < vectors; v++)
    {
        vector x = v_finite(v_leak(sum[r][v], slope));
        float *out = t->out + r * p->out_step + v * LANES;

        if (v == vectors - 1 && t->tail > 0)
            v_store_part(out, x, t->tail);
        else
            v_store(out, x);
    }
}

typedef void tile_function(const struct toc_product *p, const struct tile *t);

/* clang-format off */
#define TILE(rows, vectors)                                                                                            \
    static void tile_##rows##_##vectors(const struct toc_product *p, const struct tile *t)                             \
    {                                                                                                                  \
        tile_run(p, t, rows, vectors);                                                                                 \
    }
#define TILES_TO_2(v) TILE(1, v) TILE(2, v)
#define TILES_TO_3(v) TILES_TO_2(v) TILE(3, v)
#define TILES_TO_4(v) TILES_TO_3(v) TILE(4, v)
#define TILES_TO_6(v) TILES_TO_4(v) TILE(5, v) TILE(6, v)
#define TILES_TO_8(v) TILES_TO_6(v) TILE(7, v) TILE(8, v)
#define TILES_TO_9(v) TILES_TO_8(v) TILE(9, v)
#define TILES_TO_12(v) TILES_TO_9(v) TILE(10, v) TILE(11, v) TILE(12, v)
#define TILES_TO_14(v) TILES_TO_12(v) TILE(13, v) TILE(14, v)
#define NAMES_TO_2(v) tile_1_##v, tile_2_##v
#define NAMES_TO_3(v) NAMES_TO_2(v), tile_3_##v
#define NAMES_TO_4(v) NAMES_TO_3(v), tile_4_##v
#define NAMES_TO_6(v) NAMES_TO_4(v), tile_5_##v, tile_6_##v
#define NAMES_TO_8(v) NAMES_TO_6(v), tile_7_##v, tile_8_##v
#define NAMES_TO_9(v) NAMES_TO_8(v), tile_9_##v
#define NAMES_TO_12(v) NAMES_TO_9(v), tile_10_##v, tile_11_##v, tile_12_##v
#define NAMES_TO_14(v) NAMES_TO_12(v), tile_13_##v, tile_14_##v
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define TILES(n, v) JOIN(TILES_TO_, n)(v)
#define NAMES(n, v) JOIN(NAMES_TO_, n)(v)

TILES(TILE_1, 1)
TILES(TILE_2, 2)
TILES(TILE_3, 3)
TILES(TILE_4, 4)

#define TILE_MAX 14
static const uint32_t tile_rows[] = {0, TILE_1, TILE_2, TILE_3, TILE_4};
static tile_function *const tiles[5][TILE_MAX] = {
    {NULL}, {NAMES(TILE_1, 1)}, {NAMES(TILE_2, 2)}, {NAMES(TILE_3, 3)}, {NAMES(TILE_4, 4)}};

/* One row: as many sums side by side as registers hold, for a chain of multiply-adds waits for itself. */
TILE(1, 5) TILE(1, 6) TILE(1, 7) TILE(1, 8)
#if ROW_VECTORS > 8
TILE(1, 9) TILE(1, 10) TILE(1, 11) TILE(1, 12) TILE(1, 13)
#endif
#if ROW_VECTORS > 13
TILE(1, 14)
#endif

static tile_function *const row_tiles[] = {
    NULL, tile_1_1, tile_1_2, tile_1_3, tile_1_4, tile_1_5, tile_1_6, tile_1_7, tile_1_8,
#if ROW_VECTORS > 8
    tile_1_9, tile_1_10, tile_1_11, tile_1_12, tile_1_13,
#endif
#if ROW_VECTORS > 13
    tile_1_14,
#endif
};
/* clang-format on */

/* n things in parts of at most `most`: the size of the first of equal parts. */
static uint32_t even_part(uint32_t n, uint32_t most)
{
    uint32_t parts = (n + most - 1) / most;

    return (n + parts - 1) / parts;
}

/* Vectors side by side: two when there are rows enough to fill the registers, since they ask least of the caches; more,
 * for more sums at once, when there are few rows. */
static uint32_t tile_vectors(uint32_t rows, uint32_t vectors)
{
    if (rows == 1)
        return even_part(vectors, ROW_VECTORS);
    if (rows <= TILE_4)
        return even_part(vectors, 4);
    return vectors == 3 || vectors == 5 ? 3 : vectors < 2 ? vectors : 2;
}

static void multiply_columns(const struct toc_product *p, const struct tile *first, uint32_t vectors)
{
    struct tile t = *first;

    for (uint32_t done = 0, rows; done < p->rows; done += rows) {
        rows = even_part(p->rows - done, p->rows == 1 ? 1 : tile_rows[vectors]);
        (p->rows == 1 ? row_tiles[vectors] : tiles[vectors][rows - 1])(p, &t);
        t.in += (ptrdiff_t)rows * p->in_step;
        t.init += (ptrdiff_t)rows * p->init_step;
        t.out += (ptrdiff_t)rows * p->out_step;
    }
}

/* Few columns: a vector holds two terms of each column side by side, and one load of two neighbouring floats of a row
 * serves both. The bias comes last. */
#if PAIRED
INLINE void pair_run(const struct toc_product *p, const struct tile *t, const int rows)
{
    vector sum[TILE_PAIRED + 1];
    const vector slope = v_all(p->slope), init = v_load_twice(t->init);
    const ptrdiff_t step = p->in_step;
    const float *weight = t->weight, *run = t->in;

    UNROLL for (int r = 0; r <= rows; r++) sum[r] = v_all(0.0f);
    for (uint32_t s = 0; s < p->segments; s++, run += p->segment_step)
        for (const float *in = run, *end = run + p->segment; in < end; in += 2, weight += LANES) {
            vector w = v_load(weight);

            UNROLL for (int r = 0; r < rows; r++) sum[r] = v_fma(v_all_pairs(in + r * step), w, sum[r]);
        }
    UNROLL for (int r = 0; r < rows; r += 2)
    {
        float *out = t->out + r * p->out_step;
        vector x = v_finite(v_leak(v_add(v_add_pairs(sum[r], sum[r + 1]), init), slope));

        if (r + 1 < rows)
            v_store_halves(out, out + p->out_step, x, p->columns);
        else
            v_store_part(out, x, p->columns);
    }
}

/* clang-format off */
#define PAIR(rows)                                                                                                     \
    static void pair_##rows(const struct toc_product *p, const struct tile *t)                                         \
    {                                                                                                                  \
        pair_run(p, t, rows);                                                                                          \
    }
PAIR(1) PAIR(2) PAIR(3) PAIR(4) PAIR(5) PAIR(6) PAIR(7) PAIR(8) PAIR(9) PAIR(10) PAIR(11) PAIR(12)
static tile_function *const pair_tiles[] = {pair_1, pair_2, pair_3, pair_4,  pair_5,  pair_6,
                                            pair_7, pair_8, pair_9, pair_10, pair_11, pair_12};
/* clang-format on */

static void multiply_pairs(const struct toc_product *p)
{
    struct tile t = {.in = p->in, .weight = p->weight, .init = p->init, .out = p->out};

    for (uint32_t done = 0, rows; done < p->rows; done += rows) {
        rows = even_part(p->rows - done, TILE_PAIRED);
        pair_tiles[rows - 1](p, &t);
        t.in += (ptrdiff_t)rows * p->in_step;
        t.out += (ptrdiff_t)rows * p->out_step;
    }
}
#endif

static void multiply(const struct toc_product *p)
{
    uint32_t left = (p->columns + LANES - 1) / LANES, vectors;
    struct tile t = {.in = p->in, .weight = p->weight, .init = p->init, .out = p->out};

#if PAIRED
    if (p->paired) {
        multiply_pairs(p);
        return;
    }
#endif
    for (; left > 0 && p->rows > 0; left -= vectors) {
        vectors = tile_vectors(p->rows, left);
        t.tail = vectors == left ? p->columns % LANES : 0;
        multiply_columns(p, &t, vectors);
        t.weight += vectors * LANES;
        t.init += vectors * LANES;
        t.out += vectors * LANES;
    }
}

/* ---- functions ---- */

/* exp(x) = 2^n exp(r), |r| <= ln 2 / 2: the polynomial and the two-part ln 2 of Cephes' expf (Moshier 1989). The sum
 * with 1.5 * 2^23 rounds to n and leaves n in the low bits. */
INLINE vector v_exp(vector x)
{
    const vector magic = v_all(12582912.0f);
    vector t, n, r, p;

    x = v_min(v_max(x, v_all(-87.0f)), v_all(87.0f));
    t = v_fma(x, v_all(1.44269504088896341f), magic);
    n = v_sub(t, magic);
    r = v_fnma(n, v_all(0.693359375f), x);
    r = v_fnma(n, v_all(-2.12194440e-4f), r);
    p = v_fma(v_all(1.9875691500e-4f), r, v_all(1.3981999507e-3f));
    p = v_fma(p, r, v_all(8.3334519073e-3f));
    p = v_fma(p, r, v_all(4.1665795894e-2f));
    p = v_fma(p, r, v_all(1.6666665459e-1f));
    p = v_fma(p, r, v_all(5.0000001201e-1f));
    p = v_fma(v_mul(p, r), r, v_add(r, v_all(1.0f)));
    return v_scale(p, t);
}

/*
 * The same for gates, in two thirds of the time: their sigmoid or tanh needs e^x to an absolute error only, which ln 2
 * in one part (relative error 4e-7 at +-20) and a polynomial of one term less (1e-7; fitted for the least largest
 * error) leave below 2e-7. Beyond +-20 a float sigmoid is 0 or 1 to 2e-9, and products of two of these stay finite.
 */
INLINE vector v_exp_gate(vector x)
{
    const vector magic = v_all(12582912.0f);
    vector t, r, p;

    x = v_min(v_max(x, v_all(-20.0f)), v_all(20.0f));
    t = v_fma(x, v_all(1.44269504088896341f), magic);
    r = v_fnma(v_sub(t, magic), v_all(0.69314718056f), x);
    p = v_fma(v_all(8.290314115583897e-3f), r, v_all(4.189793020486832e-2f));
    p = v_fma(p, r, v_all(1.666763573884964e-1f));
    p = v_fma(p, r, v_all(4.999915063381195e-1f));
    p = v_fma(p, r, v_all(9.999997019767761e-1f));
    p = v_fma(p, r, v_all(1.0f));
    return v_scale(p, t);
}

INLINE vector v_sigmoid(vector x)
{
    return v_div(v_all(1.0f), v_add(v_all(1.0f), v_exp(v_sub(v_all(0.0f), x))));
}

INLINE vector v_tanh(vector x)
{
    return v_sub(v_all(1.0f), v_div(v_all(2.0f), v_add(v_all(1.0f), v_exp(v_add(x, x)))));
}

INLINE vector v_same(vector x)
{
    return x;
}

#define MAP(name, function, checked)                                                                                   \
    static void name(float *values, size_t n)                                                                          \
    {                                                                                                                  \
        for (; n >= LANES; values += LANES, n -= LANES)                                                                \
            v_store(values, function(checked(v_load(values))));                                                        \
        if (n > 0) {                                                                                                   \
            float last[LANES] = {0};                                                                                   \
                                                                                                                       \
            memcpy(last, values, n * sizeof(*last));                                                                   \
            v_store_part(values, function(checked(v_load(last))), (uint32_t)n);                                        \
        }                                                                                                              \
    }

MAP(exponential, v_exp, v_same) /* has its own limits */
MAP(sigmoid, v_sigmoid, v_finite)
MAP(hyperbolic_tangent, v_tanh, v_finite)

/*
 * With A = e^-f, B = e^-i, G = e^2g:  c' = c / (1 + A) + (G - 1) / ((1 + B)(G + 1)), brought to one fraction; and
 * h' = sigmoid(o) tanh(c') = (C - 1) / ((1 + O)(C + 1)): two reciprocals where five functions ask for five. The largest
 * product is e^20 cubed times a cell state: finite.
 */
static void lstm_cell(uint32_t units, const float *gates, float *hidden, float *cell)
{
    const vector one = v_all(1.0f), minus = v_all(-1.0f), two = v_all(2.0f);

    for (uint32_t u = 0; u < units; u += LANES) {
        vector b = v_add(one, v_exp_gate(v_mul(minus, v_finite(v_load(gates + u)))));
        vector a = v_add(one, v_exp_gate(v_mul(minus, v_finite(v_load(gates + units + u)))));
        vector g = v_exp_gate(v_mul(two, v_finite(v_load(gates + 2 * units + u))));
        vector o = v_add(one, v_exp_gate(v_mul(minus, v_finite(v_load(gates + 3 * units + u)))));
        vector scale = v_mul(b, v_add(g, one)), sum = v_fma(v_load(cell + u), scale, v_mul(v_sub(g, one), a));
        vector c = v_mul(sum, v_reciprocal(v_mul(a, scale))), e = v_exp_gate(v_mul(two, c));

        v_store(cell + u, c);
        v_store(hidden + u, v_mul(v_sub(e, one), v_reciprocal(v_mul(o, v_add(e, one)))));
    }
}

static void gru_cell(uint32_t units, const float *gates, float *hidden)
{
    for (uint32_t u = 0; u < units; u += LANES) {
        vector reset = v_sigmoid(v_finite(v_load(gates + u))), keep = v_sigmoid(v_finite(v_load(gates + units + u)));
        vector in = v_finite(v_load(gates + 2 * units + u)), back = v_finite(v_load(gates + 3 * units + u));
        vector fresh = v_tanh(v_finite(v_fma(reset, back, in))), h = v_load(hidden + u);

        v_store(hidden + u, v_fma(keep, v_sub(h, fresh), fresh));
    }
}

const struct toc_kernels SET = {
    .name = SET_NAME,
    .paired_columns = PAIRED,
    .multiply = multiply,
    .exponential = exponential,
    .sigmoid = sigmoid,
    .hyperbolic_tangent = hyperbolic_tangent,
    .lstm_cell = lstm_cell,
    .gru_cell = gru_cell,
};
