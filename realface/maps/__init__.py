"""What a UV map is: kinds, encoding, spaces, files.

The only room that knows files and bit depth.
"""
