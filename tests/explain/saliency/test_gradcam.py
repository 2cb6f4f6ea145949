"""Maps agree with Grad-CAM by the book, with captum and with a hand-computed case; maps of nothing are refused."""

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from torch import nn

from trilineage.core.errors import ArtifactError, ConfigError
from trilineage.explain.saliency.gradcam import path_maps
from trilineage.explain.saliency.targets import NodeTarget, Targets

NETWORKS = {
    "small_vit": {},
    "small_vit from its class token": {"backbone": {"pool": "cls"}},
    "small_cnn": {},
    "vit_tiny_patch16_224": {},
    "vit_small_patch14_reg4_dinov2": {"size": 42},
    "convnext_atto": {"size": 64},
    "resnet10t": {"size": 64},
}


def built(pictures, name, tree, **settings):
    return pictures.classifier(name.split()[0], tree, **{**NETWORKS[name], **settings})


def images(pictures, model, n_images=3):
    return pictures.noise(n_images, model.backbone.spec.image_size[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_maps_of_all_paths_equal_one_forward_and_backward_per_target(pictures, name, tree):
    model, targets = built(pictures, name, tree), pictures.paths(tree, ["ALL", "normal", "AML"])
    pixels = images(pictures, model)
    found = path_maps(model, pixels, targets, signed=True).numpy()
    assert found.shape == (3, 2, *model.backbone.spec.grid)
    expected = pictures.plain_maps(model, pixels, targets, relu=False)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.nanmax(abs(expected)))
    np.testing.assert_array_equal(np.isnan(found[1, 1]), True)


def test_maps_equal_captums(pictures, tree):
    model, targets = built(pictures, "small_cnn", tree), Targets.same([NodeTarget(3)], 3, tree.nodes)
    pixels = images(pictures, model)
    peer = LayerGradCam(model, model.backbone.saliency_layer).attribute(pixels, target=3)
    found = path_maps(model, pixels, targets, signed=True)
    torch.testing.assert_close(found[:, 0], peer[:, 0], rtol=1e-5, atol=1e-6)


def test_a_linear_classifier_is_mapped_by_hand(pictures, plain):
    targets = Targets.same([NodeTarget(0, against=(1,))], 1, ("red", "blue"))
    found = path_maps(plain, pictures.red_corner(), targets)[0, 0]
    # The evidence is 4 (mean red - mean blue); each of the 16 cells has a slope of 4/16 in red and -4/16 in blue.
    expected = torch.zeros(4, 4)
    expected[:2, :2] = 0.25 * (1.0 - 0.2)
    torch.testing.assert_close(found, expected)


def test_the_relu_keeps_what_speaks_for_a_target(pictures, tree):
    model, targets = built(pictures, "small_vit", tree), pictures.paths(tree, ["ALL", "AML", "AML"])
    signed = path_maps(model, images(pictures, model), targets, signed=True)
    torch.testing.assert_close(path_maps(model, images(pictures, model), targets), signed.relu())


def test_images_do_not_see_each_other(pictures, tree):
    model, targets = built(pictures, "convnext_atto", tree), pictures.paths(tree, ["ALL", "AML", "AML"])
    together = path_maps(model, images(pictures, model), targets, signed=True)
    alone = path_maps(model, images(pictures, model)[1:2], targets.take(slice(1, 2)), signed=True)
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("isolation", ["heads", "fine_to_coarse"])
def test_levels_isolated_in_training_are_explained_by_all_they_read(pictures, isolation, tree):
    model, targets = (
        built(pictures, "small_cnn", tree, isolation=isolation),
        pictures.paths(tree, ["ALL", "normal", "AML"]),
    )
    free = built(pictures, "small_cnn", tree)
    for head, same in zip(model.head.logits.heads, free.head.logits.heads, strict=True):
        missing = same.in_features - head.in_features  # coarser heads read all features, finer ones the last
        same.load_state_dict({"weight": nn.functional.pad(head.weight, (missing, 0)), "bias": head.bias})
    torch.testing.assert_close(model(images(pictures, model)), free(images(pictures, model)))
    expected = pictures.plain_maps(free, images(pictures, model), targets, relu=False)
    found = path_maps(model, images(pictures, model), targets, signed=True)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-6)


def test_modes_and_gradients_are_left_as_they_were(pictures, tree):
    model = built(pictures, "small_vit", tree).train()
    model.backbone.blocks[0].eval()
    path_maps(model, images(pictures, model), pictures.paths(tree, ["ALL", "AML", "AML"]))
    assert model.training
    assert not model.backbone.blocks[0].training
    assert torch.is_grad_enabled()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_layer_after_the_last_mixing_of_places_is_refused(pictures, tree):
    model = built(pictures, "small_vit from its class token", tree)
    with pytest.raises(ConfigError, match=r"zero everywhere.*leukemia against normal in image 0, 6 of 6"):
        path_maps(
            model,
            images(pictures, model),
            pictures.paths(tree, ["ALL"] * 3),
            layer=model.backbone.blocks[-1].norm2,
        )


def test_an_earlier_layer_of_a_class_token_is_mapped_as_by_the_book(pictures, tree):
    model = built(pictures, "small_vit from its class token", tree)
    targets, layer = pictures.paths(tree, ["ALL", "normal", "AML"]), model.backbone.blocks[2].norm1
    found = path_maps(model, images(pictures, model), targets, signed=True, layer=layer).numpy()
    expected = pictures.plain_maps(model, images(pictures, model), targets, relu=False, layer=layer)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.nanmax(abs(expected)))


def test_the_root_has_no_evidence(pictures, tree):
    model = built(pictures, "small_cnn", tree)
    with pytest.raises(ConfigError, match="zero everywhere"):
        path_maps(model, images(pictures, model), Targets.same([NodeTarget(0)], 3, tree.nodes))


def test_a_map_without_positive_evidence_is_refused_or_nan(plain):
    targets = Targets.same([NodeTarget(1)], 1, ("red", "blue"))
    pixels = torch.zeros(1, 3, 16, 16)
    pixels[:, 0] = 1.0  # all red: nothing speaks for blue
    with pytest.raises(ConfigError, match="nothing in the image speaks"):
        path_maps(plain, pixels, targets)
    assert path_maps(plain, pixels, targets, empty="nan").isnan().all()
    assert (path_maps(plain, pixels, targets, signed=True) < 0).all()


def test_weights_that_are_no_numbers_are_refused(pictures):
    broken = pictures.PlainClassifier(pictures.GridBackbone(), torch.full((2, 3), torch.nan))
    with pytest.raises(ArtifactError, match="not finite"):
        path_maps(broken, pictures.red_corner(), Targets.same([NodeTarget(0)], 1, ("red", "blue")))


def test_a_layer_that_does_not_run_once_is_refused(pictures, plain):
    targets = Targets.same([NodeTarget(0)], 1, ("red", "blue"))
    with pytest.raises(ConfigError, match="ran 0 times"):
        path_maps(plain, pictures.red_corner(), targets, layer=nn.ReLU())


def test_an_output_without_a_grid_is_refused(pictures, plain):
    plain.backbone.activation_to_grid = lambda activation: activation.flatten(2)
    with pytest.raises(ConfigError, match="no grid"):
        path_maps(plain, pictures.red_corner(), Targets.same([NodeTarget(0)], 1, ("red", "blue")))
