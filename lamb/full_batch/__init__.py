"""Full-batch training of LeNet on MNIST, the authors' smallest experiment."""
