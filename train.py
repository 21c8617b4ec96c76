"""Train a translator: `python train.py fit --config configs/diffuse_albedo.yaml`."""

from realface.cli.train import main

if __name__ == "__main__":
    main()
