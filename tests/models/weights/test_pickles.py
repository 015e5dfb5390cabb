from __future__ import annotations

import builtins
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segscape.errors import UserError
from segscape.models.weights.read import read_tensors


class Call:
    """Pickles as a call of anything."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


def touch(path: Path) -> str:
    return f"touch {path}"


def attacks(trace: Path) -> dict[str, tuple[Any, str]]:
    """What a file could hold, and the name that the error must contain."""
    system = Call(os.system, touch(trace))
    array = np.empty(1, object)
    array[0] = system
    return {
        "direct": (system, f"{os.name}.system"),
        "eval": (Call(eval, f"open({str(trace)!r}, 'w')"), "builtins.eval"),
        "in a value": ({"w": np.ones(2), "x": [{"y": (1, system)}]}, f"{os.name}.system"),
        "nested reduce": (
            {"w": Call(tuple, [Call(getattr, Call(__import__, "os"), "system")])},
            "builtins.getattr",
        ),
        "object array": ({"w": array}, "'O8'"),
        "as a shape": ({"w": Call(np.ndarray, (2,), system)}, f"{os.name}.system"),
        "numpy load": ({"w": Call(np.load, str(trace))}, "load"),
        "open": ({"w": Call(open, str(trace), "w")}, "open"),
        "fields": ({"w": np.zeros(2, [("a", "f4"), ("b", "O")])}, "'V12'"),
        "codec": ({"w": Call(__import__("_codecs").encode, "x", "rot13")}, "rot13"),
        "bytes": ({"w": Call(bytes, 1 << 40)}, "bytes with arguments"),
        "breakpoint": ({"w": Call(builtins.breakpoint)}, "builtins.breakpoint"),
    }


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("kind", list(attacks(Path("trace"))))
def test_refuses_everything_but_arrays_and_names_it(
    kind: str, protocol: int, tmp_path: Path
) -> None:
    trace = tmp_path / "executed"
    content, name = attacks(trace)[kind]
    file = tmp_path / "model.pdparams"
    file.write_bytes(pickle.dumps(content, protocol=protocol))
    with pytest.raises(UserError) as caught:
        read_tensors(file)
    # Protocol 2 writes the modules of Python 2.
    assert name.replace("builtins", "") in str(caught.value).replace("__builtin__", "")
    assert str(file) in str(caught.value)
    assert not trace.exists()


def test_the_attacks_work_without_protection(tmp_path: Path) -> None:
    """Otherwise the test above would prove nothing."""
    trace = tmp_path / "executed"
    pickle.loads(pickle.dumps(attacks(trace)["in a value"][0]))
    assert trace.exists()


def test_state_cannot_be_set_on_a_stand_in(tmp_path: Path) -> None:
    """The BUILD opcode on a callable, instead of on an array."""
    program = b"\x80\x02cnumpy\nndarray\n}X\x01\x00\x00\x00aK\x01sb."
    file = tmp_path / "model.pdparams"
    file.write_bytes(program)
    with pytest.raises(UserError, match="cannot be read"):
        read_tensors(file)


@pytest.mark.parametrize(
    ("shape", "message"), [((1 << 40,), "holds 8 bytes"), ((-2,), "plain numbers")]
)
def test_refuses_shapes_that_the_bytes_do_not_fill(
    shape: tuple[int, ...], message: str, tmp_path: Path
) -> None:
    class Lie:
        def __reduce__(self) -> tuple[Any, ...]:
            make, arguments, state = np.zeros(2, np.float32).__reduce__()
            return make, arguments, (state[0], shape, *state[2:])

    file = tmp_path / "model.pdparams"
    file.write_bytes(pickle.dumps({"w": Lie()}, protocol=4))
    with pytest.raises(UserError, match=message):
        read_tensors(file)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_reads_arrays_of_every_layout(protocol: int, tmp_path: Path) -> None:
    grid = np.arange(6, dtype=np.float32).reshape(2, 3)
    content = {
        "plain": grid,
        "fortran": np.asfortranarray(grid),
        "sliced": grid[:, ::2],
        "big endian": grid.astype(">f4"),
        "half": grid.astype(np.float16),
        "double": grid.astype(np.float64),
        "integers": np.arange(3),
        "unsigned": np.arange(3, dtype=np.uint32),
        "flags": np.array([True, False]),
        "empty": np.zeros((0, 2), np.float32),
        "scalar": np.float32(2.5),
        "no axes": np.array(2.5),
        "tensor": ("linear_0.w_0", grid),  # how paddle writes a tensor outside a state dict
        "learning rate": 0.1,
    }
    file = tmp_path / "model.pdparams"
    file.write_bytes(pickle.dumps(content, protocol=protocol))
    tensors = read_tensors(file)
    assert list(tensors) == [name for name in content if name != "learning rate"]
    for name, tensor in tensors.items():
        array = np.asarray(content[name][1] if name == "tensor" else content[name])
        np.testing.assert_array_equal(tensor.numpy(), array)
        assert tensor.is_contiguous()
    assert tensors["half"].dtype == torch.float16
    tensors["plain"].add_(1)  # writable memory of its own


def test_reads_a_bare_paddle_tensor_and_joins_sliced_ones(tmp_path: Path) -> None:
    grid = np.arange(6, dtype=np.float32).reshape(2, 3)
    content = {
        "bare": Call(tuple, ("linear_0.w_0", grid)),
        "big@@.0": grid.ravel()[:4],
        "big@@.1": grid.ravel()[4:],
        "UnpackBigParamInfor@@": {"big": {"OriginShape": (2, 3), "slices": ["big@@.0", "big@@.1"]}},
    }
    file = tmp_path / "model.pdparams"
    file.write_bytes(pickle.dumps(content, protocol=2))
    tensors = read_tensors(file)
    assert sorted(tensors) == ["bare", "big"]
    for tensor in tensors.values():
        np.testing.assert_array_equal(tensor.numpy(), grid)


def test_unsigned_16_bits_are_what_paddle_makes_of_bfloat16(tmp_path: Path) -> None:
    weight = torch.tensor([[1.0, -2.5], [3e38, 0.0]]).bfloat16()
    bits = weight.view(torch.int16).numpy().view(np.uint16)
    file = tmp_path / "model.pdparams"
    file.write_bytes(pickle.dumps({"w": bits}, protocol=4))
    read = read_tensors(file)["w"]
    assert read.dtype == torch.bfloat16
    assert torch.equal(read, weight)
