"""Options that several commands have."""

from __future__ import annotations

import click

settings = click.option(
    "-s", "--set", "pairs", multiple=True, metavar="KEY=VALUE", help="A setting, stronger than every other source."
)
arguments = click.option(
    "-a", "--arg", "arguments", multiple=True, metavar="KEY=VALUE", help="A spider's argument."
)
folder = click.option(
    "--output-folder", "root", metavar="DIR", help="Where runs are kept, DIR/SPIDER/RUN.  [default: output]"
)
outputs = click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="PATH",
    help="Write the items there: .jsonl .json .csv .tsv .xml, each also .gz; .sqlite; '-' is standard output. "
    "{date}, {run} and {spider} are filled in.",
)
append = click.option("--append", is_flag=True, help="Add to what PATH holds already.")
