"""On real smears: maps, masks and boxes meet on the same pixels."""

from pathlib import Path

import numpy as np
import pytest
import torch

from trilineage.data.images.decoding import decode, decode_sized
from trilineage.data.regions import box_mask, fit_mask, mask_files, read_boxes, read_mask, read_voc
from trilineage.evaluation.localisation import localisation, region_shares
from trilineage.explain.faithfulness import perturbation_curves, random_maps
from trilineage.explain.saliency.targets import NodeTarget, Targets

SHAPE = (96, 96)
N_IMAGES = 6


@pytest.fixture(scope="module")
def bccd(real_data) -> Path:
    folder = real_data / "images" / "bccd"
    if not folder.is_dir():
        pytest.skip("the BCCD images are not there")
    return folder


@pytest.fixture(scope="module")
def smears(bccd):
    """Pixels in [0, 1] and masks of white cells, at the working size."""
    files = list(mask_files(bccd / "wbc_masks").items())[:N_IMAGES]
    pixels = [
        decode_sized((bccd / "JPEGImages" / f"{stem}.jpg").read_bytes(), SHAPE, "squash") for stem, _ in files
    ]
    masks = np.stack([fit_mask(read_mask(path), SHAPE, "squash") for _, path in files])
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255, masks


def purple(pixels: torch.Tensor) -> np.ndarray:
    """What a stain-reading classifier would look at: blue over green, as nuclei have it."""
    values = (pixels[:, 2] - pixels[:, 1]).clamp_min(0) ** 3
    return values.numpy()


def test_masks_lie_in_the_boxes_of_their_images(bccd):
    for stem, path in list(mask_files(bccd / "wbc_masks").items())[:N_IMAGES]:
        mask = read_mask(path)
        assert mask.shape == decode((bccd / "JPEGImages" / f"{stem}.jpg").read_bytes()).shape[:2]
        boxes = box_mask(read_voc(bccd / "Annotations" / f"{stem}.xml"), mask.shape, ["WBC"])
        assert mask[boxes].sum() > 0.8 * mask.sum()


def test_the_stain_of_the_nucleus_points_at_the_white_cell(smears):
    pixels, masks = smears
    found = [
        localisation(values, mask, tolerance=0) for values, mask in zip(purple(pixels), masks, strict=True)
    ]
    assert np.mean([score.pointing for score in found]) > 0.8
    assert np.mean([score.energy for score in found]) > 2 * np.mean(
        [score.energy_by_chance for score in found]
    )
    shares = region_shares(purple(pixels)[0], {"cell": masks[0]})
    assert sum(shares.values()) == pytest.approx(1.0)


def test_a_classifier_of_stain_is_read_from_the_white_cell(smears, pictures):
    pixels, masks = smears
    stain = pictures.PlainClassifier(
        pictures.GridBackbone(), torch.tensor([[0.0, -9.0, 9.0], [0.0, 0.0, 0.0]])
    )
    targets = Targets.same([NodeTarget(0)], len(pixels), ("purple", "pale"))
    true = perturbation_curves(stain, pixels, targets, masks[:, None].astype(np.float32), n_steps=8)
    noise = random_maps(len(pixels), 1, (8, 8), SHAPE, seed=0)
    chance = perturbation_curves(stain, pixels, targets, noise, n_steps=8)
    assert true.deletion_auc.mean() < chance.deletion_auc.mean()
    assert true.insertion_auc.mean() > chance.insertion_auc.mean()


def test_the_boxes_of_white_cells_in_pbc_are_where_the_images_are(real_data):
    folder = real_data / "images" / "pbc_barcelona"
    if not folder.is_dir():
        pytest.skip("the PBC images are not there")
    boxes = read_boxes(folder / "boxes_txl_pbc.csv")
    assert (len(boxes), sum(map(len, boxes.values()))) == (500, 9170)
    kinds = {box.object for found in boxes.values() for box in found}
    assert kinds == {"WBC", "RBC", "Platelet"}
