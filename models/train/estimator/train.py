"""Train the estimator: magnitude and S-P with an uncertainty each, after every 0.1 s of signal.

    train.py --tools DIR --work DIR [--data ../shared/data] [--out models/estimator/weights.safetensors]
    train.py --smoke          a small net on a few hundred simulated records, under two minutes, no data set needed

Simulated records give the shape over magnitude and distance, real ones the level and the honesty; the real part is a
quarter of every batch. Folds are by event. What is held out (records.HELD_OUT, Ridgecrest after 17:30) is never seen.
The quakes are drawn flat over M 2 to 8 and weighted down above M 5 by 10^(-0.25 (M - 5)): large ones must stay known,
yet a first second that fits M 5 and M 8 alike should not be told as their mean.
"""

import argparse
import os
import sys
import tempfile
import time

import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.abspath(os.path.join(HERE, "..", "..", ".."))
sys.path.insert(0, HERE)

import cut  # noqa: E402
import dataset  # noqa: E402
import simulated  # noqa: E402
from net import LOG_SIGMA_LEAST, LOG_SIGMA_MOST, Estimator, export  # noqa: E402

FIRST_STEP = 4
CALIBRATION_S = (1, 2, 3, 4, 6, 10)
REAL_SHARE = 0.25
NO_GAIN, NO_HORIZONTALS = 0.15, 0.07
PREDICTED_SP_SIGMA = 0.04  # log10: the S-P of sets without S picks is a straight-ray guess
TILT_LOG = 0.1             # spectra of real ground differ from the simulator's: pv, pe, pd, pa, horizontals, each by itself
SMALL_BELOW, SMALL_DOWN = 3.0, 1.5  # below M 3 amplitude goes with M: quakes down to M 0.5 from simulated M 2 to 3
SLOW_FROM, SLOW_SHARE = 4.5, 0.4    # larger quakes that begin with a weak phase, before the part that makes them large
LONG_SHARE = 0.35          # of the batches run to 20 s, the others to 10 s: that is where the decisions are
BETA = 0.5                 # beta-NLL (Seitzer et al. 2022): keeps the mean learning where sigma is large


def large_weight(magnitude):
    return 10.0 ** (-0.25 * np.maximum(magnitude - 5.0, 0))


def beta_nll(mean, log_sigma, target):
    log_sigma = log_sigma.clamp(LOG_SIGMA_LEAST, LOG_SIGMA_MOST)
    nll = log_sigma + 0.5 * ((target - mean) * torch.exp(-log_sigma)) ** 2
    return nll * torch.exp(2 * BETA * log_sigma).detach(), nll.detach()


def tilt(x, rng):
    """One offset per record for each kind of measurement, the same on its peak, its steps and its noise."""
    kinds = TILT_LOG * rng.standard_normal((len(x), 5)).astype("f4")
    kind_of = [0, 1, 2, 3, 0, 1, 0, 1, 0, 1, 2, 0]
    shift = kinds[:, kind_of]
    shift[:, cut.HORIZONTAL] += kinds[:, 4:5]
    live = x[:, :, :12] > cut.FLOOR
    x[:, :, :12] = np.where(live, x[:, :, :12] + shift[:, None, :], cut.FLOOR)


def make_small(x, magnitude, rng):
    down = np.where((magnitude < SMALL_BELOW) & (rng.random(len(x)) < 0.5), rng.uniform(0, SMALL_DOWN, len(x)), 0)
    x[:, :, :12] = np.maximum(x[:, :, :12] - down[:, None, None], cut.FLOOR)
    return magnitude - down


def start_slowly(x, magnitude, rng):
    """The same record at a fraction of its strength first, itself later."""
    for i in np.flatnonzero((magnitude > SLOW_FROM) & (rng.random(len(x)) < SLOW_SHARE)):
        late = int(rng.integers(2, 40))
        weak = x[i, :, :8] - rng.uniform(0.2, 1.1)
        floor = x[i, 0, [8, 9, 10, 8, 8, 9, 11, 9]] - 0.3
        strong = np.concatenate([np.repeat(floor[None], late, 0), x[i, :-late, :8]])
        x[i, :, :8] = np.maximum(np.maximum(weak, strong), cut.FLOOR)


def draw(data, weights, n, rng, real):
    pick = rng.choice(len(weights), n, p=weights / weights.sum())
    x = data["x"][pick].copy()
    magnitude, sp = data["magnitude"][pick].copy(), data["s_minus_p"][pick]
    if not real:
        magnitude = make_small(x, magnitude, rng)
        start_slowly(x, magnitude, rng)
        tilt(x, rng)
    teach = (data["amplitude"][pick] if real else np.ones(n, bool)) & np.isfinite(magnitude)
    blind = rng.random(n) < NO_GAIN
    x[blind] = cut.without_gain(x[blind])
    teach &= ~blind & (x[:, 0, 14] > 0)
    flat = rng.random(n) < NO_HORIZONTALS
    x[flat] = cut.without_horizontals(x[flat])
    length = data["length"][pick] if real else np.full(n, cut.ROWS)
    if real:  # sites differ by more than a few stations can show
        jitter = 0.1 * rng.standard_normal((n, 1, 1)).astype("f4")
        x[:, :, :12] = np.where((x[:, :, :12] > cut.FLOOR) & (x[:, :, 14:15] > 0), x[:, :, :12] + jitter, x[:, :, :12])
    log_sp = np.log10(np.maximum(np.nan_to_num(sp, nan=1.0), 0.1))
    log_sp = log_sp + np.where(data["observed"][pick], 0, PREDICTED_SP_SIGMA) * rng.standard_normal(n)
    return (x, np.nan_to_num(magnitude).astype("f4"), teach.astype("f4"), log_sp.astype("f4"),
            np.isfinite(sp).astype("f4"), length)


def loss_of(out, batch, time_weight):
    _, magnitude, teach_m, log_sp, teach_sp, length = batch
    steps = torch.arange(out.shape[1])
    weight = time_weight[None, :] * (steps[None, :] < torch.as_tensor(length)[:, None]) * (steps >= FIRST_STEP)
    total, report = 0, []
    for mean, log_sigma, target, teach in ((out[..., 0], out[..., 1], magnitude, teach_m),
                                           (out[..., 2], out[..., 3], log_sp, teach_sp)):
        w = weight * torch.as_tensor(teach)[:, None]
        loss, nll = beta_nll(mean, log_sigma, torch.as_tensor(target)[:, None])
        total = total + (loss * w).sum() / w.sum().clamp(min=1e-6) * (1 if len(report) == 0 else 3)
        report.append(float((nll * w).sum() / w.sum().clamp(min=1e-6)))
    return total, report


def fit(sim, real, steps, batch, seed, net=None, lr=2e-3, log=print):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    if net is None:
        net = Estimator()
        net.standardise_by(sim["x"][::5])
    sim_w = large_weight(sim["magnitude"])
    time_weight = torch.as_tensor(1.0 / np.sqrt(0.1 * (np.arange(cut.ROWS) + 1)), dtype=torch.float32)
    optimiser = torch.optim.Adam(net.parameters(), lr=lr, weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps, pct_start=0.1)
    n_real = int(REAL_SHARE * batch) if real is not None else 0
    smooth, first, began = None, None, time.time()
    for step in range(steps):
        parts = [draw(sim, sim_w, batch - n_real, rng, False)]
        if n_real:
            parts.append(draw(real, real["weight"], n_real, rng, True))
        one = [np.concatenate(p) for p in zip(*parts)]
        span = cut.ROWS if rng.random() < LONG_SHARE else cut.ROWS // 2
        loss, report = loss_of(net(torch.from_numpy(one[0][:, :span])), one, time_weight[:span])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        smooth = report if smooth is None else [0.97 * a + 0.03 * b for a, b in zip(smooth, report)]
        first = first or report
        if step % 100 == 99:
            log("step %5d  nll magnitude %+.3f  s-p %+.3f  %.0f s" % (step + 1, smooth[0], smooth[1],
                                                                     time.time() - began))
    net.eval()
    return net, first, smooth


def folds_of(real, n):
    """Fold of every record, by event, each region spread over the folds; -1: held out."""
    fold = np.full(len(real["event"]), -1)
    for region in sorted(set(real["region"])):
        mask = (real["region"] == region) & (real["split"] == "train")
        for i, event in enumerate(sorted(set(real["event"][mask]))):
            fold[mask & (real["event"] == event)] = i % n
    return fold


def honest_factors(real, fold, nets, least_magnitude=2.0):
    """By how much the sigmas must grow for 68 % of the field records, each judged by a network that did not see its quake."""
    worst = ([], [], [], [])
    for k, net in enumerate(nets):
        data = dataset.part(real, fold == k)
        with torch.no_grad():
            out = net(torch.from_numpy(data["x"])).numpy()
        teach = data["amplitude"] & (data["magnitude"] >= least_magnitude) & ~data["clip_suspect"]
        for t in CALIBRATION_S:
            say = out[np.arange(len(out)), np.argmin(np.abs(10.0 ** data["x"][:, :, 12] - t), 1)]
            for j, target, ok in ((0, data["magnitude"], teach), (2, np.log10(data["s_minus_p"]), data["observed"])):
                ratio = np.abs(say[:, j] - target) / np.exp(np.clip(say[:, j + 1], LOG_SIGMA_LEAST, LOG_SIGMA_MOST))
                worst[j].extend(ratio[ok])
                worst[j + 1].extend(data["weight"][ok])
    return [max(1.0, weighted_quantile(np.array(worst[j]), np.array(worst[j + 1]), 0.68)) for j in (0, 2)]


def weighted_quantile(values, weights, q):
    order = np.argsort(values)
    share = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][np.searchsorted(share, q)])


def calibrate(work, real, fold, n_folds, out, version):
    nets = []
    for name in ["fold%d.pt" % k for k in range(n_folds)] + ["final.pt"]:
        net = Estimator()
        net.load_state_dict(torch.load(os.path.join(work, name)))
        nets.append(net.eval())
    factors = honest_factors(real, fold, nets[:-1])
    print("sigmas widened by %.2f (magnitude) and %.2f (log10 S-P)" % tuple(factors))
    for k, net in enumerate(nets):
        net.widen(*factors)
        torch.save(net.state_dict(), os.path.join(work, "honest_%s.pt" % ("final" if k == n_folds else "fold%d" % k)))
    notes = {"sigma_factor_magnitude": factors[0], "sigma_factor_log_sp": factors[1]}
    print("checksum", export(nets[-1], out, version, notes))


def smoke():
    with tempfile.TemporaryDirectory() as scratch:
        cut.build(ROOT, scratch)
        simulated.build(ROOT, scratch)
        sim = dataset.simulated_rows(scratch, 600, 5, scratch)
        net = Estimator(hidden=16, dense=16)
        net.standardise_by(sim["x"])
        net, first, last = fit(sim, None, 80, 64, 1, net=net)
        path = os.path.join(scratch, "weights.safetensors")
        checksum = export(net, path, "smoke", training={"words": "simulated"})
        out = cut.run_model(os.path.join(scratch, "cut_estimator"), path, sim["x"][0])
        with torch.no_grad():
            expected = net(torch.from_numpy(sim["x"][:1]))[0].numpy()
        difference = float(np.abs(out - expected).max())
    print("smoke: %d records, nll magnitude %.3f -> %.3f, s-p %.3f -> %.3f, C against PyTorch %.1e, checksum %s" %
          (len(sim["x"]), first[0], last[0], first[1], last[1], difference, checksum))
    return 0 if last[0] < first[0] and last[1] < first[1] and difference < 1e-3 else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--tools", help="where cut_estimator, dump_mseed and tocsin-sim are (built there when missing)")
    parser.add_argument("--work", help="folder for cached rows and fold networks")
    parser.add_argument("--data", default=os.environ.get("TOCSIN_DATA", os.path.join(ROOT, "..", "shared", "data")))
    parser.add_argument("--out", default=os.path.join(ROOT, "models", "estimator", "weights.safetensors"))
    parser.add_argument("--count", type=int, default=24000)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--version", default="1")
    parser.add_argument("--only", default="all", help="'all', 'final', 'folds' or 'calibrate'")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.smoke:
        return smoke()
    tools, work = args.tools or args.work, args.work
    os.makedirs(work, exist_ok=True)
    os.makedirs(tools, exist_ok=True)
    if not os.path.exists(os.path.join(tools, "cut_estimator")):
        cut.build(ROOT, tools)
    if not os.path.exists(os.path.join(tools, "tocsin-sim")):
        simulated.build(ROOT, tools)
    sim = dataset.cached(os.path.join(work, "sim_train.pkl"), lambda: dataset.simulated_rows(tools, args.count, 11, work))
    real = dataset.cached(os.path.join(work, "real.pkl"), lambda: dataset.real_rows(tools, args.data))
    fold = folds_of(real, args.folds)
    if args.only in ("all", "final"):
        net, _, _ = fit(sim, dataset.part(real, fold >= 0), args.steps, args.batch, 1)
        torch.save(net.state_dict(), os.path.join(work, "final.pt"))
    if args.only in ("all", "folds"):
        for k in range(args.folds):
            net, _, _ = fit(sim, dataset.part(real, (fold >= 0) & (fold != k)), args.steps, args.batch, 2 + k)
            torch.save(net.state_dict(), os.path.join(work, "fold%d.pt" % k))
    if args.only in ("all", "calibrate"):
        calibrate(work, real, fold, args.folds, args.out, args.version)
    return 0


if __name__ == "__main__":
    sys.exit(main())
