"""Stitch a subject's reflectance maps: `python infer.py --input DIR --output DIR --weights DIR`."""

from realface.cli.infer import main

if __name__ == "__main__":
    main()
