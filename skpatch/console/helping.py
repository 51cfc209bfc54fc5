# SPDX-License-Identifier: BSD-3-Clause
"""Help of the commands: options in groups, on terminals of any width."""

import shutil
import textwrap

import click

__all__ = ["Command", "Option", "help_width", "table"]

# Columns that click needs for options beside their help; it writes no help narrower than this.
_NARROW = 52


def help_width():
    """Columns of help on a terminal too narrow for click's own measure; None on others."""
    columns = shutil.get_terminal_size().columns
    return max(columns - 1, 20) if columns < _NARROW else None


def table(rows):
    """Names with what they mean, in lines for a terminal."""
    width = min(78, shutil.get_terminal_size().columns - 1)
    column = max(map(len, rows)) + 4 if width >= _NARROW else 4
    lines = []
    for key, text in rows.items():
        body = textwrap.wrap(text, width - column) or [""]
        first = f"  {key:<{column - 2}}"
        lines += [first + body.pop(0)] if width >= _NARROW else [first]
        lines += [" " * column + line for line in body]
    return "\n".join(lines)


class _Formatter(click.HelpFormatter):
    """Help with the text of options below them where there is no space beside."""

    def write_dl(self, rows, col_max=30, col_spacing=2):
        """Write options and their help."""
        super().write_dl(rows, col_max if self.width >= _NARROW - 2 else 2, col_spacing)


class _Context(click.Context):
    formatter_class = _Formatter


class Option(click.Option):
    """An option under a heading of the help."""

    def __init__(self, *args, heading, **kwargs):
        super().__init__(*args, **kwargs)
        self.heading = heading


class Command(click.Command):
    """A command whose help has its options under headings."""

    context_class = _Context

    def format_options(self, ctx, formatter):
        """Write the options."""
        headings = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                headings.setdefault(getattr(param, "heading", "Options"), []).append(record)
        for heading, records in headings.items():
            with formatter.section(heading):
                formatter.write_dl(records)
