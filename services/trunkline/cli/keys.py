"""`trunkline keys`: who may call a service, and with which key."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from trunkline.cli.options import Json
from trunkline.cli.output import complain, print_json, show, table

app = typer.Typer(
    no_args_is_help=True,
    help="Make, list and revoke the keys of callers. Services follow the file within about a second.",
)
File = Annotated[
    Path,
    typer.Option(
        "--file",
        envvar="TRUNKLINE_ACCESS_FILE",
        metavar="FILE",
        help="Access file: the identities and what they may do.",
    ),
]
_FILE = Path("access.json")


@app.command()
def new(
    identity: Annotated[
        str, typer.Argument(metavar="IDENTITY", help="Owner of the key: a person, a program or a team.")
    ],
    *,
    role: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE",
            help="Role: infer, gallery-read, gallery-write, train or admin; may be repeated. Needed by a new one.",
        ),
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A head, or gallery:NAME, with * and ?; may be repeated.",
            show_default="all heads and galleries",
        ),
    ] = None,
    days: Annotated[
        float | None, typer.Option(min=0.01, metavar="N", help="Days until it expires.", show_default="never")
    ] = None,
    file: File = _FILE,
    json: Json = False,
) -> None:
    """Make a key and print it once. The file keeps only its SHA-256."""
    from trunkline.serving.security.callers import Role
    from trunkline.serving.security.keys import new_key

    known = [each.value for each in Role if each is not Role.PEER]
    for each in role or ():
        if each not in known:
            raise typer.BadParameter(f"{each!r} is no role; known: {', '.join(known)}")
    text, key = new_key(file, identity, [Role(each) for each in role or ()], scope or (), days)
    if json:
        print_json({"key": text, "id": key.id, "identity": identity, "expires": _text(key.expires)})
        return
    complain(f"key {key.id} of {identity} is in {file}; it is shown this once:")
    print(text)


@app.command("list")
def list_keys(file: File = _FILE, json: Json = False) -> None:
    """List the keys of a file: owner, roles, scopes and expiry."""
    from trunkline.serving.security.keys import keys_of

    found = keys_of(file)
    if json:
        print_json(
            [
                {
                    "id": key.id,
                    "identity": key.identity,
                    "roles": sorted(identity.roles),
                    "scopes": identity.scopes,
                    "created": _text(key.created),
                    "expires": _text(key.expires),
                    "expired": key.has_expired,
                }
                for key, identity in found
            ]
        )
        return
    made = table("id", "identity", "roles", "scopes", "created", "expires", whole=("id",))
    for key, identity in found:
        expires = "expired" if key.has_expired else _text(key.expires)
        roles, scopes = ", ".join(sorted(identity.roles)), ", ".join(identity.scopes)
        made.add_row(key.id, key.identity, roles, scopes, _text(key.created), expires or "never")
    show(made)


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID|IDENTITY", help="One key by its id, or all keys of an identity.")],
    file: File = _FILE,
) -> None:
    """Revoke keys. Services refuse them within a second or two."""
    from trunkline.serving.security.keys import revoke as take_away

    for gone in take_away(file, key):
        print(f"revoked {gone.id} of {gone.identity}")


def _text(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M}Z"
