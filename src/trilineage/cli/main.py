"""The `trilineage` command: its groups, its version, and what is said before anything else."""

from typing import Annotated

import typer

from trilineage import __version__
from trilineage.cli import cases, concepts, data, demo, doctor, images, report, rna
from trilineage.cli.messages import configure_messages

app = typer.Typer(
    name="trilineage",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(rna.app, name="rna")
app.add_typer(images.app, name="images")
app.add_typer(concepts.app, name="concepts")
app.add_typer(cases.app, name="cases")
app.command("report")(report.report)
app.add_typer(data.app, name="data")
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)


def _show_version(is_wanted: bool) -> bool:
    if is_wanted:
        typer.echo(f"trilineage {__version__}")
        raise typer.Exit
    return is_wanted


@app.callback(
    epilog="Exit codes: 0 done, 1 failed, 2 options to mend, 65 data to mend, 75 interrupted (run the same command "
    "again), 130 stopped. Every command takes --json, --quiet and --log-file.",
)
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show every log line and full tracebacks.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show results, warnings and errors only.")
    ] = False,
) -> None:
    """Blood disease from expression, images and concepts, with honest numbers and reasons. Research use only; not a
    medical device.
    """
    configure_messages(debug=debug, quiet=quiet)


if __name__ == "__main__":
    app(prog_name="trilineage")
