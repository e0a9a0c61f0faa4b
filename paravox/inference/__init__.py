"""Using a model: open it, run it over clips, average several, write records and ONNX files."""
