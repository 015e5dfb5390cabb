"""Pairs of image and label files: by two patterns, or from a list.

In a pattern `*` matches any text within a name, `**/` for any folders, `?` for one character. An
image and a label belong together when the stars of their patterns match the same text; an
extension under a last star (`*` or `.*`) is left out. SPLIT is replaced by train, val or test.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath

from segscape.data.datasets.missing_files import report_missing, why_missing
from segscape.data.datasets.pairing import SUFFIXES, Pairs, listed_pairs
from segscape.errors import UserError, nearest

SPLIT = "SPLIT"
# A pattern or a file for all splits, with SPLIT in it, or one per split.
PerSplit = str | Mapping[str, str] | None
# The texts that the stars of a pattern match.
Key = tuple[str, ...]

_MAGIC = re.compile(r"[*?\[]")
_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[[^\]]*\]")
_REGEX = {"**/": "((?:[^/]+/)*)", "**": "(.*)", "*": "([^/]*)", "?": "([^/])"}


def of_split(option: str, given: PerSplit, split: str) -> str:
    """The value of an option for a split.

    Args:
        option: its key, for the message.
        given: a text, or a mapping from splits.
        split: train, val or test.

    Raises:
        UserError: there is none.
    """
    if isinstance(given, Mapping):
        if given.get(split) is None:
            listed = ", ".join(f"{k}: {v}" for k, v in given.items()) or "nothing"
            raise UserError(f"{option} has no entry for the split {split}", f"it has {listed}")
        return str(given[split])
    assert given is not None
    return given.replace(SPLIT, split)


def by_patterns(root: Path, images: str, labels: str) -> Pairs:
    """The files that two patterns match, paired by the texts that their stars match.

    Labels without an image are left out: one folder may hold those of all splits.

    Args:
        root: where the patterns begin.
        images: pattern of the image files.
        labels: pattern of the label files.

    Raises:
        UserError: nothing is matched, or an image is without a label.
    """
    for option, pattern in (("data.images", images), ("data.labels", labels)):
        if not _MAGIC.search(pattern):
            raise UserError(
                f"{option}={pattern} has no star", "expected a pattern such as images/SPLIT/*.jpg"
            )
    counts = [len(_TOKEN.findall(_stem(pattern))) for pattern in (images, labels)]
    if counts[0] != counts[1]:
        raise UserError(
            f"data.images={images} has {counts[0]} stars, data.labels={labels} {counts[1]}",
            "each star of one needs its counterpart in the other",
        )
    found, known = _matched(root, "data.images", images), _matched(root, "data.labels", labels)
    alone = [key for key in found if key not in known]
    for number, key in enumerate(alone):
        count = f" ({len(alone)} of {len(found)} images have none)" * (number == 0)
        error = UserError(
            f"{found[key]}: there is no label for this image" + count,
            f"data.labels={labels} matches {len(known)} files, none with {_shown(key)!r} in place "
            f"of its stars, but {_alike(key, known)!r}",
        )
        report_missing(root / _filled(labels, key), error)
    return [(image, known[key]) for key, image in found.items() if key in known]


def by_list(root: Path, path: Path) -> Pairs:
    """The files in a list: image and label in a line, separated by a tab or blanks.

    Args:
        root: folder of relative names.
        path: of the list, UTF-8.

    Raises:
        UserError: the list or a file in it is missing, or a line has not two columns.
    """
    if not path.is_file():
        raise UserError(f"{path}: the list of pairs: {why_missing(path)}", holds(path.parent))
    example = "images/a street.jpg images/a street_label.png (or with a tab between)"
    return listed_pairs(path, root.joinpath, example)


def sample_names(pairs: Pairs) -> list[str]:
    """Names of samples: the images' stems, or more of their paths where stems repeat."""
    images = [image for image, _ in pairs]
    stems = [image.stem for image in images]
    if len({stem.casefold() for stem in stems}) == len(stems):
        return stems
    depth = max(len(image.parts) for image in images)
    for level in range(2, depth + 1):
        names = ["_".join([*image.parts[-level:-1], image.stem]) for image in images]
        if len({name.casefold() for name in names}) == len(names):
            return names
    return [f"{number:06d}_{stem}" for number, stem in enumerate(stems)]


def holds(folder: Path) -> str:
    """The content of a folder, or of the nearest parent that exists, for a message."""
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    names = sorted(f.name + "/" * f.is_dir() for f in folder.iterdir())
    shown = ", ".join(names[:8]) or "nothing"
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"{folder} holds {shown}{more}"


def _matched(root: Path, option: str, pattern: str) -> dict[Key, Path]:
    """Files by the texts that the stars match, in the order of their paths."""
    parts = PurePath(pattern).parts
    fixed = next(i for i, part in enumerate(parts) if _MAGIC.search(part))
    folder, rest = root.joinpath(*parts[:fixed]), "/".join(parts[fixed:])
    stars = _regex(_stem(rest))
    bare = rest.endswith("*")  # then only images match, and their extension is not in the key
    found: dict[Key, Path] = {}
    for path in sorted(folder.glob(rest)) if folder.is_dir() else ():
        if path.name.startswith(".") or (bare and path.suffix.lower() not in SUFFIXES):
            continue
        inner = path.relative_to(folder).as_posix()
        match = stars.fullmatch(inner.removesuffix(path.suffix) if bare else inner)
        if match is None:  # a.tar.gz of *.*
            continue
        key = tuple(value.strip("/") for value in match.groups())
        if key in found:
            raise UserError(
                f"{option}={pattern} matches two files for one sample", f"{found[key]} and {path}"
            )
        found[key] = path
    if not found:
        raise UserError(f"{option}={pattern} matches no image file in {root}", holds(folder))
    return found


def _shown(key: Key) -> str:
    return "/".join(value for value in key if value)


def _alike(key: Key, known: Iterable[Key]) -> str:
    texts = [_shown(other) for other in known]
    return nearest(_shown(key), texts[:1000]) or texts[0]


def _filled(pattern: str, key: Key) -> str:
    """The file that a pattern matches with these texts in place of its stars."""
    values = iter(key)

    def text(token: re.Match[str]) -> str:
        value = next(values)
        return f"{value}/" if value and token.group() == "**/" else value

    return _TOKEN.sub(text, _stem(pattern)) + ".png" * pattern.endswith("*")


def _stem(pattern: str) -> str:
    """A pattern without a final `.*`, which is any extension."""
    return pattern.removesuffix(".*")


def _regex(pattern: str) -> re.Pattern[str]:
    text, end = "", 0
    for token in _TOKEN.finditer(pattern):
        text += re.escape(pattern[end : token.start()])
        sign = token.group()
        text += _REGEX.get(sign) or f"({sign.replace('[!', '[^')})"
        end = token.end()
    return re.compile(text + re.escape(pattern[end:]))


def as_text(values: Iterable[object]) -> str:
    """A few values for a message."""
    items = [str(value) for value in values]
    return ", ".join(items[:8]) + (f" and {len(items) - 8} more" if len(items) > 8 else "")
