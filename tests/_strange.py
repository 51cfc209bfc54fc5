# SPDX-License-Identifier: BSD-3-Clause
"""Arrays that are valid but strange, and what a call with any array may end in."""

import hypothesis
import hypothesis.extra.numpy as npst
import numpy as np
from hypothesis import strategies as st

# The same examples at each run, and few enough for a test suite.
few = hypothesis.settings(
    derandomize=True,
    max_examples=40,
    deadline=None,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)

DTYPES = (np.float16, np.float32, np.float64, np.int8, np.uint8, np.int32, np.int64, np.bool_)
# Most of the time a scale for all, else one for each feature or each patch.
SCALES = (1.0, 1e-3, 1e4, 1e-20, 1e-42, 1e15, 1e30)


@st.composite
def features(draw, images=(2, 8), most_features=9):
    """Patch features (n, h, w, d) whose numbers are finite and at most 1e30."""
    n = draw(st.integers(*images))
    shape = (
        n,
        draw(st.integers(1, 3)),
        draw(st.integers(1, 3)),
        draw(st.integers(1, most_features)),
    )
    rng = np.random.RandomState(draw(st.integers(0, 2**16)))
    kind = draw(st.sampled_from(("normal", "integers", "constant", "sparse", "steps")))
    values = {
        "normal": lambda: np.clip(rng.normal(size=shape), -1, 1),
        "integers": lambda: rng.randint(-1, 2, shape) / 1.0,
        "constant": lambda: np.full(shape, rng.uniform(-1, 1)),
        "sparse": lambda: rng.uniform(size=shape) * (rng.uniform(size=shape) < 0.1),
        "steps": lambda: np.float64(np.arange(np.prod(shape)).reshape(shape)) / np.prod(shape),
    }[kind]()
    if draw(st.booleans()):
        # Copies of images.
        values = values[rng.randint(0, n, n)]
    scale = draw(st.sampled_from(SCALES))
    if draw(st.integers(0, 3)) == 0:
        axis = draw(st.sampled_from((0, 3)))
        scales = rng.choice(SCALES, shape[axis])
        scale = np.expand_dims(scales, tuple({0, 1, 2, 3} - {axis}))
    shift = draw(st.sampled_from((0.0, 0.0, 1.0, 1e6, -1e30)))
    return np.clip(values * scale + shift, -1e30, 1e30).astype(np.float32)


def of_any_type(draw, values):
    """The same array, or what a cast makes of it, of any number type."""
    dtype = draw(st.sampled_from(DTYPES))
    with np.errstate(all="ignore"):
        cast = np.nan_to_num(np.clip(values, -100, 100)).astype(dtype)
    return cast


def any_array(**options):
    """Arrays of any shape and type, with whatever is in them."""
    dtypes = st.one_of(
        npst.floating_dtypes(),
        npst.integer_dtypes(),
        npst.unsigned_integer_dtypes(),
        npst.boolean_dtypes(),
        npst.complex_number_dtypes(),
        npst.unicode_string_dtypes(max_len=3),
        npst.datetime64_dtypes(),
    )
    shapes = npst.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4)
    return npst.arrays(dtypes, shapes, **options)


def ends_in_a_result_or_a_named_error(function, *arguments):
    """Call a function; returns its result, None after an error that says what is wrong."""
    try:
        return function(*arguments)
    except (ValueError, TypeError, FileNotFoundError) as error:
        message = str(error)
    assert len(message) > 10, f"{message!r} names nothing"
    return None
