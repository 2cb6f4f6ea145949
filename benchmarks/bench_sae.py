"""Training steps of a sparse autoencoder beside plain dense ones, sparsify 1.3.3, SAELens 6.54 and the bare encoder.

    python benchmarks/bench_sae.py                                      # about ten minutes; installs the peers
    python benchmarks/bench_sae.py --sparsify-python P --saelens-python Q   # with environments that have them already

Width 768, 49,152 latents, one thread. All sides see the same synthetic tokens and take turns step by step, so that
whatever else the machine does meets all of them. Seconds are those of the processor, which for one thread are the
seconds of the clock on an idle machine; ratios are medians over rounds of the ratio within a round.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"

import numpy as np
import torch

from trilineage.core.files import write_atomically
from trilineage.core.seeding import generator
from trilineage.data.tokens.batches import TokenBatch
from trilineage.models.sae.model import SparseAutoencoder
from trilineage.models.sae.settings import SaeSettings
from trilineage.training.objectives.sae.step import sae_step
from trilineage.training.optim import Updater
from trilineage.training.settings import TrainingSettings

WIDTH, EXPANSION, K, BATCH = 768, 64, 32, 4096
L0S = (30, 300, 1000)
ROUNDS = 5
GOALS = {"plain dense": 4.0, "sparsify 1.3.3": 2.0, "SAELens 6.54": 5.0}
ENCODER_GOAL, STEP_GB_GOAL, IMAGE_MB_GOAL = 1.35, 2.5, 100
PEERS = {
    "sparsify 1.3.3": ("sparsify", ("torch==2.13.0", "eai-sparsify==1.3.3")),
    "SAELens 6.54": ("saelens", ("torch==2.13.0", "sae-lens==6.54.0")),
}
RESULTS = Path(__file__).parent / "results"


def peer_python(name: str) -> Path:
    """Return the interpreter of an environment with a peer; make the environment if it is not there."""
    folder = Path(tempfile.gettempdir()) / f"trilineage-bench-{PEERS[name][0]}"
    python, finished = folder / "bin" / "python", folder / "finished"
    if not finished.exists():
        print(f"Installing {' '.join(PEERS[name][1])} into {folder}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS[name][1]], check=True)
        finished.touch()
    return python


def draw_tokens(n_tokens: int) -> torch.Tensor:
    """Draw sums of 20 of 5,000 directions, around a mean: what an autoencoder can learn."""
    rng = generator(0, "bench_sae")
    directions = rng.normal(size=(5000, WIDTH)).astype(np.float32)
    chosen = rng.integers(0, 5000, (n_tokens, 20))
    weights = rng.gamma(2.0, size=(n_tokens, 20)).astype(np.float32)
    sums = np.stack([weight @ directions[row] for weight, row in zip(weights, chosen, strict=True)])
    return torch.from_numpy(sums / 5 + rng.normal(size=WIDTH).astype(np.float32))


class Ours:
    """Our step, with the optimiser of the training loop."""

    def __init__(self, tokens: torch.Tensor, *, l0: int = 0):
        activation = "relu" if l0 else "topk"
        settings = SaeSettings(expansion=EXPANSION, k=K, activation=activation, auxiliary="none")
        self.model = SparseAutoencoder(WIDTH, settings).train()
        if l0:
            shift_bias(self.model.encoder_weight, self.model.encoder_bias, tokens, l0)
        self.batch = TokenBatch(tokens, torch.arange(len(tokens)))
        options = TrainingSettings(learning_rate=1e-7 if l0 else 1e-4)
        self.updater = Updater(self.model, options, device=torch.device("cpu"), n_steps=100)
        self.function = sae_step()

    def step(self) -> None:
        loss_sum, weight, _ = self.function(self.model, self.batch)
        self.updater.update(loss_sum / weight, 0)
        self.model.constrain_()


class Plain:
    """A dense step as it is usually written, with torch's fused Adam and unit-norm rows."""

    def __init__(self, tokens: torch.Tensor, *, l0: int = 0):
        start = SparseAutoencoder(WIDTH, SaeSettings(expansion=EXPANSION, k=K))
        self.encoder, self.decoder = (
            torch.nn.Parameter(w.detach().clone()) for w in (start.encoder_weight, start.decoder_weight)
        )
        self.bias = torch.nn.Parameter(torch.zeros(len(self.encoder)))
        self.middle = torch.nn.Parameter(torch.zeros(WIDTH))
        self.tokens, self.l0 = tokens, l0
        if l0:
            shift_bias(self.encoder, self.bias, tokens, l0)
        parameters = [self.encoder, self.decoder, self.bias, self.middle]
        self.optimizer = torch.optim.Adam(parameters, lr=1e-7 if l0 else 1e-4, fused=True)

    def step(self) -> None:
        z = (self.tokens - self.middle) @ self.encoder.T + self.bias
        if self.l0:
            f = z.relu()
        else:
            best = z.topk(K, dim=1, sorted=False)
            f = torch.zeros_like(z).scatter(1, best.indices, best.values.relu())
        loss = (f @ self.decoder + self.middle - self.tokens).square().mean()
        if self.l0:
            loss = loss + 8e-5 * f.sum(dim=1).mean()
        loss.backward()
        with torch.no_grad():
            grad, rows = self.decoder.grad, self.decoder
            grad -= (grad * rows).sum(dim=1, keepdim=True) * rows
            self.optimizer.step()
            rows /= rows.norm(dim=1, keepdim=True)
        self.optimizer.zero_grad()


class Product:
    """The encoder product alone, the only part of a step that cannot be avoided."""

    def __init__(self, tokens: torch.Tensor):
        self.tokens, self.weight = tokens, torch.randn(WIDTH * EXPANSION, WIDTH)
        self.out = torch.empty(len(tokens), len(self.weight))

    def step(self) -> None:
        torch.mm(self.tokens, self.weight.T, out=self.out)


class Peer:
    """A peer in a process of its own, one step at a time."""

    def __init__(self, name: str, python: Path, tokens_path: Path):
        script = Path(__file__).parent / "sae_peers.py"
        command = [python, script, PEERS[name][0], tokens_path, str(BATCH), str(WIDTH * EXPANSION), str(K)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
        )
        self._line("ready")

    def _line(self, start: str) -> str:
        for line in self.process.stdout:
            if line.startswith(start):
                return line
        raise SystemExit(f"A peer ended early (exit code {self.process.wait()})")

    def step(self) -> float:
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return json.loads(self._line("{"))["seconds"]

    def close(self) -> None:
        self.process.communicate()


@torch.no_grad()
def shift_bias(weight: torch.Tensor, bias: torch.Tensor, tokens: torch.Tensor, l0: int) -> None:
    """Make about `l0` latents of a token active by lowering every bias alike."""
    values = tokens[:64] @ weight.T
    bias.fill_(-float(values.flatten().kthvalue(values.numel() - 64 * l0).values))


def timed(side) -> float:
    """Return the processor seconds of a step."""
    start = time.process_time()
    told = side.step()
    return time.process_time() - start if told is None else told


def take_turns(sides: dict, n_rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each side's steps, after one step of warm-up each."""
    for side in sides.values():
        timed(side)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(n_rounds):
        for name, side in sides.items():
            seconds[name].append(timed(side))
            print(f"{name}: {seconds[name][-1]:.2f} s", flush=True)
    return seconds


def ratio(seconds: dict[str, list[float]], name: str, to: str = "trilineage") -> float:
    """Return the median over rounds of a side's time relative to another's."""
    return statistics.median(a / b for a, b in zip(seconds[name], seconds[to], strict=True))


def measure_memory(task: str) -> float:
    """Return a peak in bytes, measured in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--memory", task], capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def peak() -> int:
    """Return the largest memory this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def memory_of(task: str) -> float:
    """Return the peak of two steps at batch 16,384, or what encoding one image adds to a model in memory."""
    torch.set_num_threads(1)
    if task == "step":
        side = Ours(draw_tokens(16384))
        side.step()
        side.step()
        return peak()
    activation = "relu" if task == "image relu" else "topk"
    small = SparseAutoencoder(WIDTH, SaeSettings(expansion=1, k=K, activation=activation))
    tokens = draw_tokens(257)
    small.encode(tokens)
    model = SparseAutoencoder(WIDTH, SaeSettings(expansion=EXPANSION, k=K, activation=activation))
    if activation == "relu":
        shift_bias(model.encoder_weight, model.encoder_bias, tokens, 300)
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = high_water()
    model.encode(tokens)
    return high_water() - before


def high_water() -> int:
    """Return the largest resident memory since the peak was last forgotten, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def page(topk: dict, relu: dict[int, dict], memory: dict[str, float]) -> str:
    """Return the page."""
    lines = [
        "# Training step of a sparse autoencoder",
        "",
        f"Width {WIDTH}, {WIDTH * EXPANSION:,} latents, batch {BATCH:,}, float32, one thread; the same synthetic",
        "tokens for all. Sides take turns step by step. Seconds are those of the processor: the machine may have had",
        f"other work. Ratios are medians over {len(topk['trilineage'])} rounds of the ratio in a round. All use Adam;",
        "trilineage and plain dense hold decoder rows at norm 1. Every step is exact.",
        "",
        f"## TopK, k = {K}",
        "",
        "| | Seconds per step | Tokens/s | trilineage is faster by | Goal |",
        "|---|---|---|---|---|",
    ]
    for name, seconds in topk.items():
        middle = statistics.median(seconds)
        faster = "" if name == "trilineage" else f"{ratio(topk, name):.2f}"
        lines.append(f"| {name} | {middle:.2f} | {BATCH / middle:,.0f} | {faster} | {GOALS.get(name, '')} |")
    over = statistics.median(
        a / b for a, b in zip(topk["trilineage"], topk["encoder product alone"], strict=True)
    )
    lines += [
        "",
        f"Step relative to the encoder product alone: {over:.2f} (goal: at most {ENCODER_GOAL}).",
        "",
    ]
    lines += [
        "## ReLU + L1",
        "",
        "| Active latents per token | trilineage, tokens/s | Plain dense, tokens/s | Ratio | Relative to the encoder |",
        "|---|---|---|---|---|",
    ]
    for l0, seconds in relu.items():
        ours, dense = (statistics.median(seconds[name]) for name in ("trilineage", "plain dense"))
        lines.append(
            f"| {l0:,} | {BATCH / ours:,.0f} | {BATCH / dense:,.0f} | {ratio(seconds, 'plain dense'):.2f} "
            f"| {ratio(seconds, 'trilineage', 'encoder product alone'):.2f} |"
        )
    lines += [
        "",
        "## Memory",
        "",
        f"Peak of the process, TopK, batch 16,384: {memory['step'] / 1e9:.2f} GB (goal: at most {STEP_GB_GOAL}).",
        f"Encoding an image of 257 tokens, above the weights: TopK {memory['image topk'] / 1e6:.0f} MB, ReLU with 300",
        f"active latents per token {memory['image relu'] / 1e6:.0f} MB (goal: at most {IMAGE_MB_GOAL}).",
        "",
    ]
    return "\n".join(lines)


def main(results_dir: Path, *, pythons: dict[str, Path] | None = None, n_rounds: int = ROUNDS) -> None:
    """Measure all sides and write `sae.md`."""
    torch.set_num_threads(1)
    memory = {task: measure_memory(task) for task in ("step", "image topk", "image relu")}
    print(memory, flush=True)
    tokens = draw_tokens(BATCH)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokens.npy"
        np.save(path, tokens.numpy())
        pythons = {name: peer_python(name) for name in PEERS} if pythons is None else pythons
        peers = {name: Peer(name, python, path) for name, python in pythons.items()}
        sides = {
            "trilineage": Ours(tokens),
            "encoder product alone": Product(tokens),
            "plain dense": Plain(tokens),
        }
        topk = take_turns(sides | peers, n_rounds)
        for peer in peers.values():
            peer.close()
    del sides
    relu = {}
    for l0 in L0S:
        sides = {
            "trilineage": Ours(tokens, l0=l0),
            "encoder product alone": Product(tokens),
            "plain dense": Plain(tokens, l0=l0),
        }
        relu[l0] = take_turns(sides, max(1, n_rounds // 2))
    text = page(topk, relu, memory)
    write_atomically(results_dir / "sae.md", text.encode())
    print(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sparsify-python", type=Path, help="environment with eai-sparsify 1.3.3")
    parser.add_argument("--saelens-python", type=Path, help="environment with sae-lens 6.54")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="steps of each side")
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        print(memory_of(arguments.memory))
        sys.exit()
    given = (arguments.sparsify_python, arguments.saelens_python)
    chosen = dict(zip(PEERS, given, strict=True)) if all(given) else None
    main(RESULTS, pythons=chosen, n_rounds=arguments.rounds)
