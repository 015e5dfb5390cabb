"""Conditions in words of the configuration: `macs<15e9 and fusion == 'add'`.

Read with Python's grammar and evaluated here, node by node: nothing is ever executed. There are
comparisons (chained too), and, or, not, in, arithmetic, numbers, texts, lists and names. A name may
have dots and slashes, as keys do: `optim.lr`, `val/miou`. Where a slash could be a division, it is
one only if the key is not known, or with blanks around it.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from segscape.errors import UserError, nearest

_NAME = re.compile(r"[A-Za-z_]\w*(?:[./@][A-Za-z_]\w*)*")
# A text in quotes, a number (whose exponent is no name), or a name.
_TOKEN = re.compile(rf"'[^']*'|\"[^\"]*\"|\.?\d[\w.]*(?:(?<=[eE])[+-]\d+)?|{_NAME.pattern}")
_ASSIGNMENT = re.compile(r"(?<![=<>!])=(?!=)")
_WORDS = {"and", "or", "not", "in", "True", "False", "None"}
_YAML = {"true": "True", "false": "False", "null": "None"}
_SHOWN = 16
_EXAMPLE = "e.g. macs < 15e9 and params < 10e6"
_JOINED = "conditions are joined with and, or, not"

_ARITHMETIC: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARISONS: dict[type[ast.AST], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda value, many: value in many,
    ast.NotIn: lambda value, many: value not in many,
}
_ORDERED = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


@dataclass(frozen=True)
class Condition:
    """A condition that was read.

    Attributes:
        text: as typed.
        names: the keys that it uses, in the order of the text.
    """

    text: str
    names: tuple[str, ...]
    _tree: ast.expr

    def value(self, values: Mapping[str, Any]) -> Any:
        """What the expression is for these values.

        Raises:
            UserError: a key that it uses is missing, or values cannot be compared.
        """
        return _Reading(self, values).of(self._tree)

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether the condition is met.

        Raises:
            UserError: a key that it uses is missing, or values cannot be compared.
        """
        found = self.value(values)
        if not isinstance(found, bool):
            advice = _JOINED if isinstance(found, list) else _EXAMPLE
            raise UserError(f"{self.text!r} is {found!r}, neither true nor false", advice)
        return found


def read(text: str, known: Collection[str] | None = None, what: str = "sweep.where") -> Condition:
    """Read a condition.

    Args:
        text: e.g. "macs<15e9 and params<10e6".
        known: the keys that there are; None: any, and a slash without blanks belongs to its key.
        what: the setting it comes from, for messages.

    Raises:
        UserError: it cannot be read, or uses an unknown key or more than conditions support.
    """
    if _ASSIGNMENT.search(re.sub(r"'[^']*'|\"[^\"]*\"", "", text)):
        raise UserError(f"{what}: {text!r} cannot be read", _advice(text))
    names: dict[str, None] = {}
    pieces: list[str] = []
    last = 0
    for match in _TOKEN.finditer(text):
        token = match.group()
        pieces.append(text[last : match.start()])
        last = match.end()
        if not _NAME.fullmatch(token):
            pieces.append(token)
            continue
        _require_quotes(text[: match.start()].rstrip(), token, known, what)
        pieces.append(_marked(token, known, names, what))
    pieces.append(text[last:])
    try:
        tree = ast.parse("".join(pieces).strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{what}: {text!r} cannot be read", _advice(text)) from error
    condition = Condition(text, tuple(names), tree)
    _require_simple(tree, f"{what}: {text!r}")
    return condition


def _require_quotes(before: str, token: str, known: Collection[str] | None, what: str) -> None:
    """`fusion == add`: what is compared with a key and is none itself was meant as a text."""
    if known is None or token in known or token in _WORDS or token in _YAML or "/" in token:
        return
    if before.endswith(("==", "!=")):
        raise UserError(
            f"{what}: there is no {token!r}", f"as a text it stands in quotes: '{token}'"
        )


def _marked(token: str, known: Collection[str] | None, names: dict[str, None], what: str) -> str:
    """A name in the form that Python's grammar takes; it is added to `names`."""
    if token in _WORDS:
        return token
    if known is None or token in known:
        if known is None and token in _YAML:
            return _YAML[token]
        names.setdefault(token)
        return _encoded(token)
    if token in _YAML:
        return _YAML[token]
    # `macs/params`: a division, if both sides are known.
    for cut in (match.start() for match in reversed([*re.finditer("/", token)])):
        if token[:cut] in known:
            names.setdefault(token[:cut])
            return f"{_encoded(token[:cut])}/{_marked(token[cut + 1 :], known, names, what)}"
    close = nearest(token, known)
    hint = f"did you mean {close}? " if close else ""
    listed = ", ".join([*known][:_SHOWN]) + (", ..." if len(known) > _SHOWN else "")
    raise UserError(f"{what}: there is no {token!r}", f"{hint}names: {listed}")


def _encoded(name: str) -> str:
    return f"_{name.encode().hex()}"


def _decoded(name: str) -> str:
    return bytes.fromhex(name[1:]).decode()


def _advice(text: str) -> str:
    if _ASSIGNMENT.search(text):
        return "equality is ==, and texts stand in quotes: fusion == 'add'"
    if "&" in text or "|" in text:
        return _JOINED
    return _EXAMPLE


def _require_simple(node: ast.expr, where: str) -> None:
    for child in ast.walk(node):
        if isinstance(child, ast.Constant):
            fine = isinstance(child.value, str | int | float | bool | None)
        else:
            fine = isinstance(
                child,
                ast.BoolOp
                | ast.UnaryOp
                | ast.BinOp
                | ast.Compare
                | ast.Name
                | ast.List
                | ast.Tuple
                | ast.boolop
                | ast.expr_context,
            ) or type(child) in {*_ARITHMETIC, *_COMPARISONS, ast.Not, ast.USub, ast.UAdd}
        if not fine:
            raise UserError(
                f"{where} asks for more than a condition can do ({type(child).__name__})",
                "there are < <= == != > >=, in, and, or, not, + - * / // %, numbers and texts",
            )


class _Reading:
    """The value of a tree for given values of its names."""

    def __init__(self, condition: Condition, values: Mapping[str, Any]) -> None:
        self.condition = condition
        self.values = values

    def of(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return self._looked_up(_decoded(name))
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [self.of(item) for item in items]
            case ast.BoolOp(op=ast.And(), values=parts):
                return all(self.of(part) for part in parts)
            case ast.BoolOp(values=parts):
                return any(self.of(part) for part in parts)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not self.of(operand)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self._calculated(operator.sub, 0, self.of(operand))
            case ast.UnaryOp(operand=operand):
                return self._calculated(operator.add, 0, self.of(operand))
            case ast.BinOp(left=left, op=sign, right=right):
                return self._calculated(_ARITHMETIC[type(sign)], self.of(left), self.of(right))
            case ast.Compare():
                return self._compared(node)
        raise AssertionError(f"{type(node).__name__} was let in")

    def _looked_up(self, name: str) -> Any:
        if name not in self.values:
            close = nearest(name, self.values)
            hint = f"did you mean {close}? " if close else ""
            raise UserError(
                f"{self.condition.text!r}: {name} is not known here",
                f"{hint}known: {', '.join([*self.values][:_SHOWN])}",
            )
        return self.values[name]

    def _compared(self, node: ast.Compare) -> bool:
        left = self.of(node.left)
        for sign, other in zip(node.ops, node.comparators, strict=True):
            right = self.of(other)
            if isinstance(sign, _ORDERED) and isinstance(left, str) is not isinstance(right, str):
                raise self._misfit(left, right)
            try:
                met = _COMPARISONS[type(sign)](left, right)
            except TypeError as error:
                raise self._misfit(left, right) from error
            if not met:
                return False
            left = right
        return True

    def _calculated(self, compute: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
        # Numbers only: a text times a number may be longer than the memory.
        if not (isinstance(left, int | float) and isinstance(right, int | float)):
            raise self._misfit(left, right)
        try:
            return compute(left, right)
        except ZeroDivisionError as error:
            raise UserError(f"{self.condition.text!r} divides by zero") from error

    def _misfit(self, left: Any, right: Any) -> UserError:
        return UserError(
            f"{self.condition.text!r}: {left!r} and {right!r} do not go together",
            "texts stand in quotes, numbers without: fusion == 'add' and macs < 15e9",
        )
