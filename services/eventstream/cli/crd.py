"""`eventstream crd`: the CustomResourceDefinition as YAML on stdout."""

from __future__ import annotations

import click

from eventstream.crd import as_yaml


@click.command()
def crd() -> None:
    """Print the EventStream CustomResourceDefinition as YAML.

    The chart installs it; print it to apply it by hand or to read the schema.

    \b
    Examples:
      eventstream crd | kubectl apply --server-side -f -
    """
    click.echo(as_yaml(), nl=False)
