"""The layout of MindSpore's .ckpt files, for protobuf: what mindspore.train.checkpoint_pb2 has, without MindSpore.

message Checkpoint {
  message Value { required string tag = 1;  // the name
                  required TensorProto tensor = 2; }
  message TensorProto { repeated int64 dims = 1;  // the shape
                        required string tensor_type = 2;  // "Float32", ... or "str" for text
                        required bytes tensor_content = 3; }
  repeated Value value = 1; }
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

PACKAGE = "conv_tasnet"


def _message_class() -> type:
    """The class of `Checkpoint` above."""
    file = descriptor_pb2.FileDescriptorProto(name="conv_tasnet_checkpoint.proto", package=PACKAGE, syntax="proto2")
    checkpoint = file.message_type.add(name="Checkpoint")
    value, tensor = checkpoint.nested_type.add(name="Value"), checkpoint.nested_type.add(name="TensorProto")
    _add(value, "tag", 1, Field.LABEL_REQUIRED, Field.TYPE_STRING)
    _add(value, "tensor", 2, Field.LABEL_REQUIRED, Field.TYPE_MESSAGE, "TensorProto")
    _add(tensor, "dims", 1, Field.LABEL_REPEATED, Field.TYPE_INT64)
    _add(tensor, "tensor_type", 2, Field.LABEL_REQUIRED, Field.TYPE_STRING)
    _add(tensor, "tensor_content", 3, Field.LABEL_REQUIRED, Field.TYPE_BYTES)
    _add(checkpoint, "value", 1, Field.LABEL_REPEATED, Field.TYPE_MESSAGE, "Value")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.Checkpoint"))


def _add(
    message: descriptor_pb2.DescriptorProto, name: str, number: int, label: int, kind: int, of: str | None = None
) -> None:
    """Give a message another field, of the message type `of` where it holds one."""
    type_name = f".{PACKAGE}.Checkpoint.{of}" if of else None
    message.field.add(name=name, number=number, label=label, type=kind, type_name=type_name)


CheckpointMessage = _message_class()
