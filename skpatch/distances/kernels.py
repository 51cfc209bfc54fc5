# SPDX-License-Identifier: BSD-3-Clause
"""Compiled loops around matrix products.

nearest_rows        exact k nearest rows of a bank, given approximate inner products
nearest_in_groups   the same within each of several groups of rows
search_tree         the same by a k-d tree of the bank
share_neighbors     upper bounds, from the neighbours of patches beside a patch
nearest_candidates  exact k nearest of a few candidates, given bounds of their distances
nearest_means       least of a few weighted distances
exclude             rule out pairs of the same group
lower_distances     greedy k-centre: lower each point's distance to its nearest centre
pick_farthest       greedy k-centre: the next picks among a group of candidates

Those with inner products share one idea. A float32 matrix product gives all squared distances
cheaply but with a rounding error; whatever that error could hide is computed again, directly and in
float64. So results equal a plain float64 loop, at the price of the matrix product. Each kernel runs
on one thread and releases the GIL; callers hand them blocks.
"""

import warnings
from functools import partial

import numba
import numpy as np

from ..runtime.sharing import others_in

__all__ = [
    "exclude",
    "lower_distances",
    "nearest_candidates",
    "nearest_in_groups",
    "nearest_means",
    "nearest_rows",
    "pick_farthest",
    "search_tree",
    "share_neighbors",
]

# Columns of a chunk.
_CHUNK = 16


# numba runs what it finds there.
_CACHE = getattr(numba.config, "CACHE_DIR", "")
_OTHERS = others_in(_CACHE) if _CACHE else None
if _OTHERS is not None:
    warnings.warn(
        f"NUMBA_CACHE_DIR={_CACHE!r} is not used by skpatch, which compiles in "
        f"each process, since {_OTHERS}. Name a folder that only you can write to (chmod 700).",
        stacklevel=2,
    )


def _jit(function=None, **options):
    """Compile a function, once for all processes if there is a place to keep it."""
    if function is None:
        return partial(_jit, **options)
    try:
        return numba.njit(nogil=True, cache=_OTHERS is None, **options)(function)
    except RuntimeError:
        # Neither the folder of this file nor a user's cache can be written to, as in containers.
        return numba.njit(nogil=True, **options)(function)


@_jit(fastmath={"reassoc", "contract"}, inline="never")
def _squared_distance(a, b):
    """Squared Euclidean distance of two float32 rows, accumulated in float64."""
    total = 0.0
    for i in range(a.shape[0]):
        difference = np.float64(a[i]) - np.float64(b[i])
        total += difference * difference
    return total


@_jit(fastmath={"contract", "nnan", "nsz"})
def _chunk_minima(halves, products, minima):
    """Smallest ``halves - products`` of each chunk, so that most chunks need no second look.

    Chunk c of n holds the columns c, c + n, c + 2n and so on: minima of neighbouring chunks
    are then found side by side, in the lanes of the processor.
    """
    n = minima.shape[0]
    for chunk in range(n):
        minima[chunk] = halves[chunk] - products[chunk]
    for start in range(n, halves.shape[0], n):
        # Slices and the plain comparison: only then is the loop vectorised.
        some_halves, some_products = halves[start : start + n], products[start : start + n]
        for chunk in range(some_halves.shape[0]):
            value = some_halves[chunk] - some_products[chunk]
            minima[chunk] = value if value < minima[chunk] else minima[chunk]


@_jit(fastmath={"reassoc", "contract", "nnan", "nsz"})
def _smallest(values):
    """Smallest value; vectorised because the order is free."""
    lowest = np.float32(np.inf)
    for value in values:
        lowest = min(lowest, value)
    return lowest


@_jit
def _kth_smallest(values, buffer):
    """k-th smallest value, k being the length of `buffer`; inf if there are fewer."""
    k = buffer.shape[0]
    buffer[:] = np.inf
    for value in values:
        if value < buffer[k - 1]:
            i = k - 1
            while i > 0 and buffer[i - 1] > value:
                buffer[i] = buffer[i - 1]
                i -= 1
            buffer[i] = value
    return buffer[k - 1]


@_jit
def _insert(distances, indices, distance, index):
    """Insert into neighbours ascending by (distance, index), unless known or after all of them."""
    position = distances.shape[0]
    while position > 0 and (
        distances[position - 1] > distance
        or (distances[position - 1] == distance and indices[position - 1] > index)
    ):
        position -= 1
    if position == distances.shape[0] or (position > 0 and indices[position - 1] == index):
        return
    for i in range(distances.shape[0] - 1, position, -1):
        distances[i] = distances[i - 1]
        indices[i] = indices[i - 1]
    distances[position] = distance
    indices[position] = index


@_jit
def nearest_rows(
    products,
    queries,
    bank,
    reaches,
    order,
    offset,
    halves,
    query_halves,
    tolerance,
    unit,
    distances,
    indices,
):
    """Improve the nearest rows of each query, sorted by (distance, row), by those of a bank.

    Parameters
    ----------
    products : (m, n) float32
        Approximate inner products of the coordinates of queries and bank; -inf excludes a pair.
        Distances of the coordinates bound those of the rows from below.
    queries : (m, d) float32
    bank : (r, d) float32
    reaches : (r,) float64
        Least squared distance of each row of the bank; it is never nearer.
    order : (n,) int64
        The row of the bank that each of the products is with.
    offset : int
        Index of the bank's first row.
    halves : (n,) float32
        Half of the squared norms of these rows' coordinates.
    query_halves : (m,) float32
        Half of the squared norms of the queries' coordinates.
    tolerance : (m,) float32
        Bound on the error of half a squared distance for each query.
    unit : float
        One squared distance of the coordinates, in squared distances of the rows.
    distances : (m, k) float64, changed in place
        Squared distances found so far; inf where there is none.
    indices : (m, k) int64, changed in place
        Indices found so far; -1 where there is none.
    """
    n, k = halves.shape[0], distances.shape[1]
    if n == 0:
        return
    buffer = np.empty(k, np.float32)
    minima = np.empty((n + _CHUNK - 1) // _CHUNK, np.float32)
    for i in range(products.shape[0]):
        slack = np.float64(tolerance[i]) - query_halves[i]
        limit = np.float32(distances[i, k - 1] / (2.0 * unit) + slack)
        _chunk_minima(halves, products[i], minima)
        if _smallest(minima) > limit:
            continue
        # First the rows that are probably the nearest, unless some are known, then all that their
        # distances leave in question. At least k rows have bounds as low as the k-th smallest
        # minimum of a chunk.
        first = np.float32(-np.inf)
        if limit == np.inf:
            limit = first = _kth_smallest(minima, buffer)
        for step in range(0 if first > -np.inf else 1, 2):
            for chunk in range(minima.shape[0]):
                if minima[chunk] > limit:
                    continue
                for j in range(chunk, n, minima.shape[0]):
                    value = halves[j] - products[i, j]
                    if value > limit or value == np.inf or (step == 1 and value <= first):
                        continue
                    row = order[j]
                    exact = max(_squared_distance(queries[i], bank[row]), reaches[row])
                    _insert(distances[i], indices[i], exact, offset + row)
                    if step == 1:
                        limit = np.float32(distances[i, k - 1] / (2.0 * unit) + slack)
            limit = np.float32(distances[i, k - 1] / (2.0 * unit) + slack)


# Indices, not slices, which would be counted as users of the array: a search makes many.
@_jit(fastmath={"reassoc", "contract", "nnan", "nsz"})
def _half_box_distance(boxes, node, places, i):
    """Half the squared distance to a box; a place is coordinates, then minus these."""
    total = np.float32(0)
    for axis in range(places.shape[1]):
        gap = max(boxes[node, axis] - places[i, axis], np.float32(0))
        total += gap * gap
    return np.float32(0.5) * total


@_jit(fastmath={"reassoc", "contract", "nnan", "nsz"})
def _half_distances(coordinates, halves, start, stop, queries, i, values):
    """Half the squared distances of a query to some points, less its own half; also the least."""
    lowest = np.float32(np.inf)
    for j in range(start, stop):
        product = np.float32(0)
        for axis in range(queries.shape[1]):
            product += coordinates[j, axis] * queries[i, axis]
        values[j - start] = halves[j] - product
        lowest = min(lowest, values[j - start])
    return lowest


@_jit
def search_tree(queries, bank, reaches, tree, tolerance, unit, enough, distances, indices):
    """Improve the nearest rows of each query, sorted by (distance, row), by those in a tree.

    Parameters
    ----------
    queries : Points
    bank : Points
        Coordinates and halves are in the order of the tree.
    reaches : (n,) float64
        Least squared distance of each row of the bank; it is never nearer.
    tree : Tree
        Of the bank.
    tolerance : (m,) float32
        Bound on the error of half a squared distance for each query.
    unit : float
        One squared distance of the coordinates, in squared distances of the rows.
    enough : (m,) float64
        Squared distance of the farthest neighbour at which a query is looked for no further.
    distances : (m, k) float64, changed in place
        Squared distances found so far; inf where there is none.
    indices : (m, k) int64, changed in place
        Indices found so far; -1 where there is none.
    """
    rows, coordinates, halves, groups = bank
    query_rows, query_coordinates, query_halves, query_groups = queries
    axes, order, starts, stops, boxes = tree
    n_axes, n_nodes = axes.shape[0], boxes.shape[0]
    places = np.empty((len(distances), 2 * n_axes), np.float32)
    for axis in range(n_axes):
        places[:, axis] = query_coordinates[:, axes[axis]]
        places[:, n_axes + axis] = -places[:, axis]
    values = np.empty((stops - starts)[n_nodes // 2 :].max(), np.float32)
    # Nodes still to visit, a path down the tree with one sibling at each step.
    stack, stack_bounds = np.empty(64, np.int64), np.empty(64, np.float32)
    for i in range(distances.shape[0]):
        # In half a squared distance, less the half that belongs to the query.
        own = query_halves[i]
        slack = np.float64(tolerance[i]) - own
        limit = np.float32(distances[i, -1] / (2.0 * unit) + slack)
        stack[0], stack_bounds[0], n_left = 0, -own, 1
        while n_left > 0:
            n_left -= 1
            node, bound = stack[n_left], stack_bounds[n_left]
            while bound <= limit and 2 * node + 2 < n_nodes:
                node = 2 * node + 1
                bound = _half_box_distance(boxes, node, places, i) - own
                other_bound = _half_box_distance(boxes, node + 1, places, i) - own
                stack[n_left], stack_bounds[n_left] = node + 1, other_bound
                if other_bound < bound:
                    stack[n_left], stack_bounds[n_left] = node, bound
                    node, bound = node + 1, other_bound
                n_left += 1
            if bound > limit:
                continue
            start, stop = starts[node], stops[node]
            lowest = _half_distances(coordinates, halves, start, stop, query_coordinates, i, values)
            for j in range(start, stop if lowest <= limit else start):
                row = order[j]
                if values[j - start] > limit or query_groups[i] == groups[row]:
                    continue
                exact = max(_squared_distance(query_rows[i], rows[row]), reaches[row])
                _insert(distances[i], indices[i], exact, row)
                limit = np.float32(distances[i, -1] / (2.0 * unit) + slack)
            if distances[i, -1] <= enough[i]:
                break


@_jit(fastmath={"reassoc", "contract"})
def nearest_means(points, candidates, means, shares, squares):
    """Squared distances (m,) of points (m, k), float32, to the nearest of a few means.

    Parameters
    ----------
    points : (m, k) float32
    candidates : (m, c) int64
        Rows of the means that each point is compared with.
    means : (r, k) float32
    shares : (r, k) float64
        What squares are multiplied with, along each axis. Of a mean that is not known they are 0.
    squares : (m,) float64, changed in place
        Inf where no mean is known.
    """
    for i in range(len(points)):
        squares[i] = np.inf
        for row in candidates[i]:
            if shares[row, 0] > 0:
                square = 0.0
                for axis in range(points.shape[1]):
                    gap = np.float64(points[i, axis] - means[row, axis])
                    square += gap * gap * shares[row, axis]
                squares[i] = min(squares[i], square)


@_jit
def share_neighbors(queries, bank, reaches, width, distances, indices):
    """Improve the nearest rows of each query by those of the queries beside it in a grid.

    Patches that touch are similar, and so are their neighbours. What is near to one is handed on
    forwards and then backwards, along rows and columns, as in Barnes et al., "PatchMatch", ACM
    Transactions on Graphics 28, 2009.

    Parameters
    ----------
    queries : (m, d) float32
        Row by row of a grid.
    bank : (n, d) float32
    reaches : (n,) float64
        Least squared distance of each row of the bank; it is never nearer.
    width : int
        Of the grid.
    distances : (m, k) float64, changed in place
        Squared distances found so far; inf where there is none.
    indices : (m, k) int64, changed in place
        Indices found so far; -1 where there is none.
    """
    m = distances.shape[0]
    for direction in (1, -1):
        for step in range(m):
            i = step if direction == 1 else m - 1 - step
            for gap in (1, width):
                other = i - direction * gap
                if other < 0 or other >= m or (gap == 1 and other // width != i // width):
                    continue
                for neighbor in range(distances.shape[1]):
                    row = indices[other, neighbor]
                    if row < 0 or row == indices[i, 0]:
                        continue
                    exact = max(_squared_distance(queries[i], bank[row]), reaches[row])
                    if exact <= distances[i, -1]:
                        _insert(distances[i], indices[i], exact, row)


@_jit
def nearest_candidates(
    candidates, bounds, queries, bank, reaches, groups, bank_groups, distances, indices
):
    """Find the nearest of a few candidates for each query, sorted by (distance, row).

    Parameters
    ----------
    candidates : (m, c) integer
        Rows of the bank; -1 where there is none.
    bounds : (m, c) float32
        Lower bounds of their squared distances, ascending.
    queries : (m, d) float32
    bank : (n, d) float32
    reaches : (n,) float64
        Least squared distance of each row of the bank; it is never nearer.
    groups, bank_groups : (m,) and (n,) int64
        A query is not matched with rows of its own group.
    distances : (m, k) float64, changed in place
        Squared distances found so far; inf where there is none.
    indices : (m, k) int64, changed in place
        Indices found so far; -1 where there is none.
    """
    for i in range(candidates.shape[0]):
        for j in range(candidates.shape[1]):
            row = candidates[i, j]
            if row < 0 or bounds[i, j] > distances[i, -1]:
                break
            if groups[i] != bank_groups[row]:
                exact = max(_squared_distance(queries[i], bank[row]), reaches[row])
                _insert(distances[i], indices[i], exact, row)


@_jit
def exclude(products, query_groups, bank_groups):
    """Set the products (m, n) of queries (m,) and rows (n,) of the same group to -inf."""
    groups = np.unique(query_groups)
    for j in range(products.shape[1]):
        for group in groups:
            if group == bank_groups[j]:
                for i in range(products.shape[0]):
                    if query_groups[i] == group:
                        products[i, j] = -np.inf


@_jit
def nearest_in_groups(products, points, halves, tolerance, unit, distances, indices):
    """Nearest other rows in each of several groups; :func:`nearest_rows` for each (g, ...)."""
    reaches, order = np.zeros(products.shape[1]), np.arange(products.shape[1])
    for group in range(products.shape[0]):
        for i in range(products.shape[1]):
            products[group, i, i] = -np.inf
        nearest_rows(
            products[group],
            points[group],
            points[group],
            reaches,
            order,
            0,
            halves[group],
            halves[group],
            tolerance[group],
            unit[group],
            distances[group],
            indices[group],
        )


@_jit
def lower_distances(
    products, points, rows, centres, halves, point_halves, tolerance, unit, distances
):
    """Lower points' squared distances to their nearest centres by a group of new centres.

    Parameters
    ----------
    products : (m, c) float32
        Approximate inner products of the coordinates of points and new centres. Distances of the
        coordinates bound those of the points from below.
    points : (n, d) float32
    rows : (m,) int64
        Rows of the points in `points`.
    centres : (c,) int64
        Rows of the new centres in `points`.
    halves : (c,) float32
        Half of the squared norms of the centres' coordinates.
    point_halves : (m,) float32
        Half of the squared norms of the points' coordinates.
    tolerance : (m,) float32
        Bound on the error of half a squared distance for each point.
    unit : float
        One squared distance of the coordinates, in squared distances of the points.
    distances : (m,) float64, changed in place
    """
    n = halves.shape[0]
    minima = np.empty((n + _CHUNK - 1) // _CHUNK, np.float32)
    for i in range(products.shape[0]):
        slack = np.float64(tolerance[i]) - point_halves[i]
        limit = np.float32(distances[i] / (2.0 * unit) + slack)
        _chunk_minima(halves, products[i], minima)
        if _smallest(minima) >= limit:
            continue
        # The most promising chunk first: what it lowers rules most of the others out.
        best = np.argmin(minima)
        for step in range(-1, minima.shape[0]):
            chunk = best if step < 0 else step
            if minima[chunk] >= limit:
                continue
            for j in range(chunk, n, minima.shape[0]):
                if halves[j] - products[i, j] < limit:
                    exact = _squared_distance(points[rows[i]], points[centres[j]])
                    if exact < distances[i]:
                        distances[i] = exact
                        limit = np.float32(exact / (2.0 * unit) + slack)
            minima[chunk] = np.inf


@_jit
def pick_farthest(products, candidates, halves, tolerance, unit, distances, bound, picks):
    """Pick the farthest candidates one after another down to the distance `bound`.

    Parameters
    ----------
    products : (n, n) float32
        Approximate inner products of the (scaled) candidates.
    candidates : (n, d) float32
        In the order of their row in the whole set: ties go to the lowest row.
    halves : (n,) float32
        Half of the squared norms of the (scaled) candidates.
    tolerance : float32
        Bound on the error of half a squared distance.
    unit : float
        One squared (scaled) distance of the products, in squared distances of the candidates.
    distances : (n,) float64, changed in place
    bound : float
        Least squared distance at which a candidate is farther than all other points. The first
        pick is made in any case.
    picks : (m,) int64, output

    Returns
    -------
    int
        Number of picks made.
    """
    pick = np.argmax(distances)
    count = 0
    while True:
        picks[count] = pick
        count += 1
        distances[pick] = 0.0
        farthest = -1.0
        following = 0
        for i in range(distances.shape[0]):
            half = halves[i] + halves[pick] - products[pick, i]
            # In float64: in float32 units of tiny or huge points are 0 or inf.
            if 2.0 * np.float64(half - tolerance) * unit < distances[i]:
                exact = _squared_distance(candidates[i], candidates[pick])
                distances[i] = min(distances[i], exact)
            if distances[i] > farthest:
                farthest = distances[i]
                following = i
        pick = following
        if count == picks.shape[0] or farthest < bound or farthest <= 0.0:
            return count
