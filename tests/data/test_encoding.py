import json

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, RobustScaler

from hpsearch.data.categorical import Categorical
from hpsearch.data.columns import Dropped
from hpsearch.data.dates import CYCLES
from hpsearch.data.encoding import ENCODINGS, Encoding, aligned, fit_encoding
from hpsearch.data.numeric import Numeric
from hpsearch.data.piecewise import MOST_INPUTS
from hpsearch.data.table import as_frame, read_source

CITIES = ["Rome", "Oslo", "Lima", None]


def mixed_table(n_rows=60, seed=0):
    """Columns of every kind that can be encoded, some with missing cells, and two without use."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": rng.normal(40, 10, n_rows),
            "city": rng.choice(np.array(CITIES, dtype=object), n_rows),
            "income": np.where(rng.random(n_rows) < 0.2, np.nan, rng.lognormal(size=n_rows)),
            "constant": 1,
            "member": rng.random(n_rows) < 0.5,
            "grade": rng.integers(1, 4, n_rows),
            "size": pd.Categorical(rng.choice(["S", "M", "L"], n_rows)),
            "name": [f"person {row}" for row in range(n_rows)],
        }
    )


NUMBERS_AND_MORE = mixed_table(400).assign(run=lambda table: np.arange(400) + table["age"] / 9)


def fit(table, categorical=(), train_rows=None, name="robust"):
    rows = np.arange(len(table))
    train_rows = rows if train_rows is None else train_rows
    return fit_encoding(as_frame(table), rows, train_rows, categorical, name, target_of(table))


def target_of(table):
    """(n_rows,) classes: runs of a twelfth of the rows are 0 and 1 in turn."""
    return np.arange(len(table)) * 12 // len(table) % 2


MIXED_INPUTS = (
    *("age", "income", "income is missing"),
    *("city=Lima", "city=Oslo", "city=Rome", "city is missing"),
    *("member=False", "member=True", "grade=1", "grade=2", "grade=3", "size=L", "size=M", "size=S"),
)


def test_a_mixed_table():
    table = mixed_table()
    encoding, warnings = fit(table, ["grade"])
    assert encoding.column_names == tuple(table.columns)
    kinds = [Numeric, Categorical, Numeric, Dropped, Categorical, Categorical, Categorical, Dropped]
    assert [type(column) for column in encoding.columns] == kinds
    assert warnings == (
        "Columns without use were dropped: 'constant' (constant), 'name' (no value in 5 rows or more).",
    )
    assert encoding.input_names == MIXED_INPUTS and encoding.n_inputs == len(MIXED_INPUTS)
    inputs = encoding.encode(table)
    assert inputs.shape == (60, len(MIXED_INPUTS)) and inputs.dtype == np.float32 and inputs.flags.c_contiguous
    assert np.isfinite(inputs).all() and np.abs(inputs).max() <= 3
    for first, last in [(3, 7), (7, 9), (9, 12), (12, 15)]:
        assert (inputs[:, first:last].sum(axis=1) == 1).all()
    assert not fit(table[["age"]])[1]


def clip(z):
    return z / np.sqrt(1 + (z / 3) ** 2)


@pytest.mark.parametrize("name", ["iris", "wine", "diabetes", "breast_cancer", "digits"])
def test_encoding_is_that_of_a_scikit_learn_pipeline(name):
    rng = np.random.default_rng(0)
    table = read_source(f"sklearn:{name}").drop(columns="target")
    if name != "digits":  # where a quarter of the columns has an IQR of 0, which the pipeline leaves unscaled
        table = table.mask(rng.random(table.shape) < 0.1)
    iqr = table.quantile(0.75) - table.quantile(0.25)
    table = table.loc[:, iqr > 0]
    numeric = list(table)
    table["city"] = rng.choice(np.array(CITIES, dtype=object), len(table))
    table["code"] = rng.poisson(2, len(table))
    train_rows = np.sort(rng.permutation(len(table))[: len(table) // 2])
    encoding, _ = fit(table, ["code"], train_rows)

    # Scaling comes first, since the spread is that of the cells that are there.
    numbers = make_pipeline(RobustScaler(), SimpleImputer(strategy="median", add_indicator=True))
    levels = OneHotEncoder(min_frequency=5, max_categories=101, handle_unknown="infrequent_if_exist")
    layout_part = ColumnTransformer([("levels", levels, ["city", "code"])], sparse_threshold=0)
    expected = np.hstack(
        [
            numbers.fit(table[numeric].iloc[train_rows]).transform(table[numeric]),
            layout_part.fit_transform(table),
        ]
    )
    expected[:, : len(numeric)] = clip(expected[:, : len(numeric)])
    ours = encoding.encode(table)
    frequencies = [place for place, its in enumerate(encoding.input_names) if its.endswith(": frequency")]
    np.testing.assert_allclose(np.delete(ours, frequencies, axis=1), expected, rtol=2e-6, atol=1e-6)


def test_layout_is_blind_to_test_rows_and_statistics_to_all_but_training_rows():
    table = mixed_table(80)
    changed = table.copy()
    changed.loc[60:, ["age", "income"]] = 1e6
    changed.loc[60:, "city"] = "Atlantis"
    changed.loc[60:, "constant"] = range(20)
    layout_rows, train_rows = np.arange(60), np.arange(40)
    encodings = [fit_encoding(t, layout_rows, train_rows) for t in (table, changed)]
    assert encodings[0] == encodings[1]
    changed.loc[40:, "age"] = -1e6
    assert fit_encoding(changed, layout_rows, train_rows) == encodings[0]
    changed.loc[0, "age"] = 1e6
    assert fit_encoding(changed, layout_rows, train_rows) != encodings[0]


@pytest.mark.parametrize("storage", ["python", "pyarrow"])
def test_text_in_either_storage(storage):
    if storage == "pyarrow":
        pytest.importorskip("pyarrow")
    table = mixed_table()
    stored = table.astype({"city": pd.StringDtype(storage, na_value=np.nan)})
    encoding, _ = fit(table)
    assert fit(stored)[0] == encoding
    np.testing.assert_array_equal(encoding.encode(stored), encoding.encode(table))


def as_nullable(table):
    return table.convert_dtypes()


def as_objects(table):
    return table.astype(object)


def as_arrow(table):
    pytest.importorskip("pyarrow")
    return table.drop(columns="size").convert_dtypes(dtype_backend="pyarrow").assign(size=table["size"])[list(table)]


def as_categories(table):
    return table.astype({"city": "category", "grade": "category"})


@pytest.mark.parametrize("restore", [as_nullable, as_objects, as_arrow, as_categories])
def test_storage_does_not_matter(restore):
    table = mixed_table()
    expected = fit(table, ["city", "grade", "size"])[0]
    stored = restore(table)
    before = stored.copy()
    encoding = fit(stored, ["city", "grade", "size"])[0]
    assert encoding == expected
    np.testing.assert_array_equal(expected.encode(stored), expected.encode(table))
    pd.testing.assert_frame_equal(stored, before)


def test_read_only_arrays():
    values = np.random.default_rng(0).normal(size=(20, 3))
    values.flags.writeable = False
    encoding, _ = fit(values)
    np.testing.assert_array_equal(
        encoding.encode(values), encoding.encode(pd.DataFrame(values, columns=["x0", "x1", "x2"], copy=False))
    )


def test_saving_is_exact():
    table = mixed_table()
    encoding, _ = fit(table, ["grade"])
    tensors, document = encoding.to_tensors()
    assert {name: array.shape for name, array in tensors.items()} == {"median": (2,), "scale": (2,)}
    again = Encoding.from_tensors(tensors, json.loads(json.dumps(document)))
    assert again == encoding
    np.testing.assert_array_equal(again.encode(table), encoding.encode(table))


def test_saving_without_numeric_columns():
    encoding, _ = fit(mixed_table()[["city", "constant"]])
    tensors, document = encoding.to_tensors()
    assert tensors["median"].shape == (0,)
    assert Encoding.from_tensors(tensors, document) == encoding


def test_columns_are_found_by_name_in_frames_and_by_position_in_arrays():
    table = mixed_table()
    encoding, _ = fit(table)
    expected = encoding.encode(table)
    np.testing.assert_array_equal(encoding.encode(table[table.columns[::-1]]), expected)
    np.testing.assert_array_equal(encoding.encode(table.to_numpy(dtype=object)), expected)
    np.testing.assert_array_equal(encoding.encode(table.to_numpy(dtype=object).tolist()), expected)
    np.testing.assert_array_equal(encoding.encode(table[3:4]), expected[3:4])


def test_a_table_of_another_width_or_with_other_names():
    table = mixed_table()
    encoding, _ = fit(table)
    with pytest.raises(ValueError, match="X_new must have the columns.*: missing are 'city', unknown are 'town'"):
        encoding.encode(table.rename(columns={"city": "town"}), "X_new")
    with pytest.raises(ValueError, match="missing are 'age', 'constant'$"):
        encoding.encode(table.drop(columns=["age", "constant"]))
    with pytest.raises(ValueError, match="unknown are 'more'"):
        encoding.encode(table.assign(more=1))
    with pytest.raises(ValueError, match="X must have 8 columns, but has 7"):
        encoding.encode(table.to_numpy(dtype=object)[:, 1:])


def test_what_a_column_may_hold_later():
    table = mixed_table()
    encoding, _ = fit(table, ["grade"])
    expected = encoding.encode(table)
    for name, dtype in [("grade", str), ("grade", float), ("grade", "category"), ("size", str), ("constant", str)]:
        np.testing.assert_array_equal(encoding.encode(table.astype({name: dtype})), expected)
    ages = table.assign(age=table["age"].round())
    np.testing.assert_array_equal(encoding.encode(ages.astype({"age": int})), encoding.encode(ages))
    assert encoding.encode(table.assign(age=table["age"] > 40)).shape == expected.shape


@pytest.mark.parametrize("empty", [None, np.nan, pd.NaT, pd.NA])
@pytest.mark.parametrize("name", ["age", "city", "income", "member", "grade", "size", "name"])
def test_a_column_may_be_all_missing_later(name, empty):
    encoding, _ = fit(mixed_table(), ["grade"])
    inputs = encoding.encode(mixed_table().assign(**{name: empty}))
    for j, input_name in enumerate(encoding.input_names):
        if input_name.startswith(name):
            assert (inputs[:, j] == (input_name == f"{name} is missing")).all()


@pytest.mark.parametrize(
    "name, cells, message",
    [
        ("age", "old", "'age' held numbers, now it holds text"),
        ("age", pd.Timestamp("2024-01-31"), "'age' held numbers, now it holds dates"),
        ("city", 1, "'city' held text, now it holds numbers"),
        ("city", True, "'city' held text, now it holds booleans"),
        ("member", 1, "'member' held booleans, now it holds numbers"),
        ("member", "True", "'member' held booleans, now it holds text"),
        ("grade", True, "'grade' held numbers, now it holds booleans"),
        ("grade", pd.Timestamp("2024-01-31"), "'grade' held numbers, now it holds dates"),
    ],
)
def test_what_a_column_may_not_hold_later(name, cells, message):
    encoding, _ = fit(mixed_table(), ["grade"])
    with pytest.raises(ValueError, match=message):
        encoding.encode(mixed_table().assign(**{name: cells}))


def test_all_columns_of_another_type_are_named_at_once():
    encoding, _ = fit(mixed_table())
    with pytest.raises(ValueError, match="'age' held numbers.*'city' held text"):
        encoding.encode(mixed_table().assign(age="x", city=1))


def test_missing_cells_in_a_column_that_had_none_are_imputed():
    encoding, _ = fit(mixed_table())
    inputs = encoding.encode(mixed_table().assign(age=np.nan))
    assert not inputs[:, encoding.input_names.index("age")].any()


def test_infinite_numbers_are_refused_whenever_they_come():
    table = mixed_table()
    encoding, _ = fit(table)
    table.loc[[3, 5], "age"] = [np.inf, -np.inf]
    with pytest.raises(ValueError, match=r"'age' \(2 rows\)"):
        encoding.encode(table)
    with pytest.raises(ValueError, match=r"'age' \(2 rows\)"):
        fit(table)


@pytest.mark.parametrize(
    "cells, message",
    [
        (["2024-01-31", "2024-02-30"] * 30, "'new' holds dates as text, but these are none: '2024-02-30'"),
        ([f"row {k} of the table says so" for k in range(60)], "'new' holds free text .*'row 0 of the.*or drop it"),
        ([*map(str, range(59)), "1o3"], "'new' holds numbers as text, but for '1o3': correct these, leave them empty"),
        ([*(f"{k}.5" for k in range(55)), *"?????"], "but for '[?]': correct"),
        (pd.Categorical(pd.date_range("2024-01-01", periods=60)), "declared categorical, but holds dates: give text"),
        (pd.Categorical(pd.timedelta_range("1D", periods=60)), "but holds durations"),
        (np.full(60, 1j), "Complex data not supported"),
        (["a", 1] * 30, "'new' holds mixed values.*declare it categorical"),
        ([[1]] * 60, "'new' holds Python objects"),
        ([{}] * 60, "'new' holds Python objects"),
    ],
)
def test_columns_that_cannot_be_encoded(cells, message):
    with pytest.raises(ValueError, match=message):
        fit(mixed_table().assign(new=cells))


@pytest.mark.parametrize("cells", [["1", "2", "3+"] * 20, [f"A{k}" for k in range(10)] * 5 + [*map(str, range(10))]])
def test_text_with_some_numbers_is_text(cells):
    assert fit(mixed_table().assign(new=cells))[0].categorical[-1].name == "new"


@pytest.mark.parametrize(
    "cells",
    [["2024-01-31", "2024-02-29"] * 30, ["a", 1] * 30, [0.5, 1.5] * 30, ["7"] * 30 + [*map(str, range(29)), "?"]],
)
def test_what_is_declared_categorical_is_taken_as_it_is(cells):
    encoding, _ = fit(mixed_table().assign(new=cells), ["new"])
    assert encoding.categorical[-1].name == "new"


DATES = pd.Series(pd.date_range("2023-11-01 08:00", periods=400, freq="31h"))


@pytest.mark.parametrize("name", ENCODINGS)
def test_dates_are_days_and_cycles(name):
    table = NUMBERS_AND_MORE[["age", "city"]].assign(when=DATES.mask(DATES.index % 9 == 0))
    encoding, warnings = fit(table, name=name)
    robust = fit(table)[0]
    of_dates = [its for its in encoding.input_names if its.startswith("when") and ": bin" not in its]
    cycles = [f"when: {wave} {cycle}" for cycle in CYCLES for wave in ("sin", "cos")]
    assert of_dates == ["when: days", "when: days is missing", *cycles] and not warnings
    assert any(its.startswith("when: days: bin") for its in encoding.input_names) == name.startswith("piecewise")
    inputs = encoding.encode(table)
    assert inputs.shape == (400, encoding.n_inputs) and np.abs(inputs).max() <= 3
    missing = inputs[::9][:, [its.startswith("when") for its in encoding.input_names]]
    assert (missing.sum(axis=1) == 1).all()
    tensors, document = encoding.to_tensors()
    assert Encoding.from_tensors(tensors, json.loads(json.dumps(document))) == encoding
    for its in cycles:
        np.testing.assert_array_equal(
            inputs[:, encoding.input_names.index(its)], robust.encode(table)[:, robust.input_names.index(its)]
        )
    assert encoding.column_names == ("age", "city", "when") and [its.name for its in encoding.dates] == ["when"]


def test_dates_in_any_storage_are_encoded_alike():
    rome = DATES.dt.tz_localize("Europe/Rome", ambiguous=True, nonexistent="shift_forward")
    stored = [DATES.astype("datetime64[s]"), rome, DATES.astype(object), DATES.astype(str), rome.astype(str)]
    if pa := pytest.importorskip("pyarrow"):
        stored.append(DATES.astype(pd.ArrowDtype(pa.timestamp("us"))))
    tables = [mixed_table(400)[["age"]].assign(when=cells) for cells in (DATES, *stored)]
    encodings = [fit(table)[0] for table in tables]
    assert all(encoding == encodings[0] for encoding in encodings)
    for table in tables:
        np.testing.assert_array_equal(encodings[0].encode(table), encodings[0].encode(tables[0]))


def test_what_a_column_of_dates_may_not_hold_later():
    table = mixed_table(400)[["age"]].assign(when=DATES)
    encoding, _ = fit(table)
    for cells, held in [(1, "numbers"), ("soon", "text"), (pd.Timedelta("1D"), "durations")]:
        with pytest.raises(ValueError, match=f"'when' held dates, now it holds {held}"):
            encoding.encode(table.assign(when=cells))
    assert not encoding.encode(table.assign(when=None))[:, 1:].any()


def test_dates_look_at_layout_rows_for_cycles_and_at_training_rows_for_the_rest():
    table = mixed_table(400)[["age"]].assign(when=DATES.dt.normalize())
    later = table.assign(when=table["when"].where(table.index < 300, pd.Timestamp("2042-01-31 12:00")))
    rows = np.arange(400)
    first, second = (fit_encoding(its, rows[:300], rows[:300])[0] for its in (table, later))
    assert first == second and first.dates[0].cycles == ("time of year", "day of week")
    changed = table.assign(when=table["when"].where(table.index < 200, pd.Timestamp("2042-01-31")))
    first, second = (fit_encoding(its, rows, rows[:200])[0] for its in (table, changed))
    assert first == second


def test_dates_without_use_are_dropped():
    table = mixed_table()[["age"]].assign(same=pd.Timestamp("2024-01-31"), never=pd.NaT)
    assert fit(table)[0].columns[1:] == (Dropped("same", "constant"), Dropped("never", "all missing"))


def test_the_name_of_the_days_must_be_free():
    with pytest.raises(ValueError, match="column 'when: days' must have another name.*dates 'when'"):
        fit(pd.DataFrame({"when: days": np.arange(60), "when": DATES[:60]}))


def test_durations_are_numbers():
    seconds = np.arange(60.0) ** 2
    expected, _ = fit(pd.DataFrame({"took": seconds}))
    durations = pd.DataFrame({"took": pd.to_timedelta(seconds, unit="s")})
    assert fit(durations)[0] == expected
    np.testing.assert_array_equal(expected.encode(durations), expected.encode(pd.DataFrame({"took": seconds})))


def test_a_column_with_rare_levels_says_how_frequent_they_are():
    table = mixed_table(400).assign(street=np.sqrt(np.arange(400)).astype(int).astype(str))
    encoding, _ = fit(table)
    inputs = encoding.encode(table.assign(street=["19", "2", "1", "0", "unseen"] * 80))
    place = encoding.input_names.index("street: frequency")
    np.testing.assert_allclose(inputs[:5, place], np.log([39, 5, 3, 1, 1]) / np.log(400), rtol=1e-6)
    tensors, document = encoding.to_tensors()
    assert Encoding.from_tensors(tensors, json.loads(json.dumps(document))) == encoding
    few, _ = fit(table, train_rows=np.arange(100))
    np.testing.assert_allclose(few.encode(table)[[120, 99], place], [0, np.log(19) / np.log(100)], rtol=1e-6)


def test_binned_columns_are_categories():
    table = mixed_table()
    binned = table[["city"]].assign(age=pd.cut(table["age"], [0, 40, 99]))
    encoding, _ = fit(binned)
    assert [name for name in encoding.input_names if name.startswith("age")] == ["age=(0, 40]", "age=(40, 99]"]
    np.testing.assert_array_equal(encoding.encode(binned)[:, -2:].argmax(axis=1), table["age"] > 40)


def test_names_that_are_no_columns():
    with pytest.raises(ValueError, match="categorical names 'ciity'.*did you mean 'city'"):
        fit(mixed_table(), ["ciity"])


def test_a_table_without_a_column_of_use():
    with pytest.raises(ValueError, match=r"no column of use: 'constant' \(constant\), 'name'"):
        fit(mixed_table()[["constant", "name"]])


def test_columns_that_are_all_missing_are_dropped_whatever_they_are():
    nothing = {
        "a": np.nan,
        "b": None,
        "c": pd.NaT,
        "d": pd.array([None] * 60, dtype="string"),
        "e": pd.Categorical([None] * 60),
    }
    encoding, warnings = fit(mixed_table()[["age"]].assign(**nothing), ["b"])
    assert [column for column in encoding.columns[1:]] == [Dropped(name, "all missing") for name in nothing]
    assert "'e' (all missing)" in warnings[0]


def test_many_rows_are_encoded_as_few():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(20_000, 50)), columns=[f"x{j}" for j in range(50)])
    for j in range(10):
        table[f"x{j}"] = rng.integers(0, 20, 20_000).astype(str)
    encoding, _ = fit(table)
    inputs = encoding.encode(table)
    for rows in (slice(0, 1), slice(7, 19), slice(19_990, None)):
        np.testing.assert_array_equal(inputs[rows], encoding.encode(table[rows]))


def test_the_first_cell_that_spoils_a_column_of_numbers_is_shown() -> None:
    frame = pd.DataFrame({"tenure": np.arange(40.0), "town": ["a", "b"] * 20})
    encoding, _ = fit_encoding(frame, np.arange(40), np.arange(40), [])
    spoilt = frame.assign(tenure=[*map(str, range(12)), "n/a", *map(str, range(27))])
    with pytest.raises(ValueError, match=r"'tenure' held numbers, now it holds text \(the first: 'n/a' in row 12\)"):
        encoding.encode(spoilt)
    mixed = frame.assign(tenure=[*range(12), "12", *range(27)])
    with pytest.raises(ValueError, match=r"now it holds mixed values \(the first: '12' in row 12\)"):
        encoding.encode(mixed)


@pytest.mark.parametrize("name", ENCODINGS)
def test_encodings_differ_in_numeric_columns_alone(name):
    robust, encoding = (fit(NUMBERS_AND_MORE, name=its)[0] for its in ("robust", name))
    inputs = encoding.encode(NUMBERS_AND_MORE)
    assert encoding.name == name and encoding.column_names == robust.column_names
    assert inputs.shape == (400, encoding.n_inputs) == (400, len(set(encoding.input_names)))
    assert inputs.dtype == np.float32 and inputs.flags.c_contiguous
    assert np.isfinite(inputs).all() and np.abs(inputs).max() <= 3
    of_columns = [place for place, its in enumerate(encoding.input_names) if its in robust.input_names]
    same = range(0 if name != "quantile" else len(robust.numeric), robust.n_inputs)
    np.testing.assert_array_equal(inputs[:, of_columns][:, same], robust.encode(NUMBERS_AND_MORE)[:, same])
    assert (len(of_columns) < encoding.n_inputs) == name.startswith("piecewise")


@pytest.mark.parametrize("name", ENCODINGS)
def test_any_encoding_is_saved_exactly(name):
    encoding, _ = fit(NUMBERS_AND_MORE, name=name)
    encoding = aligned([encoding, fit(NUMBERS_AND_MORE, name=name, train_rows=np.arange(90))[0]])[1]
    tensors, document = encoding.to_tensors()
    assert all(array.dtype == np.float64 and array.ndim == 1 for array in tensors.values())
    again = Encoding.from_tensors(tensors, json.loads(json.dumps(document)))
    assert again == encoding
    np.testing.assert_array_equal(again.encode(NUMBERS_AND_MORE), encoding.encode(NUMBERS_AND_MORE))


@pytest.mark.parametrize("name", ENCODINGS)
def test_any_encoding_looks_at_training_rows_alone(name):
    changed = NUMBERS_AND_MORE.copy()
    changed.loc[200:, ["age", "run"]] = -1e6
    first, second = (fit(table, name=name, train_rows=np.arange(200))[0] for table in (NUMBERS_AND_MORE, changed))
    assert first == second
    assert fit(changed, name=name)[0] != first


def test_bins_by_trees_look_at_targets_of_training_rows_alone():
    rows, train_rows, targets = np.arange(400), np.arange(200), target_of(NUMBERS_AND_MORE)
    others = np.where(rows < 200, targets, 1 - targets)
    first, second, third = (
        fit_encoding(NUMBERS_AND_MORE, rows, train_rows, (), "piecewise_tree", its)[0]
        for its in (targets, others, rows // 30 % 2)
    )
    assert first == second != third


@pytest.mark.parametrize("name", ENCODINGS)
def test_rows_are_encoded_by_themselves(name):
    encoding, _ = fit(NUMBERS_AND_MORE, name=name)
    inputs = encoding.encode(NUMBERS_AND_MORE)
    for rows in (slice(0, 1), slice(7, 19)):
        np.testing.assert_array_equal(inputs[rows], encoding.encode(NUMBERS_AND_MORE[rows]))


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_missing_cell_has_its_indicator_and_nothing_else(name):
    encoding, _ = fit(NUMBERS_AND_MORE, name=name)
    inputs = encoding.encode(NUMBERS_AND_MORE.assign(income=np.nan, run=np.nan))
    on = {its for its, values in zip(encoding.input_names, inputs.T, strict=True) if values.any()}
    assert {its for its in on if its.startswith(("income", "run"))} == {"income is missing"}


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_column_that_does_not_vary_on_the_training_rows_is_zero_in_any_encoding(name):
    table = NUMBERS_AND_MORE.assign(run=np.arange(400) // 200, late=np.where(np.arange(400) < 200, np.nan, 1.5))
    encoding, _ = fit(table, name=name, train_rows=np.arange(200))
    inputs = encoding.encode(table)
    for its, values in zip(encoding.input_names, inputs.T, strict=True):
        if its.startswith(("run", "late")) and its != "late is missing":
            assert not values.any()


@pytest.mark.parametrize("name", ["piecewise", "piecewise_tree"])
def test_inputs_of_a_wide_table_are_bounded(name):
    rng = np.random.default_rng(0)
    for n_columns in (60, 400, 1600):
        table = rng.normal(size=(300, n_columns))
        assert fit(table, name=name)[0].n_inputs <= max(MOST_INPUTS, n_columns)


def test_bins_need_a_target():
    rows = np.arange(400)
    with pytest.raises(ValueError, match="'piecewise_tree' needs the target"):
        fit_encoding(NUMBERS_AND_MORE, rows, rows, name="piecewise_tree")
