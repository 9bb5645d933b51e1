"""The entry point: mounts the commands and turns every expected error into one line."""

import io
import os
import sys
from typing import Annotated

import typer

from trunkline import __version__
from trunkline.cli import (
    analyze,
    backbone,
    catalog,
    compare,
    connecting,
    cotrain,
    data,
    demo,
    evaluate,
    explain,
    gallery,
    health,
    interrupts,
    jobs,
    keys,
    loadtest,
    models,
    models_import,
    models_known,
    models_measure,
    serve,
    task_command,
    train,
    usage,
)
from trunkline.cli.extras import in_checkout
from trunkline.cli.output import complain
from trunkline.core.errors import TrunklineError
from trunkline.core.text import shown
from trunkline.serving.ends import end_with

_READER_GONE = 128 + 13  # SIGPIPE

app = typer.Typer(
    name="trunkline",
    help="One backbone pass, every vision task: serve vision heads over gRPC, and ask them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve")(serve.serve)
task_command.add_to(app)
app.command("compare")(compare.compare)
app.command("explain")(explain.explain)
app.command("analyze")(analyze.analyze)
catalog.add_to(models.app)
models_import.add_to(models.app)
models_known.add_to(models.app)
models_measure.add_to(models.app)
app.add_typer(models.app, name="models")
app.add_typer(backbone.app, name="backbone")
app.add_typer(data.app, name="data")
app.add_typer(gallery.app, name="gallery")
app.command("train")(train.train)
app.command("cotrain")(cotrain.cotrain)
app.add_typer(jobs.app, name="jobs")
app.command("evaluate")(evaluate.evaluate)
app.add_typer(loadtest.app, name="loadtest")
app.add_typer(keys.app, name="keys")
app.command("health")(health.health)
app.command("demo")(demo.demo)
connecting.add_to(app)


@app.command("version", hidden=True)
def version() -> None:
    """Print the version."""
    print(f"trunkline {__version__}")


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def _options(
    version_wanted: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line. Ends with status 0, 2 for wrong use, 130 after Ctrl-C, 1 for the rest.

    Where the reader of what it prints goes away, as `head` does, it ends with 141 as other programs do.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # names of files are shown as they are, UTF-8 or not
    try:
        try:
            status = usage.command_of(app)(prog_name="trunkline", standalone_mode=False)
        except SystemExit as error:  # typer makes one of a pipe that broke
            raise error.__context__ if isinstance(error.__context__, BrokenPipeError) else error from None
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_READER_GONE)
    except KeyboardInterrupt:
        status = interrupts.STATUS
    except UnicodeEncodeError as error:  # of a message: a name on the command line
        complain(f"{shown(error.object)} is not UTF-8: names and ids must be")
        sys.exit(1)
    except usage.ERRORS as error:
        usage.complain_about(error)
        sys.exit(usage.STATUS)
    except Exception as error:
        if not _is_expected(error):
            raise
        complain(in_checkout(str(error)))
        sys.exit(1)
    if status == interrupts.STATUS:
        interrupts.ended()
    sys.exit(status or 0)


def _is_expected(error: Exception) -> bool:
    if isinstance(error, TrunklineError | OSError):
        return True
    # Whoever raised it has imported it; before that, it would cost half a second.
    errors = sys.modules.get("trunkline.client.errors")
    return errors is not None and isinstance(error, errors.ServiceError)


def program() -> None:
    """`main` as a process of its own, whatever its threads do at the end."""
    end_with(main)


if __name__ == "__main__":
    program()
