"""`hpsearch predict`: new rows through the model of a study."""

from pathlib import Path

import click
import pandas as pd

from hpsearch.cli.ending import Refused, refusing, say
from hpsearch.cli.study_file import read_study_file
from hpsearch.data.table import read_table
from hpsearch.ensemble.ensemble import Ensemble, load
from hpsearch.record.folder import MANIFEST
from hpsearch.record.tables import write_csv


@click.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.argument("table", type=click.Path(path_type=Path))
@click.option("--output", "-o", default="-", metavar="FILE.csv", help="Where to; standard output by default.")
def predict(study: Path, table: Path, output: str) -> None:
    """Predict the rows of a table with the model of a study.

    TABLE is a .csv, .csv.gz or .parquet file with the columns of the study's table; the target, row weights, groups
    and columns that the study drops may be among them and are not looked at. The output is CSV, in the order of the
    rows: `prediction` and, for classes, their probabilities, `probability_<label>`. STUDY may also be a model folder,
    which knows of its inputs and its target only.

    \b
    Example:
        hpsearch predict studies/wine_csv new.csv --output predictions.csv
    """
    path = _checked_output(output, table)
    ensemble, others = _model(study)
    with refusing("cannot predict"):
        rows = read_table(table, text=_text_columns(ensemble)).drop(columns=others, errors="ignore")
    with refusing(f"cannot predict {table}"):
        predictions = predicted(ensemble, rows)
    if path is None:
        say(predictions.to_csv(index=False).removesuffix("\n"))
    else:
        write_csv(predictions, path)


def predicted(ensemble: Ensemble, table: pd.DataFrame) -> pd.DataFrame:
    """One row per row of the table: `prediction` and, for classes, `probability_<label>` for each.

    Raises:
        ValueError: for a column that is missing, added or of another type.
    """
    if ensemble.target.classes is None:
        return pd.DataFrame({"prediction": ensemble.predict(table)})
    probabilities = ensemble.predict_proba(table)
    names = [f"probability_{label}" for label in ensemble.classes_.tolist()]
    columns = {"prediction": ensemble.decide(probabilities)}
    return pd.DataFrame(columns | dict(zip(names, probabilities.T, strict=True)))


def _text_columns(ensemble: Ensemble) -> list[str]:
    """Columns that held text in training, and are text in a file of new rows though all of them look like numbers."""
    return [column.name for column in ensemble.encoding.categorical if column.kind == "text"]


def _checked_output(output: str, table: Path) -> Path | None:
    """Where to write, None for standard output."""
    if output == "-":
        return None
    path = Path(output)
    if path.suffix != ".csv":
        raise Refused(f"--output {output}: the name must end in .csv, for CSV is what is written")
    if path.exists() and table.exists() and path.samefile(table):
        raise Refused(f"--output {output} is the table to predict, and it is not overwritten")
    return path


def _model(study: Path) -> tuple[Ensemble, list[str]]:
    """The model of a study, or of the model folder that was given itself, and columns that are no inputs of it."""
    folder, unused = study, set[str]()
    if not (study / MANIFEST).is_file():
        file = read_study_file(study)
        folder, unused = (
            file.model,
            {name for name in (*file.data.drop, file.data.sample_weight, file.data.groups) if name},
        )
    with refusing(folder):
        try:
            ensemble = load(folder)
        except FileNotFoundError:
            raise Refused(f"{folder}: there is no model yet; `hpsearch run {study}` makes it") from None
    # a target that was computed from a column may bear its name
    return ensemble, sorted({ensemble.target.name, *unused} - set(ensemble.encoding.column_names))
