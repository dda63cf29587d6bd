"""`./linli COMMAND`: one module in `server/commands/` for each."""

import argparse
import importlib
import os
import sys

from sqlalchemy.exc import OperationalError

from server.commands import ASKED_WRONGLY, DONE, IN_THE_WAY, INTERRUPTED, Stop
from server.lock import DataInUse
from server.settings import SettingError

COMMANDS = ("demo", "serve", "invite", "migrate", "backup", "restore", "epoch", "doctor", "version", "test", "bench")


def main(argv: list[str]) -> int:
    # Only the asked command is imported: `./linli test` must run where the rest of the code is broken.
    argv = argv or ["--help"]
    asked = tuple(argv[:1])
    arguments = parser(asked if set(asked) & set(COMMANDS) else COMMANDS).parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except SettingError as error:
        return complain(str(error), ASKED_WRONGLY)
    except Stop as stop:
        return complain(stop.message, stop.exit_code)
    except DataInUse as error:
        return complain(f"{error} Stop it first (Ctrl+C where it runs).", IN_THE_WAY)
    except OperationalError as error:
        return complain(f"the database does not answer ({error.orig}). `./linli doctor` says more.", IN_THE_WAY)
    except KeyboardInterrupt:
        return INTERRUPTED


def parser(commands: tuple[str, ...]) -> argparse.ArgumentParser:
    """A command's docstring is its help: the first line sums it up, the rest explains."""
    top = argparse.ArgumentParser(
        prog="linli",
        description="Linli: home visits and events for a neighbourhood, with or without a network.",
        epilog="`./linli COMMAND --help` explains one.",
    )
    names = top.add_subparsers(metavar="COMMAND", required=True)
    for name in commands:
        module = importlib.import_module(f"server.commands.{name}")
        description = module.__doc__ or ""
        command = names.add_parser(
            name,
            help=description.partition("\n")[0],
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return top


def complain(message: str, exit_code: int) -> int:
    print(f"linli: {message}", file=sys.stderr)
    return exit_code


if __name__ == "__main__":
    # A pipe that closes early (`./linli doctor | head`) is nobody's mistake.
    try:
        exit_code = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        exit_code = DONE
    sys.exit(exit_code)
