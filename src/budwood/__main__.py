"""`python -m budwood`: the same as the command `budwood`."""

from budwood.cli import command

if __name__ == "__main__":
    command()
