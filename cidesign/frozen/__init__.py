"""Decoders with their operator frozen in, as ONNX files: read and run without torch."""
