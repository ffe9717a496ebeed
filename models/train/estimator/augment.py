"""Batches for training: records drawn by weight, and what they might have looked like at another sensor, site or moment."""

import numpy as np

import cut

NO_GAIN, NO_HORIZONTALS = 0.15, 0.07
PREDICTED_SP_SIGMA = 0.04  # log10: the S-P of sets without S picks is a straight-ray guess
TILT_LOG = 0.1             # spectra of real ground differ from the simulator's: pv, pe, pd, pa, horizontals, each by itself
SITE_LOG = 0.1             # real records: sites differ by more than a few stations can show
# Real P falls faster with distance than simulated P (7,461 records of tests/sim as of 91ef113 against 85 of 20 quakes of the
# training part, Pv, Pe, Pd, Pa of the first 2 and 4 s): log10 of real over simulated, and the spread regions and sites add.
NEARER_KM = (15, 25, 40, 60, 120, 250)
NEARER_LOG = (0.45, 0.2, 0.02, -0.12, -0.15, -0.5)
REGION_LOG = 0.2
SMALL_BELOW, SMALL_DOWN = 3.0, 1.5  # below M 3 amplitude goes with M: quakes down to M 0.5 from simulated M 2 to 3
SLOW_FROM, SLOW_SHARE = 4.5, 0.2    # larger quakes that begin with a weak phase, before the part that makes them large
S_UNKNOWN, S_PICKED = 0.4, 0.3      # in these shares of the records; in the rest S is expected where an origin puts it
S_PICK_DELAY_S, S_PICK_SIGMA_S = (0.3, 1.0), 0.1
S_EXPECTED_SHARE, S_EXPECTED_S, ORIGIN_AFTER_S = 0.06, 0.15, 6.0

KINDS = ("pv", "pe", "pd", "pa")


def kind_of(column):
    """Index into KINDS: rms goes with pv."""
    for k, kind in enumerate(KINDS):
        if kind in column.split("_"):
            return k
    return 0


AMPLITUDE_KIND = [kind_of(cut.COLUMNS[i]) for i in cut.AMPLITUDES]
SIGNAL = list(range(18))
NOISE_OF = [cut.COLUMN["noise_" + KINDS[k]] if KINDS[k] != "pa" else cut.COLUMN["noise_pv"] for k in AMPLITUDE_KIND[:18]]


def shift_amplitudes(x, shift):
    """shift [n, 1 or len(AMPLITUDES)], constant over time; what is not there stays away."""
    part = x[:, :, cut.AMPLITUDES]
    x[:, :, cut.AMPLITUDES] = np.where(part > cut.FLOOR, np.clip(part + shift[:, None, :], cut.FLOOR, cut.CEILING), cut.FLOOR)


def tilt(x, rng):
    """One offset per record for each kind of measurement, the same on its peak, its steps and its noise."""
    kinds = TILT_LOG * rng.standard_normal((len(x), len(KINDS) + 1)).astype("f4")
    shift = kinds[:, AMPLITUDE_KIND]
    shift[:, cut.HORIZONTAL] += kinds[:, -1:]
    shift_amplitudes(x, shift)


def make_small(x, magnitude, rng):
    down = np.where((magnitude < SMALL_BELOW) & (rng.random(len(x)) < 0.5), rng.uniform(0, SMALL_DOWN, len(x)), 0)
    shift_amplitudes(x, -down[:, None].astype("f4"))
    return magnitude - down


def start_slowly(x, magnitude, rng):
    """The same record at a fraction of its strength first, itself later."""
    for i in np.flatnonzero((magnitude > SLOW_FROM) & (rng.random(len(x)) < SLOW_SHARE)):
        late = int(rng.integers(2, 40))
        signal = x[i][:, SIGNAL]
        weak = signal - rng.uniform(0.2, 1.1)
        strong = np.concatenate([np.repeat(x[i, :1, NOISE_OF].T - 0.3, late, 0), signal[:-late]])
        x[i][:, SIGNAL] = np.where(signal > cut.FLOOR, np.maximum(np.maximum(weak, strong), cut.FLOOR), cut.FLOOR)


def learn_of_s(x, s_minus_p, may_pick, rng):
    """S is picked a while after it came, or expected from the moment an origin is there, or never known."""
    n = len(x)
    sp = np.nan_to_num(s_minus_p, nan=1e3)
    luck = rng.random(n)
    picked = (luck < S_PICKED) & may_pick
    expected = (luck >= S_PICKED + S_UNKNOWN) & np.isfinite(s_minus_p)
    delay = np.where(picked, sp + rng.uniform(*S_PICK_DELAY_S, n),
                     np.where(rng.random(n) < 0.5, 0, rng.uniform(0, ORIGIN_AFTER_S, n)))
    error = np.where(picked, S_PICK_SIGMA_S, S_EXPECTED_S + S_EXPECTED_SHARE * sp) * rng.standard_normal(n)
    known_from = np.where(picked | expected, np.ceil(delay / 0.1), x.shape[1]).clip(0, x.shape[1]).astype(int)
    cut.guard(x, np.maximum(sp + error, 0.1), known_from)


def draw(data, pick, rng, real, rows=cut.ROWS):
    """(x, magnitude, teach_m, log_sp, teach_sp, length, log_km) of the records `pick`, each [n, ...], x of so many rows."""
    n = len(pick)
    x = data["x"][pick, :rows].copy()
    magnitude, sp = data["magnitude"][pick].copy(), data["s_minus_p"][pick]
    teach = np.isfinite(magnitude)
    if real:
        teach &= data["amplitude"][pick]
        shift_amplitudes(x, SITE_LOG * rng.standard_normal((n, 1)).astype("f4") * (x[:, 0, [cut.COLUMN["gain_known"]]] > 0))
    else:
        nearer = np.interp(np.log10(data["km"][pick]), np.log10(NEARER_KM), NEARER_LOG) + REGION_LOG * rng.standard_normal(n)
        shift_amplitudes(x, nearer[:, None].astype("f4"))
        magnitude = make_small(x, magnitude, rng)
        start_slowly(x, magnitude, rng)
        tilt(x, rng)
    learn_of_s(x, sp, data["observed"][pick], rng)
    cut.without_gain(x, np.flatnonzero(rng.random(n) < NO_GAIN))
    teach &= x[:, 0, cut.COLUMN["gain_known"]] > 0
    cut.without_horizontals(x, np.flatnonzero(rng.random(n) < NO_HORIZONTALS))
    log_sp = np.log10(np.maximum(np.nan_to_num(sp, nan=1.0), 0.1))
    log_sp = log_sp + np.where(data["observed"][pick], 0, PREDICTED_SP_SIGMA) * rng.standard_normal(n)
    length = data["length"][pick] if real else np.full(n, cut.ROWS)
    log_km = np.log10(np.clip(np.nan_to_num(data["km"][pick], nan=30.0), 5, 300))
    return (x, np.nan_to_num(magnitude).astype("f4"), teach.astype("f4"), log_sp.astype("f4"),
            np.isfinite(sp).astype("f4"), length, log_km.astype("f4"))
