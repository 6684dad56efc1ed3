"""The project itself: the public face, the pinned versions, the words of the documents."""

import re
import subprocess
import sys
import warnings
from pathlib import Path

from matplotlib import pyplot
from sklearn.datasets import load_wine

import hpsearch
from hpsearch.data.encoding import ENCODINGS
from hpsearch.mlp.recipe import CHOICES, HYPERPARAMETERS, Recipe
from hpsearch.orchestrator.effort import EFFORTS

ROOT = Path(__file__).parent.parent


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, hpsearch; print(sorted({'numba', 'numpy', 'pandas', 'optuna', 'sklearn'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_types_and_lazy_names_are_the_same_list():
    stub = (ROOT / "hpsearch" / "__init__.pyi").read_text()
    assert sorted(re.findall(r"import \w+ as (\w+)", stub)) == sorted(hpsearch.__all__)
    homes = dict(re.findall(r"from ([\w.]+) import (\w+) as", stub)[i][::-1] for i in range(len(hpsearch.__all__)))
    assert homes == hpsearch._HOMES


def test_constraints_hold_names_and_versions_only():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][\w.]*", line) for line in lines)


def test_the_readme_shows_how_optuna_reads_a_study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    few = {"n_trials": 6, "max_epochs": 1, "n_jobs": 1, "verbose": 0}
    hpsearch.search(*load_wine(return_X_y=True), storage="churn.db", study_name="churn", **few)
    read, own = re.findall(
        r"```python\n(import hpsearch\nimport optuna\n.*?)```", (ROOT / "README.md").read_text(), re.S
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna's figures are experimental, and six trials are few
        exec(read, {})
        scope = {}
        exec(own, scope)
    assert len(scope["study"].trials) == 64
    assert pyplot.get_fignums()
    pyplot.close("all")


def test_the_readme_shows_what_follows_from_honest_predictions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    readme = (ROOT / "README.md").read_text()
    (example,) = re.findall(r"### Probabilities, decisions, intervals\n\n```python\n(.*?)```", readme, re.S)
    scope = {}
    exec(example.replace('effort="quick"', "n_trials=24, max_epochs=9, space={'swa_share': 0.5}, n_jobs=1"), scope)
    assert (tmp_path / "report.html").is_file()
    kinds = [name.removesuffix("_calibrated") for name in scope["result"].leaderboard()["ensemble"]]
    assert [name for name in (*kinds, "stack") if f"`{name}`" not in readme] == []


def test_the_readme_names_every_effort_and_encoding():
    readme = (ROOT / "README.md").read_text()
    assert [name for name in (*EFFORTS, *ENCODINGS) if f"| `{name}` |" not in readme] == []
    assert all(f"| {effort.n_trials:,} | {effort.n_updates:,} |" in readme for effort in EFFORTS.values())


def test_every_kernel_choice_is_documented_in_the_recipe():
    assert all(name in (Recipe.__doc__ or "") for name in HYPERPARAMETERS)


def test_the_readme_names_every_hyperparameter_and_what_can_be_chosen():
    readme = (ROOT / "README.md").read_text()
    values = [value for name, choices in CHOICES.items() if name in HYPERPARAMETERS for value in choices]
    assert [name for name in (*HYPERPARAMETERS, *values) if f"`{name}`" not in readme] == []


def test_public_functions_and_classes_have_docstrings():
    for name in hpsearch.__all__:
        assert len(getattr(hpsearch, name).__doc__ or "") > 40, name
