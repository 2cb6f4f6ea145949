"""The `trilineage data` commands: simulate blood with known truth."""

from pathlib import Path
from typing import Annotated

import typer

from trilineage.cli import options
from trilineage.cli.door import door

app = typer.Typer(no_args_is_help=True, help="Data: simulate blood with known truth.")


@app.command()
@door()
def simulate(
    out: Annotated[Path, typer.Option("--out", "-o", help="The h5ad file to write.")],
    config: options.Config = None,
    assignments: options.Set = None,
    threads: options.Threads = None,
) -> None:
    """Simulate the blood of patients with seven diagnoses, with the truth beside the counts."""
    options.limit_threads(threads)
    from trilineage.data.simulate.settings import SimulationSettings
    from trilineage.data.simulate.write import simulate_to_h5ad

    settings = options.configured(SimulationSettings, config, assignments)
    simulate_to_h5ad(settings, out)
    typer.echo(f"{settings.n_cells:,} cells, {settings.n_genes:,} genes: {out}")
