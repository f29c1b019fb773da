"""ONNX files, run by OpenVINO."""
