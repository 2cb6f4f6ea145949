"""The pytorch-grad-cam side of bench_saliency.py; runs in an environment of its own and imports nothing of trilineage.

    python gradcam_side.py FOLDER timm_name

The folder holds the weights, the image, the leaves of every node and the targets, as bench_saliency.py wrote them. For
every line "go PLACES" it makes the maps of the targets at these places, one call each as the library's README shows,
writes them to FOLDER/maps.npy and prints a JSON line with the seconds.
"""

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch

_SCHEMAS = torch.library.Library("torchvision", "DEF")


def import_torchvision():
    """Import torchvision beside a CPU build of torch, where its compiled operators do not load."""
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        _SCHEMAS.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _SCHEMAS.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision  # noqa: F401


import_torchvision()
import timm  # noqa: E402
from pytorch_grad_cam import GradCAM  # noqa: E402
from safetensors.torch import load_file  # noqa: E402


class NodeClassifier(torch.nn.Module):
    """Pixels to log-probabilities of nodes: a timm network, a linear map, a softmax summed up the tree."""

    def __init__(self, name, size, weights, leaf_sets):
        super().__init__()
        options = {"img_size": size} if name.startswith("vit") else {}
        self.net = timm.create_model(name, num_classes=0, **options)
        self.net.load_state_dict({key[4:]: value for key, value in weights.items() if key.startswith("net.")})
        n_leaves, width = weights["head.weight"].shape
        self.head = torch.nn.Linear(width, n_leaves)
        self.head.load_state_dict({"weight": weights["head.weight"], "bias": weights["head.bias"]})
        for key in ("mean", "std"):
            self.register_buffer(key, torch.tensor(self.net.pretrained_cfg[key]).view(1, 3, 1, 1))
        self.register_buffer("outside", ~leaf_sets)

    def forward(self, pixels):
        log_p = self.head(self.net((pixels - self.mean) / self.std)).log_softmax(dim=1)
        return log_p[:, None].masked_fill(self.outside, -torch.inf).logsumexp(dim=2)


class NodeTarget:
    """log p(node) less log p(its siblings)."""

    def __init__(self, node, against):
        self.node, self.against = node, against

    def __call__(self, log_p):
        return log_p[self.node] - log_p[self.against].logsumexp(dim=0)


def camera(model, name):
    """Return GradCAM as the README sets it up for this kind of network."""
    if not name.startswith("vit"):
        return GradCAM(model=model, target_layers=[model.net.stages[-1].blocks[-1]])
    rows, columns = model.net.patch_embed.grid_size
    n_prefix = model.net.num_prefix_tokens

    def to_grid(tokens):
        return tokens[:, n_prefix:].reshape(len(tokens), rows, columns, -1).permute(0, 3, 1, 2)

    return GradCAM(model=model, target_layers=[model.net.blocks[-1].norm1], reshape_transform=to_grid)


def main():
    folder, name = Path(sys.argv[1]), sys.argv[2]
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    with np.load(folder / "case.npz") as file:
        pixels, leaf_sets = torch.from_numpy(file["pixels"]), torch.from_numpy(file["leaf_sets"])
        nodes, against = file["nodes"], torch.from_numpy(file["against"])
    model = NodeClassifier(name, pixels.shape[2], load_file(folder / "weights.safetensors"), leaf_sets).eval()
    cam = camera(model, name)
    print("ready", flush=True)
    for line in sys.stdin:
        places = [int(place) for place in line.split()[1:]]
        start = time.perf_counter()
        maps = [
            cam(input_tensor=pixels, targets=[NodeTarget(nodes[place], against[place])]) for place in places
        ]
        seconds = time.perf_counter() - start
        np.save(folder / "maps.npy", np.concatenate(maps), allow_pickle=False)
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
