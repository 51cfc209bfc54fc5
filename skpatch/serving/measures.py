# SPDX-License-Identifier: BSD-3-Clause
"""What Prometheus is told of a server."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["Measures"]

_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Measures:
    """Counts, times and drift of the models that are served, by name."""

    def __init__(self, served):
        self._registry = CollectorRegistry()
        self._requests = self._new(Counter, "requests", "Requests", ["path", "status"])
        self._seconds = self._new(
            Histogram, "request_seconds", "Seconds of a request", ["path"], buckets=_SECONDS
        )
        self._images = self._new(Counter, "images", "Images that were scored", ["model", "label"])
        self._batch = self._new(
            Histogram, "batch_images", "Images scored together", ["model"], buckets=range(1, 9)
        )
        self._changed = self._new(
            Gauge, "changed", "1 if recent images look more unusual than normal", ["model"]
        )
        self._distance = self._new(
            Gauge, "drift_distance", "By how much too many recent p-values are low", ["model"]
        )
        limit = self._new(
            Gauge, "drift_limit", "Distance above which images have changed", ["model"]
        )
        for name, one in served.items():
            limit.labels(name).set(one.drift.limit)
            self._add_drift(one)

    def _new(self, kind, name, what, labels, **more):
        return kind(f"skpatch_{name}", what, labels, registry=self._registry, **more)

    def watch_queue(self, count):
        """Have a function say how many requests wait."""
        gauge = self._new(Gauge, "waiting_requests", "Requests that wait to be scored", [])
        gauge.set_function(count)

    def add_request(self, path, status, seconds):
        """Count an answer."""
        self._requests.labels(path, status).inc()
        self._seconds.labels(path).observe(seconds)

    def add_batch(self, served, rows):
        """Count images that were scored together."""
        self._batch.labels(served.name).observe(len(rows))
        for row in rows:
            self._images.labels(served.name, row["label"]).inc()
        self._add_drift(served)

    def _add_drift(self, served):
        self._changed.labels(served.name).set(bool(served.drift.is_changed))
        if served.drift.distance is not None:
            self._distance.labels(served.name).set(served.drift.distance)

    def text(self):
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)
