"""Every reader that is fuzzed: sound files to begin with, and how this package opens them."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "pipelines"))


@dataclass(frozen=True)
class Reader:
    """One reader under test."""

    make: Callable[[Path], None]
    """Write sound files into an empty folder."""
    read: Callable[[Path, str], object]
    """Open what lies in the folder, as far as a command would, or of independent files the one that is named."""
    damaged: tuple[str, ...]
    """Patterns of the files that are damaged, one at a time."""
    is_text: bool = False
    """Whether the files are texts."""
    refuses_all: bool = False
    """Whether every change must be refused, because a digest stands guard."""


def make_h5ad(folder: Path) -> None:
    import anndata
    import pandas as pd
    from scipy import sparse

    random = np.random.default_rng(0)
    counts = sparse.csr_matrix(random.poisson(0.7, (40, 30)).astype(np.float32))
    names = [f"cell{number}" for number in range(40)]
    obs = pd.DataFrame({"donor": [f"D{i % 8}" for i in range(40)], "label": ["AML", "ALL"] * 20}, index=names)
    obs["label"] = obs["label"].astype("category")
    obs["age"] = random.normal(60, 9, 40)
    var = pd.DataFrame({"symbol": [f"S{i}" for i in range(30)]}, index=[f"ENSG{i:011d}" for i in range(30)])
    anndata.AnnData(counts, obs, var).write_h5ad(folder / "blood.h5ad", compression="gzip")


def read_h5ad(folder: Path, name: str) -> object:
    from trilineage.data.expression.open import ExpressionSettings, open_expression

    data = open_expression(ExpressionSettings(path=str(folder / "blood.h5ad")))
    return data.take(np.arange(data.n_obs))


def make_expression_table(folder: Path) -> None:
    random = np.random.default_rng(1)
    rows = ["sample,patient,label," + ",".join(f"ENSG{i:011d}" for i in range(12))]
    for number in range(20):
        counts = ",".join(str(value) for value in random.poisson(20, 12))
        rows.append(f"s{number},P{number // 2},{('AML', 'ALL')[number // 2 % 2]},{counts}")
    (folder / "bulk.csv").write_text("\n".join(rows) + "\n")


def read_expression_table(folder: Path, name: str) -> object:
    from trilineage.data.expression.open import ExpressionSettings, open_expression

    data = open_expression(ExpressionSettings(path=str(folder / "bulk.csv")))
    return data.take(np.arange(data.n_obs))


def make_images(folder: Path) -> None:
    from PIL import Image

    pixels = np.random.default_rng(2).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    colour, grey = Image.fromarray(pixels), Image.fromarray(pixels[:, :, 0])
    colour.save(folder / "a.jpg", quality=90)
    colour.save(folder / "b.jpg", progressive=True)
    colour.save(folder / "c.png")
    colour.quantize(16).save(folder / "d.png")
    colour.save(folder / "e.tif", compression="tiff_lzw")
    grey.save(folder / "f.tif", compression="tiff_deflate")
    colour.save(folder / "g.bmp")
    Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257).save(folder / "h.png")


def read_images(folder: Path, name: str) -> None:
    from trilineage.core.errors import DataError
    from trilineage.data.images.decoding import decode, decode_sized, probe

    content, refusals = (folder / name).read_bytes(), []
    for use in (probe, decode, lambda data: decode_sized(data, (16, 16), "pad")):
        try:
            use(content)
        except DataError as error:  # a header may be sound where the pixels are not
            refusals.append(error)
    if refusals:
        raise refusals[0]


def make_manifest(folder: Path) -> None:
    from PIL import Image

    rows = ["path,label,patient,site"]
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"cell{number}.png")
        rows.append(
            f"cell{number}.png,{('AML', 'ALL')[number % 2]},P{number // 2},{'north' if number < 3 else 'south'}"
        )
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")


def read_manifest(folder: Path, name: str) -> object:
    from trilineage.data.images.open import open_images
    from trilineage.data.images.settings import ImageDataSettings

    return open_images(ImageDataSettings(path=str(folder / "manifest.csv"), size=16, min_size=8))


def make_boxes(folder: Path) -> None:
    (folder / "boxes.csv").write_text(
        "file,object,x0,y0,x1,y1\na.jpg,WBC,1,2,30,40\na.jpg,RBC,5,5,9,9\nb.jpg,WBC,0,0,20,20\n"
    )
    (folder / "readers.csv").write_text(
        "item,reader,label\na.jpg,R1,AML\na.jpg,R2,ALL\nb.jpg,R1,AML\nb.jpg,R2,AML\n"
    )
    (folder / "voc").mkdir()
    (folder / "voc" / "a.xml").write_text(
        "<annotation><filename>a.jpg</filename><size><width>64</width><height>48</height></size><object><name>WBC</name>"
        "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>"
    )


def read_boxes(folder: Path, name: str) -> object:
    from trilineage.data.regions import read_boxes, read_voc
    from trilineage.evaluation.readers import read_reader_table

    reads = {"voc/a.xml": read_voc, "boxes.csv": read_boxes, "readers.csv": read_reader_table}
    return reads[name](folder / name)


def make_settings(folder: Path) -> None:
    from trilineage.data.taxonomy import load_taxonomy
    from trilineage.pipelines.concepts import Config as ConceptsConfig
    from trilineage.pipelines.images import Config as ImagesConfig
    from trilineage.pipelines.rna import Config as RnaConfig

    for name, config in (("rna", RnaConfig), ("images", ImagesConfig), ("concepts", ConceptsConfig)):
        config().save(folder / f"{name}.toml")
    (folder / "taxonomy.toml").write_text(load_taxonomy("leukemia").to_toml())


def read_settings(folder: Path, name: str) -> object:
    from trilineage.data.taxonomy import load_taxonomy
    from trilineage.pipelines.concepts import Config as ConceptsConfig
    from trilineage.pipelines.images import Config as ImagesConfig
    from trilineage.pipelines.rna import Config as RnaConfig

    if name == "taxonomy.toml":
        return load_taxonomy(folder / name)
    config = {"rna.toml": RnaConfig, "images.toml": ImagesConfig, "concepts.toml": ConceptsConfig}[name]
    return config.load(folder / name, ())


def make_tokens(folder: Path) -> None:
    import time

    from trilineage.data.tokens.shards import TokenFolder, write_shard
    from trilineage.data.tokens.source import TokenSource

    source = TokenSource(
        backbone="small_vit",
        weights="0" * 64,
        block=1,
        image_size=(16, 16),
        grid=(2, 2),
        n_prefix=1,
        keep="both",
        width=8,
        dtype="float16",
        images="1" * 64,
    )
    store = TokenFolder(folder, source, n_images=6, images_per_shard=3)
    store.write()
    random = np.random.default_rng(3)
    for number in range(store.n_shards):
        with write_shard(store, number, clock=time.monotonic) as writer:
            tokens = random.normal(size=store.shape_of(number)).astype(np.float16)
            writer.add(tokens, np.linalg.norm(tokens.astype(np.float32), axis=2))


def read_tokens(folder: Path, name: str) -> object:
    from trilineage.data.tokens.store import TokenStore

    store = TokenStore.open(folder)
    store.read(np.arange(len(store)))
    return store.norms()


def make_images_run(folder: Path) -> None:
    from smears import write_smears

    from trilineage.pipelines import images

    cells = write_smears(folder / "smears", n_patients=2)
    overrides = {
        "data.path": str(cells / "manifest.csv"),
        "data.size": 16,
        "backbone.name": "small_cnn",
        "training.epochs": 1,
        "split.valid_fraction": 0.5,
        "split.test_fraction": 0.5,
        "evaluation.n_bootstrap": 100,
        "evaluation.n_permutations": 99,
    }
    images.fit(images.Config.load(None, overrides), folder / "run", device="cpu")


def read_images_run(folder: Path, name: str) -> object:
    from trilineage.core.artifacts import Run
    from trilineage.models.classifier_file import load_image_classifier
    from trilineage.pipelines.images import Config

    run = Run.open(folder / "run", kind="images")
    run.config(Config)
    run.read_text("taxonomy.toml")
    run.predictions()
    return load_image_classifier(folder / "run")


def make_rna_run(folder: Path) -> None:
    from trilineage.data.simulate.expression import simulate_expression
    from trilineage.data.simulate.settings import SimulationSettings
    from trilineage.pipelines import rna

    world = SimulationSettings(n_classes=2, n_donors_per_class=4, n_cells_per_donor=8, n_genes=60, seed=3)
    simulate_expression(world).to_anndata().write_h5ad(folder / "blood.h5ad")
    overrides = {
        "data.path": str(folder / "blood.h5ad"),
        "autoencoder.hidden": (8,),
        "autoencoder.n_latent": 4,
        "autoencoder_training.epochs": 1,
        "classifier_training.epochs": 1,
        "evaluation.n_bootstrap": 100,
        "evaluation.n_permutations": 99,
        "evaluation.n_nulls": 0,
    }
    rna.fit(rna.Config.load(None, overrides), folder / "run", device="cpu")


def read_rna_run(folder: Path, name: str) -> object:
    import torch

    from trilineage.core.artifacts import Run
    from trilineage.pipelines._rna.store import read_diagnoser
    from trilineage.pipelines.rna import Config

    run = Run.open(folder / "run", kind="rna")
    run.config(Config)
    run.scores()
    run.read_table("split.csv")
    return read_diagnoser(run, "fold0", device=torch.device("cpu"))


def make_foreign_weights(folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    random = torch.Generator().manual_seed(0)
    tensors = {
        "W_enc": torch.randn(4, 12, generator=random),
        "W_dec": torch.randn(12, 4, generator=random),
        "b_enc": torch.zeros(12),
        "b_dec": torch.zeros(4),
    }
    torch.save({"cfg": {"d_in": 4, "expansion_factor": 3}, "state_dict": tensors}, folder / "cytosae.pt")
    save_file(tensors, folder / "sae_weights.safetensors")
    torch.save(tensors, folder / "net.pth")


def read_foreign_weights(folder: Path, name: str) -> object:
    from trilineage.data.sae_formats.open import open_sae
    from trilineage.models.backbones.spec import BackboneSettings
    from trilineage.models.backbones.weights import read_weights

    if name == "cytosae.pt":
        return open_sae(folder / name)
    return read_weights(BackboneSettings(weights=str(folder / name)))


def make_barcodes(folder: Path) -> None:
    from scipy import sparse

    from trilineage.data.barcodes.barcode import Barcodes
    from trilineage.data.barcodes.files import write_barcodes

    values = sparse.csr_array(np.random.default_rng(4).poisson(0.8, (6, 10)).astype(np.float32))
    names, labels = np.array([f"P{i}" for i in range(6)]), np.array(["AML", "ALL"] * 3)
    write_barcodes(folder / "barcodes.h5ad", Barcodes(names, values, np.full(6, 12), labels, labels))


def read_barcodes(folder: Path, name: str) -> object:
    from trilineage.data.barcodes.files import read_barcodes as read

    return read(folder / "barcodes.h5ad")


RUN_FILES = ("run/run.json", "run/config.toml", "run/weights/*.safetensors")
READERS = {
    "h5ad": Reader(make_h5ad, read_h5ad, ("*.h5ad",)),
    "expression table": Reader(make_expression_table, read_expression_table, ("*.csv",), is_text=True),
    "images": Reader(make_images, read_images, ("*.*",)),
    "manifest": Reader(make_manifest, read_manifest, ("manifest.csv",), is_text=True),
    "boxes and readers": Reader(make_boxes, read_boxes, ("*.csv", "voc/*.xml"), is_text=True),
    "TOML": Reader(make_settings, read_settings, ("*.toml",), is_text=True),
    "token shards": Reader(make_tokens, read_tokens, ("*.npy", "*.json")),
    "images Run": Reader(
        make_images_run,
        read_images_run,
        (*RUN_FILES, "run/taxonomy.toml", "run/predictions.npz"),
        refuses_all=True,
    ),
    "rna Run": Reader(
        make_rna_run,
        read_rna_run,
        (*RUN_FILES, "run/genes.csv", "run/scores.json", "run/split.csv"),
        refuses_all=True,
    ),
    "barcodes": Reader(make_barcodes, read_barcodes, ("*.h5ad",)),
    "foreign weights": Reader(make_foreign_weights, read_foreign_weights, ("*.pt", "*.pth", "*.safetensors")),
}
