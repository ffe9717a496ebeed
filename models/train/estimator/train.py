"""Train the estimator: magnitude, with and without a distance, and S-P with an uncertainty each, after every 0.1 s of signal.

    train.py --work DIR [--tools DIR] [--data ../shared/data] [--out models/estimator/weights.safetensors]
    train.py --smoke          a small net on a few hundred simulated records, under two minutes, no data set needed

First the recurrent layers, with a head of their own, on simulated records alone. Then what they remember stays, and heads
(heads.py) are taught: on simulated records, then as much on real ones, once for every fold without the quakes of the fold
(for the figures of the card all real quakes take their turn, held-out ones too), and once with the training part alone (this is
what is shipped: what is held out, records.HELD_OUT and Ridgecrest after 17:30, never comes near it). Interrupted, it goes on
from the last checkpoint.
The quakes are drawn flat over M 2 to 8 and weighted down above M 5 by 10^(-0.1 (M - 5)): large ones must stay known,
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

import augment  # noqa: E402
import calibrate  # noqa: E402
import cut  # noqa: E402
import dataset  # noqa: E402
import heads  # noqa: E402
import simulated  # noqa: E402
from net import LOG_SIGMA_LEAST, LOG_SIGMA_MOST, Estimator, export, likeliest  # noqa: E402

FIRST_STEP = 4
LARGE_DOWN = 0.1
LONG_SHARE, LONG, SHORT = 0.25, cut.ROWS, 80  # rows of a batch: the decisions are in the first eight seconds
BETA = 0.5                 # beta-NLL (Seitzer et al. 2022): keeps the mean learning where sigma is large
SP_SHARE, DISTANCE_SHARE = 3, 2  # in the loss, against the magnitude without a distance
RATE, RATE_HEAD, RATE_FIELD = 2e-3, 3e-3, 2e-3
HEAD_STEPS, FIELD_STEPS, FIELD_SHARE = 1000, 1500, 0.6
SIM_BATCHES, FIELD_COPIES = 200, 8
CHECK_EVERY = 100
CHECKPOINT_S = 120


def large_weight(magnitude):
    return 10.0 ** (-LARGE_DOWN * np.maximum(magnitude - 5.0, 0))


def clamped(log_sigma):
    return log_sigma.clamp(LOG_SIGMA_LEAST, LOG_SIGMA_MOST)


def normal_loss(mean, log_sigma, target):
    log_sigma = clamped(log_sigma)
    nll = log_sigma + 0.5 * ((target - mean) * torch.exp(-log_sigma)) ** 2
    return nll * torch.exp(2 * BETA * log_sigma).detach(), nll.detach()


def split_loss(middle, log_below, log_above, target):
    """Two half normal distributions of different width; the density at the join is that of their mean width."""
    log_below, log_above = clamped(log_below), clamped(log_above)
    off = target - middle
    z = off * torch.exp(-torch.where(off > 0, log_above, log_below))
    nll = torch.log(0.5 * (torch.exp(log_below) + torch.exp(log_above))) + 0.5 * z ** 2
    return nll * torch.exp(BETA * (log_below + log_above)).detach(), nll.detach()


def loss_of(out, batch, time_weight):
    """Of whole records: the loss, and the likelihoods it is made of: magnitude, S-P, magnitude at the distance."""
    _, magnitude, teach_m, log_sp, teach_sp, length, log_km = [torch.as_tensor(part) for part in batch]
    steps = torch.arange(out.shape[1])
    weight = time_weight[None, :] * (steps[None, :] < length[:, None]) * (steps >= FIRST_STEP)
    return weighed(out, magnitude[:, None], weight * teach_m[:, None], log_sp[:, None], weight * teach_sp[:, None],
                   log_km[:, None])


def loss_of_rows(out, columns):
    """The same of single rows."""
    return weighed(out, *columns)


def weighed(out, magnitude, weight_m, log_sp, weight_sp, log_km):
    middle = likeliest(out, log_km)
    total, report = 0, []
    for (loss, nll), w, share in ((normal_loss(out[..., 0], out[..., 1], magnitude), weight_m, 1),
                                  (normal_loss(out[..., 2], out[..., 3], log_sp), weight_sp, SP_SHARE),
                                  (split_loss(middle, out[..., 7], out[..., 8], magnitude), weight_m, DISTANCE_SHARE)):
        total = total + share * (loss * w).sum() / w.sum().clamp(min=1e-6)
        report.append(float((nll * w).sum() / w.sum().clamp(min=1e-6)))
    return total, report


TIME_WEIGHT = torch.as_tensor(1.0 / np.sqrt(0.1 * (np.arange(cut.ROWS) + 1)), dtype=torch.float32)


def sim_batch(sim, n, rng, rows):
    weight = large_weight(sim["magnitude"])
    return augment.draw(sim, rng.choice(len(weight), n, p=weight / weight.sum()), rng, False, rows)


def validation(net, check):
    """Mean likelihoods on batches kept aside."""
    net.eval()
    with torch.no_grad():
        found = [loss_of(net(torch.from_numpy(one[0])), one, TIME_WEIGHT)[1] for one in check]
    net.train()
    return np.mean(found, 0)


def save(path, **what):
    torch.save(what, path + ".part")
    os.replace(path + ".part", path)


def fit(net, sim, steps, batch, seed, check, path=None, rate=RATE, log=print):
    """Train on simulated records and keep the state that was best on `check` (batches; None: the last).
    @return first and last likelihoods"""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    optimiser = torch.optim.Adam(net.parameters(), lr=rate, weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.1)
    at, first, smooth, best, best_at = 0, None, None, np.inf, None
    if path and os.path.exists(path + ".checkpoint"):
        was = torch.load(path + ".checkpoint")
        net.load_state_dict(was["net"])
        optimiser.load_state_dict(was["optimiser"])
        schedule.load_state_dict(was["schedule"])
        at, first, smooth, best, best_at = was["at"], was["first"], was["smooth"], was["best"], was["best_at"]
        rng.bit_generator.state = was["rng"]
    began = saved = time.time()
    for step in range(at, steps):
        span = LONG if rng.random() < LONG_SHARE else SHORT
        one = sim_batch(sim, batch, rng, span)
        loss, report = loss_of(net(torch.from_numpy(one[0])), one, TIME_WEIGHT[:span])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        smooth = report if smooth is None else [0.97 * a + 0.03 * b for a, b in zip(smooth, report)]
        first = first or report
        if check is not None and (step % CHECK_EVERY == CHECK_EVERY - 1 or step == steps - 1):
            now = validation(net, check)
            score = now[0] + SP_SHARE * now[1] + DISTANCE_SHARE * now[2]
            if score < best:
                best, best_at = score, {k: v.clone() for k, v in net.state_dict().items()}
            log("step %5d  training %+.3f %+.3f %+.3f  validation %+.3f %+.3f %+.3f%s  %.0f s" %
                (step + 1, *smooth, *now, " best" if score == best else "", time.time() - began))
        if path and time.time() - saved > CHECKPOINT_S:
            save(path + ".checkpoint", net=net.state_dict(), optimiser=optimiser.state_dict(), at=step + 1, first=first,
                 schedule=schedule.state_dict(), smooth=smooth, best=best, best_at=best_at, rng=rng.bit_generator.state)
            saved = time.time()
    if best_at is not None:
        net.load_state_dict(best_at)
    net.eval()
    if path:
        save(path, net=net.state_dict())
    return first, smooth


def folds_of(real, n):
    """Fold of every record, by event, each region spread over the folds; -1: internal, never trained on."""
    fold = np.full(len(real["event"]), -1)
    for region in sorted(set(real["region"])):
        mask = (real["region"] == region) & (real["split"] != "internal")
        for i, event in enumerate(sorted(set(real["event"][mask]))):
            fold[mask & (real["event"] == event)] = i % n
    return fold


def load(path):
    state = torch.load(path)["net"]
    net = Estimator(state["rnn0.weight_hh_l0"].shape[1], state["out.mid.bias"].shape[0])
    net.load_state_dict(state)
    return net.eval()


def train_memory(args, sim, check_sim):
    path = os.path.join(args.work, "memory.pt")
    if not os.path.exists(path):
        torch.manual_seed(1)
        net = Estimator()
        net.standardise_by(sim["x"][::5])
        if args.start:  # an earlier memory, taught further
            net = load(args.start).train()
        rng = np.random.default_rng(5)
        fit(net, sim, args.steps, args.batch, 2, [sim_batch(check_sim, 256, rng, cut.ROWS) for _ in range(3)], path, args.rate,
            lambda line: print(line, flush=True))
    return load(path)


def train_heads(args, net, sim, real, fold):
    """{fold or "final": network}, and saved."""
    rng = np.random.default_rng(7)
    notes_sim = heads.take_down(net, sim, large_weight(sim["magnitude"]), args.sim_batches, 128, rng, False, LONG)
    order = [rng.permutation(len(real["x"])) for _ in range(args.field_copies)]
    notes_real = heads.take_down(net, real, None, args.field_copies, None, rng, True, LONG, order)
    even = np.ones(len(notes_sim["record"]))
    weight = dataset.teaching_weight(real)
    first = heads.learn([heads.new_head(net, 20 + i) for i in range(args.heads)], [(notes_sim, even, 1)], args.head_steps,
                        RATE_HEAD, 30, loss_of_rows)
    nets = {}
    for k in ["final"] + list(range(args.folds)):
        may = real["split"] == "train" if k == "final" else (fold >= 0) & (fold != k)
        of_row = (weight * may)[notes_real["record"]]
        parts = [(notes_sim, even, 1 - args.field_share), (notes_real, of_row, args.field_share)]
        taught = heads.learn(first, parts, args.field_steps, RATE_FIELD, 60, loss_of_rows)
        nets[k] = net.with_heads(taught)
        save(os.path.join(args.work, "plain_%s.pt" % k), net=nets[k].state_dict())
        print("heads of", k, flush=True)
    return nets


def ship(args, nets, check_sim, real, fold):
    notes = calibrate.honest(nets, real, fold, check_sim)
    for k, net in nets.items():
        save(os.path.join(args.work, "honest_%s.pt" % k), net=net.state_dict())
    print("checksum", export(nets["final"], args.out, args.version, notes))


def smoke():
    with tempfile.TemporaryDirectory() as scratch:
        cut.build(ROOT, scratch)
        simulated.build(ROOT, scratch)
        sim = dataset.simulated_rows(scratch, 600, 5, scratch)
        torch.manual_seed(1)
        net = Estimator(hidden=12, dense=12)
        net.standardise_by(sim["x"])
        first, last = fit(net, sim, 60, 64, 1, None)
        notes = heads.take_down(net, sim, large_weight(sim["magnitude"]), 10, 64, np.random.default_rng(3), False)
        some = [heads.new_head(net, i) for i in range(2)]
        net = net.with_heads(heads.learn(some, [(notes, np.ones(len(notes["record"])), 1)], 50, RATE_HEAD, 1, loss_of_rows))
        path = os.path.join(scratch, "weights.safetensors")
        checksum = export(net, path, "smoke", training={"words": "simulated"})
        out = cut.run_model(os.path.join(scratch, "cut_estimator"), path, sim["x"][0])
        with torch.no_grad():
            expected = net(torch.from_numpy(sim["x"][:1]))[0].numpy()
        difference = float(np.abs(out - expected).max())
    print("smoke: %d records, nll magnitude %.3f -> %.3f, s-p %.3f -> %.3f, at distance %.3f -> %.3f, C against PyTorch %.1e, "
          "checksum %s" % (len(sim["x"]), first[0], last[0], first[1], last[1], first[2], last[2], difference, checksum))
    return 0 if all(b < a for a, b in zip(first, last)) and difference < 1e-3 else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--tools", help="where cut_estimator, dump_mseed and tocsin-sim are (built there when missing)")
    parser.add_argument("--work", help="folder for cached rows, checkpoints and networks")
    parser.add_argument("--data", default=os.environ.get("TOCSIN_DATA", os.path.join(ROOT, "..", "shared", "data")))
    parser.add_argument("--out", default=os.path.join(ROOT, "models", "estimator", "weights.safetensors"))
    parser.add_argument("--count", type=int, default=24000)
    parser.add_argument("--start", help="recurrent layers to go on from")
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--head-steps", type=int, default=HEAD_STEPS)
    parser.add_argument("--field-steps", type=int, default=FIELD_STEPS)
    parser.add_argument("--field-share", type=float, default=FIELD_SHARE)
    parser.add_argument("--sim-batches", type=int, default=SIM_BATCHES)
    parser.add_argument("--field-copies", type=int, default=FIELD_COPIES)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only", default="all", choices=("all", "memory"))
    parser.add_argument("--version", default="2")
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
    cached = lambda name, make: dataset.cached(os.path.join(work, name), make)
    sim = cached("sim_train.pkl", lambda: dataset.simulated_rows(tools, args.count, 11, work))
    check_sim = cached("sim_check.pkl", lambda: dataset.simulated_rows(tools, args.count // 8, 12, work))
    real = cached("real.pkl", lambda: dataset.real_rows(tools, args.data))
    fold = folds_of(real, args.folds)
    net = train_memory(args, sim, check_sim)
    if args.only == "memory":
        return 0
    ship(args, train_heads(args, net, sim, real, fold), check_sim, real, fold)
    return 0


if __name__ == "__main__":
    sys.exit(main())
