"""The `trilineage doctor` command: what is installed here, and what is missing for which command."""

import typer

from trilineage.cli.answers import answer
from trilineage.cli.door import EXIT_FAILED, door


@door()
def doctor() -> None:
    """Look at versions, devices, memory, disk, caches and programs, and say what is missing for which command.

    Quick and without the network. Leaves with 1 if something does not work.
    """
    from trilineage.cli.checkup import check_everything, is_ready
    from trilineage.cli.results import show_checks

    checks = check_everything()
    answer(is_ready=is_ready(checks), checks=checks)
    show_checks(checks)
    if not is_ready(checks):
        raise typer.Exit(EXIT_FAILED)
