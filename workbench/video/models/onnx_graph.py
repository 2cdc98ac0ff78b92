"""Edits to an ONNX file in memory: free its batch axis, or the height and width of its input.

Only the few fields that are read or changed are declared; protobuf carries all others through unchanged, weights
included. (`onnxruntime` needs protobuf itself, so nothing is added to what must be installed.)
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

__all__ = ["free_batch", "free_size"]

_INT64 = 7  # TensorProto.DataType

#: message -> fields: (name, number, type, repeated); a type in capitals is a message below
_SCHEMA: dict[str, tuple[tuple[str, int, str, bool], ...]] = {
    "Model": (("graph", 7, "Graph", False),),
    "Graph": (
        ("node", 1, "Op", True),
        ("initializer", 5, "Tensor", True),
        ("input", 11, "Value", True),
        ("output", 12, "Value", True),
        ("value_info", 13, "Value", True),
    ),
    "Op": (
        ("input", 1, "string", True),
        ("output", 2, "string", True),
        ("op_type", 4, "string", False),
        ("attribute", 5, "Attribute", True),
    ),
    "Attribute": (("name", 1, "string", False), ("t", 5, "Tensor", False)),
    "Tensor": (
        ("dims", 1, "int64", True),
        ("data_type", 2, "int32", False),
        ("int64_data", 7, "int64", True),
        ("name", 8, "string", False),
        ("raw_data", 9, "bytes", False),
    ),
    "Value": (("name", 1, "string", False), ("type", 2, "Type", False)),
    "Type": (("tensor_type", 1, "TensorType", False),),
    "TensorType": (("elem_type", 1, "int32", False), ("shape", 2, "Shape", False)),
    "Shape": (("dim", 1, "Dim", True),),
    "Dim": (("dim_value", 1, "int64", False), ("dim_param", 2, "string", False)),
}


@cache
def _model_class() -> Any:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

    kinds = {"int64": 3, "int32": 5, "string": 9, "bytes": 12}  # FieldDescriptorProto.Type
    file = descriptor_pb2.FileDescriptorProto(name="workbench_onnx.proto", package="workbench_onnx", syntax="proto2")
    for message, members in _SCHEMA.items():
        described = file.message_type.add(name=message)
        for name, number, kind, repeated in members:
            declared = described.field.add(name=name, number=number, label=3 if repeated else 1)
            if kind in kinds:
                declared.type = kinds[kind]
                # proto3's default, which ONNX files use; written the same way, so that sizes do not grow
                declared.options.packed = repeated and kind in ("int64", "int32")
            else:
                declared.type, declared.type_name = 11, f".workbench_onnx.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("workbench_onnx.Model"))


def _parse(data: bytes) -> Any:
    model = _model_class()()
    model.ParseFromString(data)
    return model


def _real_inputs(graph: Any) -> list[Any]:
    # Old files list their weights among the inputs.
    weights = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in weights]


def _free(value: Any, axis: int, name: str) -> None:
    dimension = value.type.tensor_type.shape.dim[axis]
    dimension.ClearField("dim_value")
    dimension.dim_param = name


def free_batch(data: bytes) -> bytes:
    """Return the file with a symbolic batch axis.

    Renaming the axis is not enough: Reshape targets with a leading 1 would fold the batch into another axis. They get
    a leading 0, which means "as the input has it". Whether the result is right is for the caller to check.

    Parameters
    ----------
    data : bytes
        An ONNX file.
    """
    model = _parse(data)
    graph = model.graph
    targets = {op.input[1] for op in graph.node if op.op_type == "Reshape" and len(op.input) > 1}
    for tensor in graph.initializer:
        if tensor.name in targets:
            _lead_with_zero(tensor)
    for op in graph.node:
        if op.op_type == "Constant" and op.output[0] in targets:
            for attribute in op.attribute:
                if attribute.name == "value":
                    _lead_with_zero(attribute.t)
    for value in (*_real_inputs(graph), *graph.output):
        _free(value, 0, "batch")
    # Stored shapes of inner values would contradict the new ones.
    graph.ClearField("value_info")
    return model.SerializeToString()


def _lead_with_zero(tensor: Any) -> None:
    if tensor.data_type != _INT64:
        return
    if tensor.int64_data:
        if tensor.int64_data[0] == 1:
            tensor.int64_data[0] = 0
        return
    values = np.frombuffer(tensor.raw_data, "<i8").copy()
    if len(values) > 1 and values[0] == 1:
        values[0] = 0
        tensor.raw_data = values.tobytes()


def free_size(data: bytes) -> bytes:
    """Return the file with a symbolic height and width of its (1, 3, height, width) input.

    Right only for networks all of whose layers work on any size, as YOLOX's do.
    """
    model = _parse(data)
    graph = model.graph
    for value in _real_inputs(graph):
        _free(value, 2, "h")
        _free(value, 3, "w")
    for value in graph.output:
        _free(value, 1, "n")
    graph.ClearField("value_info")
    return model.SerializeToString()
