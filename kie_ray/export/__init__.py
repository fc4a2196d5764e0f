"""Bundles to ONNX files that run in ONNX Runtime, from Python (`--runtime onnx`) or any other language."""

from kie_ray.export.bundle import ExportReport, ExportSettings, export_bundle

__all__ = ["ExportReport", "ExportSettings", "export_bundle"]
