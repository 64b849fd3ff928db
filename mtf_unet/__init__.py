"""A 3D UNet split over space across a Mesh-TensorFlow mesh (1909.03108)."""
