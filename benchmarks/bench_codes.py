"""Images to sparse codes and statistics of concepts: memory and rate, beside plain dense arrays.

    python benchmarks/bench_codes.py            # about two minutes

Width 768, 49,152 latents, 257 tokens per image, one thread. Seconds are those of the processor. Memory is measured in a
process of its own for each task: the largest resident memory above what was there before.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"

import numpy as np
import torch

from trilineage.core.files import write_atomically
from trilineage.core.seeding import generator
from trilineage.data.codes.image_codes import ImageCodes
from trilineage.evaluation.concepts.statistics import ConceptTally
from trilineage.models.sae.encode_images import encode_tokens
from trilineage.models.sae.model import SparseAutoencoder
from trilineage.models.sae.settings import SaeSettings
from trilineage.models.sae.summaries import summarise

WIDTH, N_LATENTS, N_TOKENS, K = 768, 49_152, 257, 32
IMAGE_MB_GOAL = 100
CODINGS = {"TopK, k = 32": 0, "ReLU, 300 active": 300, "ReLU, 1,000 active": 1000}
N_IMAGES, PER_BATCH, N_ACTIVE = 100_000, 500, 700
N_CLASSES, N_PATIENTS, N_REFERENCES = 18, 300, 16
N_DENSE = 320
RESULTS = Path(__file__).parent / "results"


def autoencoder(l0: int, tokens: torch.Tensor) -> SparseAutoencoder:
    """Return a random autoencoder with so many active latents per token; 0: the k largest."""
    settings = SaeSettings(activation="relu" if l0 else "topk", latents=N_LATENTS, k=K)
    model = SparseAutoencoder(WIDTH, settings).eval()
    if l0:
        with torch.no_grad():
            values = tokens[:32] @ model.encoder_weight.T
            level = values.flatten().kthvalue(values.numel() - 32 * l0).values
            model.encoder_bias.fill_(-float(level))
    return model


def encode_sparse(model: SparseAutoencoder, tokens: torch.Tensor) -> ImageCodes:
    """Encode an image as the package does."""
    codes = encode_tokens(model, tokens)
    return summarise(codes, n_tokens=len(tokens), n_prefix=1, tau=0.2, positions=np.arange(1))


@torch.no_grad()
def encode_dense(model: SparseAutoencoder, tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Encode an image with all latents of all tokens at hand."""
    f = torch.relu((tokens - model.decoder_bias) @ model.encoder_weight.T + model.encoder_bias)
    if model.settings.activation == "topk":
        best = f.topk(K, dim=1)
        f = torch.zeros_like(f).scatter(1, best.indices, best.values)
    patches = f[1:]
    return patches.sum(0), (patches > 0.2).sum(0), *patches.max(0), f[0]


def synthetic(n_images: int, *, seed: int = 0) -> Iterator[tuple[ImageCodes, np.ndarray, np.ndarray]]:
    """Give codes, classes and patients of images in batches: some latents are common, most are rare."""
    rng = generator(seed, "bench_codes")
    for start in range(0, n_images, PER_BATCH):
        steps = rng.standard_exponential((PER_BATCH, N_ACTIVE + 1), dtype=np.float32).cumsum(axis=1)
        uniform = steps[:, :-1] / steps[:, -1:]  # sorted
        drawn = np.minimum(N_LATENTS * uniform**2, N_LATENTS - 1).astype(np.int32)
        is_first = np.diff(drawn, axis=1, prepend=-1) > 0
        latents = drawn[is_first]
        n = len(latents)
        sums = rng.standard_exponential(n, dtype=np.float32) * 20
        codes = ImageCodes(
            np.arange(start, start + PER_BATCH),
            np.concatenate([[0], is_first.sum(axis=1).cumsum()]),
            latents,
            sums,
            np.ones(n, np.int32),
            sums / 4,
            np.zeros(n, np.int32),
            np.zeros(n, np.float32),
            n_latents=N_LATENTS,
            n_patches=N_TOKENS - 1,
            has_cls=True,
            tau=0.2,
        )
        patients = np.char.add("p", rng.integers(0, N_PATIENTS, PER_BATCH).astype(str))
        yield codes, rng.integers(0, N_CLASSES, PER_BATCH), patients


def tallied(n_images: int) -> tuple[ConceptTally, float]:
    """Return the tally of synthetic images, and the seconds spent in it."""
    tally, seconds = ConceptTally(N_LATENTS, N_CLASSES, max_references=N_REFERENCES), 0.0
    for batch in synthetic(n_images):
        start = time.process_time()
        tally.add(*batch)
        seconds += time.process_time() - start
    start = time.process_time()
    tally.statistics()
    tally.references()
    return tally, seconds + time.process_time() - start


def tallied_densely(n_images: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Return frequency and mean activation from dense arrays, with references without any cap, and the seconds."""
    counts, total, seconds = np.zeros(N_LATENTS), np.zeros(N_LATENTS), 0.0
    scores, images = np.zeros((N_REFERENCES, N_LATENTS), np.float32), np.zeros((N_REFERENCES, N_LATENTS), int)
    for codes, _, _ in synthetic(n_images):
        for rows in np.array_split(np.arange(n_images), n_images // 32):
            dense = codes.subset(rows).matrix("mean").toarray()
            start = time.process_time()
            counts += (dense > 0).sum(axis=0)
            total += dense.sum(axis=0)
            both = np.concatenate([scores, dense])
            best = np.argpartition(-both, N_REFERENCES, axis=0)[:N_REFERENCES]
            scores = np.take_along_axis(both, best, axis=0)
            where = np.broadcast_to(rows[:, None], dense.shape)
            images = np.take_along_axis(np.concatenate([images, where]), best, axis=0)
            seconds += time.process_time() - start
    return counts / n_images, total / np.maximum(counts, 1), seconds


def require_equal() -> None:
    """Make sure that both ways give the same figures before they are timed."""
    tally = ConceptTally(N_LATENTS, N_CLASSES)
    for codes, labels, patients in synthetic(N_DENSE):
        rows = np.arange(N_DENSE)
        tally.add(codes.subset(rows), labels[rows], patients[rows])
    frequency, mean, _ = tallied_densely(N_DENSE)
    found = tally.statistics()
    np.testing.assert_allclose(found.frequency, frequency)
    np.testing.assert_allclose(found.mean_activation, mean, rtol=1e-5)


def memory_of(task: str) -> tuple[float, ...]:
    """Return what a task adds to the memory of this process at most, in bytes; everything is compiled before."""
    torch.set_num_threads(1)
    if task.startswith("tally"):
        tallied(PER_BATCH)
        return peak_of(lambda: tallied(int(task.split()[1]))[1])
    way, name = task.split(": ")
    tokens = torch.randn(N_TOKENS, WIDTH, generator=torch.Generator().manual_seed(0))
    model = autoencoder(CODINGS[name], tokens)
    encode = encode_sparse if way == "sparse" else encode_dense
    encode(model, tokens[:2])
    return peak_of(lambda: encode(model, tokens))


def peak_of(work) -> tuple[float, ...]:
    """Return by how much the resident memory rose at most while some work was done, and what the work returned."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = high_water()
    told = work()
    return (high_water() - before, told) if isinstance(told, float) else (high_water() - before,)


def high_water() -> int:
    """Return the largest resident memory since the peak was last forgotten, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def measure_memory(task: str) -> list[float]:
    """Return the memory of a task, measured in a process of its own, in MB, and its seconds where it takes them."""
    command = [sys.executable, __file__, "--memory", task]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    print(task, done.stdout.strip(), flush=True)
    n_bytes, *seconds = map(float, done.stdout.split())
    return [n_bytes / 1e6, *seconds]


def seconds_of(encode, l0: int) -> float:
    """Return the seconds of encoding an image, the best of three."""
    tokens = torch.randn(N_TOKENS, WIDTH, generator=torch.Generator().manual_seed(0))
    model, found = autoencoder(l0, tokens), []
    for _ in range(4):
        start = time.process_time()
        encode(model, tokens)
        found.append(time.process_time() - start)
    return min(found[1:])


def page(encoding: list[str], rates: dict[str, float], memory: dict[int, float]) -> str:
    """Return the page."""
    few, many = sorted(memory)
    lines = [
        "# Codes of images and statistics of concepts",
        "",
        f"Width {WIDTH}, {N_LATENTS:,} latents, {N_TOKENS} tokens per image, float32, one thread, random numbers.",
        "Seconds are those of the processor; memory is what comes on top of the weights. Both sides give the same",
        "figures.",
        "",
        "## One image to its codes",
        "",
        f"| | trilineage, MB (goal: at most {IMAGE_MB_GOAL}) | Dense, MB | trilineage, s | Dense, s |",
        "|---|---|---|---|---|",
        *encoding,
        "",
        "## Statistics and references of all latents",
        "",
        f"About {N_ACTIVE} active latents per image, {N_CLASSES} classes, {N_PATIENTS} patients; {N_REFERENCES}",
        "references, capped per patient and class (the dense side: without caps, patches and classes).",
        "",
        "| | Images | Images/s |",
        "|---|---|---|",
        f"| trilineage | {many:,} | {rates['sparse']:,.0f} |",
        f"| Dense, in batches of 32 | {N_DENSE:,} | {rates['dense']:,.0f} |",
        "",
        f"trilineage is faster by {rates['sparse'] / rates['dense']:.0f}. Memory it adds: {memory[few]:.0f} MB over "
        f"{few:,} images,",
        f"{memory[many]:.0f} MB over {many:,} (a matrix of all images and latents would take "
        f"{many * N_LATENTS * 4 / 1e9:.1f} GB).",
        "",
    ]
    return "\n".join(lines)


def main(results_dir: Path) -> None:
    """Measure and write `codes.md`."""
    torch.set_num_threads(1)
    require_equal()
    encoding = []
    for name, l0 in CODINGS.items():
        found = [measure_memory(f"{way}: {name}")[0] for way in ("sparse", "dense")]
        found += [seconds_of(encode, l0) for encode in (encode_sparse, encode_dense)]
        encoding.append("| {} | {:.0f} | {:.0f} | {:.2f} | {:.2f} |".format(name, *found))
    tallies = {n_images: measure_memory(f"tally {n_images}") for n_images in (N_IMAGES // 4, N_IMAGES)}
    memory = {n_images: found[0] for n_images, found in tallies.items()}
    rates = {"sparse": N_IMAGES / tallies[N_IMAGES][1], "dense": N_DENSE / tallied_densely(N_DENSE)[2]}
    text = page(encoding, rates, memory)
    write_atomically(results_dir / "codes.md", text.encode())
    print(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        print(*memory_of(arguments.memory))
        sys.exit()
    main(RESULTS)
