"""Image classifiers as TPUEstimator jobs: ResNet-50 and DavidNet."""
