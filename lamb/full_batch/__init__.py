"""LeNet on MNIST with large and full batches, the authors' smallest job."""
