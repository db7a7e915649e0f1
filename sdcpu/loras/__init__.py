"""LoRAs: small files that change a model; how they are named, and whether they fit a model."""
