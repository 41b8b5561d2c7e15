"""`budwood cache`: what is stored, whether it is intact, and how to be rid of it."""

import click

from budwood.cli.output import common_options, documented, show


@click.group("cache", no_args_is_help=False)
@documented
def cache() -> None:
    """List, check or clear the stored features.

    They only save time: whatever is cleared is computed again when it is needed.
    """


@cache.command("list")
@common_options
def list_() -> None:
    """List what is stored, and how large it is.

    One line for each tensor that is stored: its key, photos, bytes, shape and engine.

    \b
    Example:
      budwood cache list
    """
    from budwood.features.housekeeping import list_store

    show(list_store())


@cache.command("verify")
@common_options
def verify() -> int:
    """Read every stored byte; remove files that are damaged.

    Files that cannot be read are named and kept; the exit code is 1 then.

    \b
    Example:
      budwood cache verify
    """
    from budwood.features.housekeeping import verify_store

    checkup = verify_store()
    show(checkup)
    return 1 if checkup.unreadable else 0


@cache.command("clear")
@click.argument("makers", nargs=-1, metavar="[KEY...]")
@common_options
def clear(makers: tuple[str, ...]) -> None:
    """Remove stored features: those of the KEYs that `cache list` shows, or all.

    Without a KEY the converted trunks that are kept beside them go as well, and files that were
    left by processes that were killed.

    \b
    Example:
      budwood cache clear
    """
    from budwood.features.housekeeping import clear_store

    show(clear_store(makers))
