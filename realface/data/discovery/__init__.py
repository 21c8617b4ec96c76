"""What a folder of images holds: kinds, keys, encodings, told by names and by pixels."""
