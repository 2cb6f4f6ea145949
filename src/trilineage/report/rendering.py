"""How pages are rendered: every value escaped, nothing undefined, drawings as they are, one frame around all."""

import base64
import hashlib
import re
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

DISCLAIMER = "Research use only. Not a medical device."


def page_environment() -> Environment:
    """Return the templates of the package; what `base.html.j2` needs is known to all of them."""
    environment = Environment(
        loader=PackageLoader("trilineage.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["drawing"] = Markup  # drawings escape their own texts
    environment.filters["address"] = quote
    script = template_text(environment, "page.js")
    environment.globals["disclaimer"] = DISCLAIMER
    environment.globals["page_script"] = Markup(script)  # noqa: S704  (our own file)
    environment.globals["page_script_hash"] = script_hash(script)
    return environment


def render_page(template: str, **values: object) -> str:
    """Return a page as HTML: a template of the package that extends `base.html.j2`, filled."""
    return tidied(page_environment().get_template(template).render(**values))


def template_text(environment: Environment, name: str) -> str:
    """Return a file of the templates as it stands."""
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def script_hash(script: str) -> str:
    """Return what the policy of a page names a script by that may run.

    Examples
    --------
    >>> script_hash("")
    'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='
    """
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def tidied(page: str) -> str:
    """Cut spaces at the ends of lines."""
    return re.sub(r"[ \t]+$", "", page, flags=re.MULTILINE)
