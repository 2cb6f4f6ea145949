"""Every method gives maps of every target by its name, however the images are divided."""

import numpy as np
import pytest

from trilineage.explain.saliency.methods import SaliencySettings, explain_images


@pytest.mark.parametrize("method", ["gradcam", "gradcam_signed", "rollout", "occlusion"])
def test_a_method_gives_the_same_maps_in_batches_of_any_size(pictures, tree, method):
    model, targets = pictures.classifier("small_vit", tree), pictures.paths(tree, ["ALL", "normal", "AML"])
    found = [
        explain_images(
            model,
            pictures.noise(),
            targets,
            settings=SaliencySettings(method=method, batch_size=size, occlusion_cells=4),
            images=("x", "y", "z"),
        )
        for size in (2, 8)
    ]
    assert found[0].values.shape == (3, 2, 4, 4)
    assert (found[0].images, found[0].method, found[0].image_size) == (("x", "y", "z"), method, (32, 32))
    np.testing.assert_allclose(found[0].values, found[1].values, rtol=1e-3, atol=1e-6)
    assert np.isnan(found[0].values[1, 1]).all()


def test_rollout_is_the_same_for_every_target(pictures, tree):
    model, targets = pictures.classifier("small_vit", tree), pictures.paths(tree, ["ALL", "AML"])
    values = explain_images(
        model, pictures.noise(2), targets, settings=SaliencySettings(method="rollout")
    ).values
    np.testing.assert_array_equal(values[:, 0], values[:, 1])
    assert not np.array_equal(values[0], values[1])
