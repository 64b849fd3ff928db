"""The exported filter's arithmetic once more, as one C99 file to copy.

    gcc -std=c99 -O3 -o dfp_filter $(python -c \
        "from cnn_loopfilter import reference_c; print(reference_c.SOURCE)")

docs/loopfilter-interchange.md says how to use the program.
"""

import pathlib

SOURCE = pathlib.Path(__file__).with_name('dfp_filter.c')
