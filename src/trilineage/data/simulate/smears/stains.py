"""Dyes, laboratories and slides: absorbances in optical density, background, blur, noise and compression."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from trilineage.core.seeding import generator
from trilineage.data.simulate.smears.settings import SmearSettings

DYES = ("eosin", "azure", "purple", "haemoglobin")
"""Dyes in the order of the canvas: eosin Y, azure B, their purple complex in chromatin and azurophilic granules (the
Romanowsky-Giemsa effect), and haemoglobin stained by eosin."""

ABSORBANCES: Float[np.ndarray, "dye colour"] = np.array(
    [
        [0.10, 0.74, 0.64],
        [0.78, 0.60, 0.20],
        [0.98, 1.60, 0.66],
        [0.18, 0.43, 0.33],
    ]
)
"""Optical density (natural log) by red, green and blue of one unit of each dye, in a laboratory of average habits."""

RED_CELL_HUES: Float[np.ndarray, "hue colour"] = np.array([[0.27, 0.39, 0.22], [0.09, 0.46, 0.45]])
"""Absorbances of haemoglobin between which laboratories lie: mauve and salmon."""

BACKGROUNDS: Float[np.ndarray, "tint colour"] = np.array(
    [[0.95, 0.93, 0.92], [0.985, 0.90, 0.80], [0.85, 0.845, 0.915], [0.90, 0.925, 0.90]]
)
"""Colours of empty glass between which cameras lie: neutral, warm, lavender, greenish."""


class Site(NamedTuple):
    """Habits of one laboratory."""

    name: str
    """Name, as in the tables."""
    absorbances: Float[np.ndarray, "dye colour"]
    """Its dyes."""
    background: Float[np.ndarray, " colour"]
    """Colour of empty glass, from 0 to 1."""
    blur_um: float
    """Typical standard deviation of the blur."""
    noise: float
    """Standard deviation of the camera's noise in white."""
    shading: float
    """Typical difference of the light across an image."""
    gamma: float
    """Exponent of the camera's response; 1 keeps optical densities."""
    quality: int
    """JPEG quality."""


def draw_site(settings: SmearSettings, number: int) -> Site:
    """Draw the habits of one laboratory from a stream of its own; with `site_effect` 0 all are the same."""
    random = generator(settings.seed, "smears", "site", number)
    effect = settings.site_effect
    amounts = np.exp(effect * 0.13 * random.standard_normal((4, 1)))
    hues = np.exp(effect * 0.10 * random.standard_normal((4, 3)))
    absorbances = ABSORBANCES * amounts * hues
    hue = random.random()
    share = min(effect, 1.0)
    lying = hue * RED_CELL_HUES[0] + (1 - hue) * RED_CELL_HUES[1]
    absorbances[3] *= (1 - share) + share * lying / ABSORBANCES[3]
    tints = random.dirichlet(np.full(len(BACKGROUNDS), 0.5))
    background = (1 - share) * BACKGROUNDS[0] + share * tints @ BACKGROUNDS
    low, high = settings.jpeg_quality
    quality = low + random.random() * (high - low) if effect > 0 else (low + high) / 2
    return Site(
        name=f"site-{number + 1}",
        absorbances=absorbances,
        background=background,
        blur_um=settings.blur_um * float(np.exp(effect * 0.25 * random.standard_normal())),
        noise=settings.noise * float(np.exp(effect * 0.3 * random.standard_normal())),
        shading=0.03 * float(np.exp(effect * 0.4 * random.standard_normal())),
        gamma=float(np.exp(effect * 0.06 * random.standard_normal())),
        quality=round(quality),
    )
