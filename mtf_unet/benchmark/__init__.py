"""One training step of the UNet, timed in three frameworks side by side."""
