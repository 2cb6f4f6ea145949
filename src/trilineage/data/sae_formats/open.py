"""A file or directory of any format that is known, recognised by what is in it."""

from pathlib import Path

from trilineage.core.errors import FormatError
from trilineage.data.sae_formats import dictionary_learning, saelens, sparsify
from trilineage.data.sae_formats.cytosae import read_cytosae
from trilineage.data.sae_formats.dictionary_learning import read_dictionary_learning
from trilineage.data.sae_formats.own import read_sae
from trilineage.data.sae_formats.saelens import read_saelens
from trilineage.data.sae_formats.sparsify import read_sparsify
from trilineage.data.sae_formats.weights import SaeWeights

_DIRECTORIES = {
    saelens.WEIGHTS_NAME: read_saelens,
    sparsify.WEIGHTS_NAME: read_sparsify,
    dictionary_learning.WEIGHTS_NAME: read_dictionary_learning,
}
_FILES = {".pt": read_cytosae, ".pth": read_cytosae, ".safetensors": read_sae}


def open_sae(path: Path | str, *, width: int | None = None) -> SaeWeights:
    """Return the weights of an autoencoder of CytoSAE, SAELens, sparsify, dictionary_learning or this package.

    Parameters
    ----------
    path
        A `.pt` or `.safetensors` file, or a directory.
    width
        Width of the tokens it is wanted for; None: any.

    Raises
    ------
    FormatError
        If it is none of these.
    UnsafeFileError
        If it carries code; it is not run.
    DataError
        If it is for tokens of another width.
    """
    path = Path(path)
    found = next((read for name, read in _DIRECTORIES.items() if (path / name).is_file()), None)
    read = found or (_FILES.get(path.suffix) if path.is_file() else None)
    if read is None:
        raise FormatError(
            f"{path} is no autoencoder that is known",
            seen="nothing there" if not path.exists() else "no known file in it or no known ending",
            allowed=", ".join([*_DIRECTORIES, *_FILES]),
            remedy="name the directory that holds the weights, or the file itself",
        )
    return read(path, width=width)
