"""Packaging: three packages, one extra for each, so each installs alone."""

import pathlib

import setuptools

# TensorFlow 2.15 is the last release with TPUEstimator, and it has no wheel
# for Python 3.12: everything built on it carries this marker, so that
# `pip install mtf-lamb-loopfilter` (the Keras optimizer) works on newer ones.
_BELOW_312 = '; python_version < "3.12"'

_TF215 = [
    'tensorflow==2.15.1' + _BELOW_312,
    'protobuf>=4.21,<5' + _BELOW_312,
    'absl-py' + _BELOW_312,
    'ml_collections' + _BELOW_312,
    'tqdm' + _BELOW_312,
    # TensorBoard 2.15 imports pkg_resources, which newer ones lack.
    'setuptools<81' + _BELOW_312,
]
_DATASETS = [
    # Newer ones pull a tensorflow-metadata that needs protobuf 5.
    'tensorflow-datasets==4.9.4' + _BELOW_312,
    'tensorflow-metadata<1.16' + _BELOW_312,
    'importlib_resources' + _BELOW_312,
]
_PICTURES = ['matplotlib' + _BELOW_312, 'pillow' + _BELOW_312]

EXTRAS = {
    'tensorflow': ['tensorflow>=2.15'],
    'unet': _TF215 + _DATASETS + _PICTURES + [
        'mesh-tensorflow==0.1.21' + _BELOW_312,
        'array_record' + _BELOW_312,
        'nibabel' + _BELOW_312,
        'simpleitk' + _BELOW_312,
        'scipy' + _BELOW_312,
        'psutil' + _BELOW_312,
        'grpcio' + _BELOW_312,
    ],
    'loopfilter': _TF215 + _DATASETS + _PICTURES + [
        'av' + _BELOW_312,
        'dacite' + _BELOW_312,
        'bjontegaard' + _BELOW_312,
        # SSIM; the demo also takes its photographs.
        'scikit-image' + _BELOW_312,
    ],
    # The exported filter in other runtimes. Newer onnx needs newer ml_dtypes
    # than TensorFlow 2.15; onnxruntime only runs what was written.
    'interchange': ['onnx==1.18.0' + _BELOW_312,
                    'onnxruntime==1.32.0' + _BELOW_312],
    'bert': _TF215 + _DATASETS + ['tokenizers' + _BELOW_312],
    'dev': ['pytest', 'pytest-xdist', 'hypothesis', 'ruff', 'build', 'twine'],
}
# The second test environment: Keras 3 on TensorFlow and JAX, tf_keras, and a
# LAMB by others to compare with.
EXTRAS['keras3-test'] = [
    'tensorflow>=2.16', 'keras>=3.15', 'tf_keras', 'jax', 'optax',
    'tensorboard', 'absl-py', 'ml_collections',
]
EXTRAS['demo'] = EXTRAS['unet'] + EXTRAS['loopfilter'] + [
    # nilearn ships a brain template, scikit-image (of loopfilter) photographs
    # and scikit-learn handwritten digits: real input without a download.
    'nilearn' + _BELOW_312,
    'scikit-learn' + _BELOW_312,
]
EXTRAS['all'] = sorted({
    requirement for name, extra in EXTRAS.items()
    if name not in ('tensorflow', 'keras3-test') for requirement in extra})

setuptools.setup(
    name='mtf-lamb-loopfilter',
    version='0.1.0',
    description=('Spatially partitioned 3D UNet on Mesh-TensorFlow, the LAMB '
                 'optimizer for Keras and TPUEstimator, and an integer CNN '
                 'loop filter for video codecs'),
    long_description=pathlib.Path(__file__).with_name('README.md').read_text(
        encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    license_files=['LICENSE'],
    python_requires='>=3.11',
    packages=setuptools.find_packages(
        include=['mtf_unet*', 'lamb*', 'cnn_loopfilter*']),
    package_data={'lamb': ['py.typed'],
                  'cnn_loopfilter': ['pretrained/*/*', 'report_page/*',
                                     'reference_c/*.c', 'vector_files/*']},
    install_requires=['numpy'],
    extras_require=EXTRAS,
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Developers',
        'Intended Audience :: Healthcare Industry',
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.11',
        'Topic :: Multimedia :: Video',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Topic :: Scientific/Engineering :: Medical Science Apps.',
    ],
)
