"""Where everything of a demo lies: one folder, a Run or a file for every part of the story."""

from dataclasses import dataclass
from pathlib import Path

from trilineage.core.errors import ConfigError
from trilineage.core.files import write_atomically
from trilineage.data.simulate.cohort.settings import NEW
from trilineage.data.simulate.cohort.write import BLOOD, IMAGES, SMEARS
from trilineage.demo.settings import DemoSettings

SETTINGS = "demo.toml"


@dataclass(frozen=True)
class Demo:
    """One demo: its options and its folder."""

    settings: DemoSettings
    """Every option."""
    path: Path
    """Folder of everything."""
    device: str = "auto"
    """Where to compute."""

    @property
    def is_simulated(self) -> bool:
        """Whether the truth is known."""
        return not self.settings.data

    @property
    def cohort(self) -> Path:
        """Folder of the simulated cohort."""
        return self.path / "cohort"

    @property
    def smears(self) -> Path:
        """Table of the images of the cohort."""
        return self.cohort / SMEARS / IMAGES

    @property
    def masks(self) -> Path:
        """Folder of the masks of the cohort's images."""
        return self.cohort / SMEARS / "masks"

    @property
    def blood(self) -> Path:
        """Expression of the cohort."""
        return self.cohort / BLOOD

    @property
    def new_smears(self) -> Path:
        """Table of the images of the patients who come later."""
        return self.cohort / NEW / SMEARS / IMAGES

    @property
    def new_blood(self) -> Path:
        """Expression of the patients who come later."""
        return self.cohort / NEW / BLOOD

    @property
    def new(self) -> Path:
        """Folder of what was predicted for the patients who come later."""
        return self.path / NEW

    def run(self, lineage: str) -> Path:
        """Return the folder of the Run of a lineage."""
        return self.path / lineage

    @property
    def log(self) -> Path:
        """Folder of the logs of what runs beside."""
        return self.path / "log"


def open_demo(settings: DemoSettings, out: Path | str, device: str = "auto") -> Demo:
    """Return the demo of a folder, which is made or, if it is one of the same options, gone on with.

    Raises
    ------
    ConfigError
        If the folder holds a demo of other options, or something else.
    StorageError
        If it cannot be written.
    """
    folder, text = Path(out), settings.to_toml().encode()
    there = folder / SETTINGS
    is_other = folder.is_dir() and any(folder.iterdir()) and not there.exists()
    if is_other or (there.exists() and there.read_bytes() != text):
        raise ConfigError(
            f"{folder} holds something else" if is_other else f"{folder} holds a demo of other options",
            seen=there if there.exists() else ", ".join(sorted(one.name for one in folder.iterdir())[:5]),
            allowed="a new or empty folder, or the same options, to go on where it stopped",
            remedy="choose another --out",
        )
    if not there.exists():
        write_atomically(there, text)
    return Demo(settings, folder, device)


def read_demo(path: Path, device: str = "auto") -> Demo:
    """Return the demo that a folder holds."""
    return Demo(DemoSettings.load(path / SETTINGS), path, device)
