"""Where a training run is carried out."""
