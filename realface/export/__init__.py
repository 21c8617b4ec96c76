"""What other programs open: a translator's weights with their model card, ONNX, torch.export."""
