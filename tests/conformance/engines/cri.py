"""One call of the Container Runtime Interface: cri.py SOCKET METHOD JSON prints the answer as JSON. cri_pb2 is made by protoc."""

import sys

import cri_pb2
import grpc
from google.protobuf import json_format

socket, method, text = sys.argv[1:]
request = json_format.Parse(text, getattr(cri_pb2, method + "Request")())
response = getattr(cri_pb2, method + "Response")
with grpc.insecure_channel("unix://" + socket) as channel:
    call = channel.unary_unary(
        "/runtime.v1.RuntimeService/" + method,
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=response.FromString,
    )
    try:
        answer = call(request, timeout=60)
    except grpc.RpcError as error:
        sys.exit(f"{method}: {error.code().name}: {error.details()}")
print(json_format.MessageToJson(answer, preserving_proto_field_name=True, including_default_value_fields=True))
