"""A network in an ONNX file, written byte by byte: the package that writes them is not needed for anything else."""

from pathlib import Path


def field(number: int, value: int | str | bytes) -> bytes:
    """A field of a protobuf message: a small number, a text or another message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def tensor(name: str, *shape: int | str) -> bytes:
    dims = b"".join(field(1, field(1 if isinstance(d, int) else 2, d)) for d in shape)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, dims)))


def write_network(path: Path, size: int, flat: bool = True, batch: int | str = "n") -> Path:
    """Averages over a quarter of the side: N × 3 × size × size → N × 48, or N × 3 × 4 × 4."""
    quarter = b"".join(field(8, size // 4) for _ in range(2))
    pool = field(1, "rgb") + field(2, "pooled") + field(4, "AveragePool")
    pool += b"".join(field(5, field(1, name) + quarter + field(20, 7)) for name in ("kernel_shape", "strides"))
    flatten = field(1, "pooled") + field(2, "features") + field(4, "Flatten")
    shape = (batch, 48) if flat else (batch, 3, 4, 4)
    nodes = field(1, pool) + (field(1, flatten) if flat else b"")
    output = tensor("features" if flat else "pooled", *shape)
    graph = nodes + field(2, "tiny") + field(11, tensor("rgb", batch, 3, size, size)) + field(12, output)
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(2, 13)))
    return path
