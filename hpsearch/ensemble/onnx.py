"""An ensemble as one ONNX graph, from raw columns to answers: encodings, networks, votes. The door to `onnx`.

Inputs are the columns that are of use, each (n_rows, 1) and called as in the table. Numbers, booleans and categories of
these are `double`: False 0, True 1, a missing cell NaN; so are dates, as days since 1970-01-01 with their fraction, see
`dates.to_days`, and durations, in seconds. Other categories are `string`, a missing cell "". Outputs of a
classification are `probabilities` (n_rows, n_classes) float and `label` (n_rows,), of a regression `prediction`
(n_rows,) double. A column of one of these names gives the output an underscore. The graph refuses nothing: infinite
numbers and text that was no level count as very large and as rare.
"""

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, checker, helper, numpy_helper

from hpsearch.data.as_given import AsGiven
from hpsearch.data.categorical import Categorical
from hpsearch.data.dates import Dates
from hpsearch.data.encoding import Encoding
from hpsearch.data.numeric import CLIP, Numeric
from hpsearch.data.target import Target
from hpsearch.ensemble.tempering import SMALLEST
from hpsearch.mlp.losses import LOSSES, identity, softmax_naive
from hpsearch.mlp.predict import fused
from hpsearch.mlp.stack import Stack
from hpsearch.orchestrator.estimators import EstimatorPredictor
from hpsearch.orchestrator.networks import Network

OPSETS = {"": 18, "ai.onnx.ml": 3}
IR_VERSION = 8
"""The first version of the format with these operators: runtimes since the end of 2022 read it."""


class Votes(Protocol):
    """What is exported: see `ensemble.Ensemble`."""

    @property
    def encodings(self) -> tuple[Encoding | AsGiven, ...]: ...
    @property
    def target(self) -> Target: ...
    @property
    def networks(self) -> tuple[Network | EstimatorPredictor, ...]: ...
    @property
    def votes(self) -> NDArray[np.float64]: ...
    @property
    def places(self) -> tuple[int, ...]: ...
    @property
    def temperature(self) -> float: ...
    @property
    def threshold(self) -> float | None: ...


class Graph:
    """Nodes and constants in the order they are added; a value goes by its name."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.inputs: dict[str, ValueInfoProto] = {}

    def add(self, operator: str, *values: str, **attributes: Any) -> str:
        """The value of an operator of these values."""
        name = f"/{operator}_{len(self.nodes)}"
        self.name(name, operator, *values, **attributes)
        return name

    def name(self, name: str, operator: str, *values: str, **attributes: Any) -> None:
        """Call the value of an operator `name`."""
        domain = "ai.onnx.ml" if operator == "LabelEncoder" else None
        self.nodes.append(helper.make_node(operator, values, [name], name=name, domain=domain, **attributes))

    def constant(self, array: Any, dtype: Any = None) -> str:
        """The value of an array."""
        name = f"/constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array, dtype=dtype), name))
        return name

    def column(self, name: str, kind: int) -> str:
        """The raw column, an input of the graph."""
        self.inputs[name] = helper.make_tensor_value_info(name, kind, ["n_rows", 1])
        return name


def onnx_model(ensemble: Votes) -> ModelProto:
    """The graph that answers as `ensemble` does, checked.

    Raises:
        ValueError: for what has no graph: estimators that are not ours, and the empty text as a level.
    """
    graph = Graph()
    encoded = [_encoded(graph, encoding) for encoding in ensemble.encodings]
    voted = []
    for network, vote, place in zip(ensemble.networks, ensemble.votes, ensemble.places, strict=True):
        if not isinstance(network, Network):
            raise ValueError(f"only networks can be exported to ONNX, but a member is {network!r}")
        voted.append(graph.add("Mul", _predicted(graph, network, encoded[place]), graph.constant(vote, np.float32)))
    outputs = _answers(graph, ensemble, graph.add("Sum", *voted))
    proto = helper.make_graph(graph.nodes, "hpsearch", list(graph.inputs.values()), outputs, graph.constants)
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
    model = helper.make_model(proto, opset_imports=opsets, ir_version=IR_VERSION, producer_name="hpsearch")
    checker.check_model(model)
    return model


def _answers(graph: Graph, ensemble: Votes, outputs: str) -> list[ValueInfoProto]:
    """The outputs of the graph, from the mean of the members."""
    target, taken = ensemble.target, set(ensemble.encodings[0].column_names)

    def free(name: str) -> str:
        return free(f"{name}_") if name in taken else name

    if target.classes is None:
        column = graph.add("Squeeze", graph.add("Cast", outputs, to=TensorProto.DOUBLE), graph.constant([1], np.int64))
        scaled = graph.add("Mul", column, graph.constant(target.scale, np.float64))
        graph.name(free("prediction"), "Add", scaled, graph.constant(target.mean, np.float64))
        return [helper.make_tensor_value_info(free("prediction"), TensorProto.DOUBLE, ["n_rows"])]
    if ensemble.temperature != 1:
        positive = graph.add("Max", outputs, graph.constant(SMALLEST, np.float32))
        outputs = graph.add("Pow", positive, graph.constant(1 / ensemble.temperature, np.float32))
    graph.name(free("probabilities"), "Div", outputs, _sum(graph, outputs))
    classes = target.classes.astype(object) if target.classes.dtype.kind == "U" else target.classes
    if ensemble.threshold is None:
        decided = graph.add("ArgMax", outputs, axis=1, keepdims=0)
    else:
        column = graph.add("Gather", free("probabilities"), graph.constant([1], np.int64), axis=1)
        second = graph.add("Squeeze", column, graph.constant([1], np.int64))
        is_second = graph.add("GreaterOrEqual", second, graph.constant(ensemble.threshold, np.float32))
        decided = graph.add("Cast", is_second, to=TensorProto.INT64)
    graph.name(free("label"), "Gather", graph.constant(classes), decided)
    label = TensorProto.STRING if classes.dtype == object else helper.np_dtype_to_tensor_dtype(classes.dtype)
    return [
        helper.make_tensor_value_info(free("probabilities"), TensorProto.FLOAT, ["n_rows", len(classes)]),
        helper.make_tensor_value_info(free("label"), label, ["n_rows"]),
    ]


def _predicted(graph: Graph, network: Network, inputs: str) -> str:
    """(n_rows, n_outputs) float of one network."""
    stack = fused(network.stack)
    skips, values = stack.architecture.layout.skips, _with_waves(graph, stack, inputs)
    for layer, (matrix, bias) in enumerate(zip(stack.matrices(), stack.biases(), strict=True)):
        product = graph.add("MatMul", values, graph.constant(matrix[0]))
        outputs = graph.add("Add", product, graph.constant(bias[0]))
        if layer == len(skips) - 1:
            return _linked(graph, network.loss, outputs)
        slopes = stack.slopes()[layer][0] if stack.slopes() else np.empty(0, np.float32)
        outputs = _activated(graph, stack.architecture.activation, outputs, slopes, stack.layer_sizes[layer + 1])
        values = graph.add("Add", outputs, values) if skips[layer] else outputs
    raise AssertionError("a network has a last layer")


def _with_waves(graph: Graph, stack: Stack, inputs: str) -> str:
    """The inputs, then the waves of the first ones, if there are any; see `mlp.periodic`."""
    values = inputs
    for frequencies, phases in zip(stack.frequencies(), stack.phases(), strict=True):
        n_numeric, n_frequencies = frequencies[0].shape
        repeated = np.repeat(np.arange(n_numeric), n_frequencies)
        waving = graph.add("Gather", inputs, graph.constant(repeated, np.int64), axis=1)
        moved = graph.add("Mul", waving, graph.constant(frequencies[0].reshape(-1)))
        turns = graph.add("Add", moved, graph.constant(phases[0].reshape(-1)))
        beyond = graph.add("Sub", turns, graph.add("Round", turns))
        waves = graph.add("Cos", graph.add("Mul", beyond, graph.constant(2 * math.pi, np.float32)))
        values = graph.add("Concat", inputs, waves, axis=1)
    return values


def _linked(graph: Graph, loss: str, outputs: str) -> str:
    """See `Loss.link`."""
    link = LOSSES[loss].link
    if link is identity:
        return outputs
    if link is not softmax_naive:  # independent logistic outputs: log σ(z) = −log(1 + e^(−z))
        outputs = graph.add("Neg", graph.add("Softplus", graph.add("Neg", outputs)))
    return graph.add("Softmax", outputs, axis=-1)


def _activated(graph: Graph, activation: str, z: str, slopes: NDArray[np.float32], n_units: int) -> str:
    """The activation of z = layer + bias, see `mlp.activations`."""
    match activation:
        case "identity":
            return z
        case "sigmoid" | "tanh" | "relu" | "selu":
            return graph.add({"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu", "selu": "Selu"}[activation], z)
        case "leaky_relu" | "rrelu" | "prelu":
            return graph.add("PRelu", z, graph.constant(slopes))
        case "elu":
            below = graph.add("Elu", graph.add("Min", z, graph.constant(0, np.float32)))
            return graph.add("Add", graph.add("Relu", z), graph.add("Mul", below, graph.constant(slopes)))
        case "gelu":
            erf = graph.add("Erf", graph.add("Mul", z, graph.constant(math.sqrt(0.5), np.float32)))
            half = graph.add("Mul", z, graph.constant(0.5, np.float32))
            return graph.add("Mul", half, graph.add("Add", erf, graph.constant(1, np.float32)))
        case "silu":
            return graph.add("Mul", z, graph.add("Sigmoid", z))
        case "mish":
            return graph.add("Mul", z, graph.add("Tanh", graph.add("Softplus", z)))
        case "maxout":
            pieces = graph.add("Reshape", z, graph.constant([0, -1, n_units], np.int64))
            return graph.add("ReduceMax", pieces, graph.constant([1], np.int64), keepdims=0)
    raise ValueError(f"activation {activation!r} cannot be exported to ONNX")


def _encoded(graph: Graph, encoding: Encoding | AsGiven) -> str:
    """(n_rows, n_inputs) float, see `Encoding.encode`."""
    if not isinstance(encoding, Encoding):
        raise ValueError("an ensemble of estimators that read the table themselves cannot be exported to ONNX")
    parts = [_numeric(graph, encoding)] if encoding.numeric else []
    parts += [_cycle(graph, column.name, cycle) for column in encoding.dates for cycle in column.cycles]
    parts += [_categorical(graph, column) for column in encoding.categorical]
    return graph.add("Concat", *parts, axis=1)


def _numeric(graph: Graph, encoding: Encoding) -> str:
    """Values, indicators and bins, see `data.numeric`; in double until the end."""
    columns = encoding.numeric
    names = [column.name for column in encoding.columns if isinstance(column, Numeric | Dates)]
    each = [graph.column(name, TensorProto.DOUBLE) for name in names]
    raw = graph.add("Concat", *each, axis=1)
    missing = graph.add("IsNaN", raw)
    parts = [graph.add("Where", missing, graph.constant(0.0), _values(graph, raw, each, columns))]
    indicators = [j for j, column in enumerate(columns) if column.indicator]
    if indicators:
        flags = graph.add("Gather", missing, graph.constant(indicators, np.int64), axis=1)
        parts.append(graph.add("Cast", flags, to=TensorProto.DOUBLE))
    if any(column.n_bins for column in columns):
        parts.append(_bins(graph, raw, missing, columns))
    return graph.add("Cast", graph.add("Concat", *parts, axis=1), to=TensorProto.FLOAT)


def _values(graph: Graph, raw: str, each: list[str], columns: tuple[Numeric, ...]) -> str:
    scales = [column.scale if column.scale > 0 else math.inf for column in columns]
    shifted = graph.add("Sub", raw, graph.constant([column.median for column in columns], np.float64))
    z = _clipped(graph, graph.add("Div", shifted, graph.constant(scales, np.float64)), -1e6, 1e6)
    share = graph.add("Div", z, graph.constant(CLIP, np.float64))
    square = graph.add("Add", graph.add("Mul", share, share), graph.constant(1.0))
    squashed = graph.add("Div", z, graph.add("Sqrt", square))
    if not any(column.quantiles for column in columns):
        return squashed
    parts = [
        _normal(graph, each[j], column.quantiles)
        if column.quantiles
        else graph.add("Gather", squashed, graph.constant([j], np.int64), axis=1)
        for j, column in enumerate(columns)
    ]
    return graph.add("Concat", *parts, axis=1)


def _clipped(graph: Graph, values: str, low: float, high: float) -> str:
    return graph.add("Clip", values, graph.constant(low, np.float64), graph.constant(high, np.float64))


def _normal(graph: Graph, raw: str, quantiles: tuple[float, ...]) -> str:
    """See `quantile.to_normal`: the share of rows below, and its place in the normal distribution, within ±3.

    The share is a sum over the distinct quantiles: of what each tied one adds, and of the way between neighbours.
    """
    distinct, first, counts = np.unique(quantiles, return_index=True, return_counts=True)
    shares = np.linspace(0, 1, len(quantiles))
    lowest, highest = shares[first], shares[first + counts - 1]
    edges = graph.constant(distinct[np.newaxis])
    above, at = (graph.add(operator, raw, edges) for operator in ("Greater", "Equal"))
    passed = graph.add(
        "Add",
        graph.add("Cast", above, to=TensorProto.DOUBLE),
        graph.add("Mul", graph.add("Cast", at, to=TensorProto.DOUBLE), graph.constant(0.5)),
    )
    steps = graph.add("MatMul", passed, graph.constant((highest - lowest)[:, np.newaxis]))
    reached = _reached(graph, raw, distinct[:-1], np.diff(distinct))
    ways = graph.add("MatMul", reached, graph.constant((lowest[1:] - highest[:-1])[:, np.newaxis]))
    inside = graph.add("Add", steps, ways)
    low = graph.add("LessOrEqual", raw, graph.constant(distinct[0]))
    high = graph.add("GreaterOrEqual", raw, graph.constant(distinct[-1]))
    share = graph.add("Where", high, graph.constant(1.0), graph.add("Where", low, graph.constant(0.0), inside))
    return _clipped(graph, _normal_quantile(graph, share), -CLIP, CLIP)


def _reached(graph: Graph, values: str, starts: NDArray[np.float64], widths: NDArray[np.float64]) -> str:
    """clip((values − starts) / widths, 0, 1)."""
    ways = graph.add("Div", graph.add("Sub", values, graph.constant(starts)), graph.constant(widths))
    return _clipped(graph, ways, 0.0, 1.0)


CENTRAL = (
    (-3.969683028665376e1, 2.209460984245205e2, -2.759285104469687e2, 1.383577518672690e2, -3.066479806614716e1,
     2.506628277459239),
    (-5.447609879822406e1, 1.615858368580409e2, -1.556989798598866e2, 6.680131188771972e1, -1.328068155288572e1, 1.0),
)  # fmt: skip
TAIL = (
    (-7.784894002430293e-3, -3.223964580411365e-1, -2.400758277161838, -2.549732539343734, 4.374664141464968,
     2.938163982698783),
    (7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416, 1.0),
)  # fmt: skip
TAIL_BELOW = 0.02425
"""Acklam's rational approximations of Φ⁻¹ (2003), coefficients from the highest power on; relative error 1.2e-9."""


def _normal_quantile(graph: Graph, share: str) -> str:
    """Φ⁻¹ of shares; those below 1e-9 and above 1 − 1e-9 count as these."""

    def polynomial(coefficients: tuple[float, ...], x: str) -> str:
        value = graph.constant(coefficients[0], np.float64)
        for coefficient in coefficients[1:]:
            value = graph.add("Add", graph.add("Mul", value, x), graph.constant(coefficient, np.float64))
        return value

    centred = graph.add("Sub", share, graph.constant(0.5))
    square = graph.add("Mul", centred, centred)
    ratio = graph.add("Div", polynomial(CENTRAL[0], square), polynomial(CENTRAL[1], square))
    central = graph.add("Mul", centred, ratio)
    # the smaller of p and 1 − p
    tail_share = graph.add("Sub", graph.constant(0.5), graph.add("Abs", centred))
    logarithm = graph.add("Log", _clipped(graph, tail_share, 1e-9, 0.5))
    root = graph.add("Sqrt", graph.add("Mul", logarithm, graph.constant(-2.0)))
    lower = graph.add("Div", polynomial(TAIL[0], root), polynomial(TAIL[1], root))
    tail = graph.add("Neg", graph.add("Mul", lower, graph.add("Sign", centred)))
    return graph.add("Where", graph.add("Less", tail_share, graph.constant(TAIL_BELOW)), tail, central)


def _bins(graph: Graph, raw: str, missing: str, columns: tuple[Numeric, ...]) -> str:
    """See `piecewise.encode_bins`; bins that only other folds have are 0."""
    owners, starts, widths, used = [], [], [], []
    for j, column in enumerate(columns):
        n_unused = column.n_bins - max(len(column.edges) - 1, 0)
        owners += [j] * column.n_bins
        starts += [*column.edges[:-1], *[0.0] * n_unused]
        widths += [*np.diff(column.edges), *[1.0] * n_unused]
        used += [True] * (column.n_bins - n_unused) + [False] * n_unused
    of_bins = graph.constant(owners, np.int64)
    reached = _reached(graph, graph.add("Gather", raw, of_bins, axis=1), np.array(starts), np.array(widths))
    empty = graph.add("Or", graph.add("Gather", missing, of_bins, axis=1), graph.constant(~np.array(used)))
    return graph.add("Where", empty, graph.constant(0.0), reached)


def _cycle(graph: Graph, raw: str, name: str) -> str:
    """Sine and cosine, see `data.dates`."""
    share = CYCLES[name](graph, raw)
    angle = graph.add("Mul", share, graph.constant(2 * math.pi))
    narrow = graph.add("Cast", angle, to=TensorProto.FLOAT)
    waves = graph.add("Concat", graph.add("Sin", narrow), graph.add("Cos", narrow), axis=1)
    return graph.add("Where", graph.add("IsNaN", raw), graph.constant(0, np.float32), waves)


def _linear(graph: Graph, values: str, factor: float, shift: float = 0.0) -> str:
    """values · factor + shift."""
    return graph.add("Add", graph.add("Mul", values, graph.constant(factor)), graph.constant(shift))


def _whole(graph: Graph, values: str, divisor: float) -> str:
    """How many times the divisor is in the values."""
    return graph.add("Floor", graph.add("Div", values, graph.constant(divisor)))


def _rest(graph: Graph, values: str, divisor: float) -> str:
    """What remains of the values then."""
    return graph.add("Sub", values, _linear(graph, _whole(graph, values, divisor), divisor))


def _time_of_day(graph: Graph, days: str) -> str:
    return _rest(graph, days, 1.0)


def _day_of_week(graph: Graph, days: str) -> str:
    day = _rest(graph, _linear(graph, graph.add("Floor", days), 1.0, 3.0), 7.0)
    return graph.add("Div", day, graph.constant(7.0))


def _time_of_year(graph: Graph, days: str) -> str:
    """The civil calendar by whole days, in eras of 400 years from 1 March 0000 (Hinnant, chrono-compatible low-level
    date algorithms, 2013)."""
    day_of_era = _rest(graph, _linear(graph, graph.add("Floor", days), 1.0, 719468.0), 146097.0)
    leaps = graph.add("Sub", _whole(graph, day_of_era, 36524.0), _whole(graph, day_of_era, 1460.0))
    leaps = graph.add("Sub", leaps, _whole(graph, day_of_era, 146096.0))
    year = _whole(graph, graph.add("Add", day_of_era, leaps), 365.0)
    first = graph.add("Sub", _whole(graph, year, 4.0), _whole(graph, year, 100.0))
    day_of_year = graph.add("Sub", day_of_era, graph.add("Add", _linear(graph, year, 365.0), first))
    from_march = _whole(graph, _linear(graph, day_of_year, 5.0, 2.0), 153.0)
    day = graph.add("Sub", day_of_year, _whole(graph, _linear(graph, from_march, 153.0, 2.0), 5.0))
    month = _rest(graph, _linear(graph, from_march, 1.0, 2.0), 12.0)
    return _linear(graph, graph.add("Add", month, _linear(graph, day, 1 / 31)), 1 / 12)


CYCLES = {"time of year": _time_of_year, "day of week": _day_of_week, "time of day": _time_of_day}
"""The share of each cycle of `data.dates.CYCLES` that has passed, from days since 1970."""


def _categorical(graph: Graph, column: Categorical) -> str:
    """One input per level, that of the rare ones and the frequency, see `data.categorical`."""
    if "" in (*column.levels, *column.counted):
        raise ValueError(f"column {column.name!r} has the empty text as a level, which in ONNX is a missing cell")
    is_number = column.kind in ("numbers", "booleans")
    raw = graph.column(column.name, TensorProto.DOUBLE if is_number else TensorProto.STRING)
    has = _has_number if is_number else _has_text
    found = has(graph, raw, column.levels)
    if not column.rare:
        return found
    is_rare = graph.add("Sub", graph.constant(1, np.float32), _sum(graph, found))
    parts = [found, is_rare]
    if column.counted:
        frequencies = np.log(column.counts) / np.log(column.n_rows)
        counted = has(graph, raw, column.counted)
        parts.append(graph.add("MatMul", counted, graph.constant(frequencies[:, np.newaxis], np.float32)))
    else:
        parts.append(graph.add("Mul", is_rare, graph.constant(0, np.float32)))
    return graph.add("Concat", *parts, axis=1)


def _sum(graph: Graph, values: str) -> str:
    """Of each row, (n_rows, 1)."""
    return graph.add("ReduceSum", values, graph.constant([1], np.int64))


def _has_number(graph: Graph, raw: str, levels: tuple[str | None, ...]) -> str:
    """(n_rows, n_levels) float: 1 where a row has the level."""
    numbers = np.array([[_number(key) for key in levels]])
    is_missing = graph.add("And", graph.add("IsNaN", raw), graph.constant(np.isnan(numbers)))
    found = graph.add("Or", graph.add("Equal", raw, graph.constant(numbers)), is_missing)
    return graph.add("Cast", found, to=TensorProto.FLOAT)


def _has_text(graph: Graph, raw: str, levels: tuple[str | None, ...]) -> str:
    """(n_rows, n_levels) float: 1 where a row has the level."""
    keys = ["" if level is None else level for level in levels]
    number = graph.add("LabelEncoder", raw, keys_strings=keys, values_int64s=range(len(keys)), default_int64=-1)
    found = graph.add("Equal", number, graph.constant([range(len(keys))], np.int64))
    return graph.add("Cast", found, to=TensorProto.FLOAT)


NUMBER_OF_BOOLEAN = {"False": 0.0, "True": 1.0}


def _number(key: str | None) -> float:
    """The number whose text key this is; see `columns.to_keys`."""
    if key is None:
        return math.nan
    return NUMBER_OF_BOOLEAN[key] if key in NUMBER_OF_BOOLEAN else float(key)
