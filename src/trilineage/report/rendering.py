"""How pages are rendered: every value escaped, nothing undefined, drawings as they are."""

import re

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

DISCLAIMER = "Research use only. Not a medical device."


def page_environment() -> Environment:
    """Return the templates of the package."""
    environment = Environment(
        loader=PackageLoader("trilineage.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["drawing"] = Markup  # drawings escape their own texts
    return environment


def tidied(page: str) -> str:
    """Cut spaces at the ends of lines."""
    return re.sub(r"[ \t]+$", "", page, flags=re.MULTILINE)
