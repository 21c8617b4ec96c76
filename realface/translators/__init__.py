"""LightningModules: the generator/discriminator step, once, and the four translators."""
