"""`segscape data sample`: a picture of what the network is trained on."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from segscape.commands.data_check import data_module, split_choice
from segscape.errors import UserError

MOST = 400


def data_sample(rest: Sequence[str]) -> int:
    """`segscape data sample data=NAME [augment=NAME] [-n 16] [out=FILE.png] [KEY=VALUE ...]`.

    Draws a sheet of augmented training samples, each beside its overlay, with the colours of the
    classes. The same seed= gives the same sheet. split=val shows whole samples, as they are scored.
    """
    parser = argparse.ArgumentParser("segscape data sample", description=data_sample.__doc__)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for train.py")
    parser.add_argument("-n", type=int, default=16, metavar="N", help="samples, 16 by default")
    given = parser.parse_intermixed_args(rest)
    if not 1 <= given.n <= MOST:
        raise UserError(f"-n {given.n} cannot be used", f"give 1 to {MOST}")
    out, overrides = None, []
    for text in given.overrides:
        key, sign, value = text.partition("=")
        if key == "out" and sign:
            out = Path(value)
        else:
            overrides.append(text)
    (split, *others), overrides = split_choice(overrides, ("train",))
    if others:
        raise UserError("a sheet shows one split", f"give split={split}")
    data, choices = data_module(overrides)
    from PIL import Image

    from segscape.data.checks.sheet import sheet

    file = out or Path(f"samples-{data.name}-{split}.png")
    if file.suffix.lower() != ".png":
        raise UserError(f"out={file} is no PNG file", f"e.g. out={file.with_suffix('.png')}")
    chosen = [f"{group}={choices.get(group)}" for group in ("data", "augment")]
    # what else was typed; not the paths of files: the picture may be published
    other = [t for t in overrides if not t.startswith(("data=", "augment=", "data.root="))]
    heading = " ".join([*chosen, *other])
    picture = Image.fromarray(sheet(data, given.n, split, heading))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        picture.save(file, optimize=True)
    except OSError as error:
        raise UserError(f"out={file}: cannot be written ({error.strerror or error})") from error
    print(f"wrote {file} ({picture.width}x{picture.height})")
    return 0
