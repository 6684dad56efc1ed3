from hpsearch.api import Result as Result
from hpsearch.api import search as search
from hpsearch.ensemble.ensemble import Ensemble as Ensemble
from hpsearch.ensemble.ensemble import load as load
from hpsearch.estimators.mlp import MLPClassifier as MLPClassifier
from hpsearch.estimators.mlp import MLPRegressor as MLPRegressor
from hpsearch.estimators.search import SearchClassifier as SearchClassifier
from hpsearch.estimators.search import SearchRegressor as SearchRegressor
from hpsearch.orchestrator.halving import Rung as Rung
from hpsearch.orchestrator.networks import CLASSIC as CLASSIC
from hpsearch.orchestrator.plan import Plan as Plan
from hpsearch.orchestrator.plan import Stage as Stage
from hpsearch.orchestrator.sampler import CoarseToFineSampler as CoarseToFineSampler
from hpsearch.orchestrator.sampler import EdgeWarning as EdgeWarning
from hpsearch.record.journal import open_storage as open_storage
from hpsearch.record.lock import Locked as Locked
from hpsearch.space.distributions import Choice as Choice
from hpsearch.space.distributions import Integer as Integer
from hpsearch.space.distributions import LogUniform as LogUniform
from hpsearch.space.distributions import Uniform as Uniform
from hpsearch.study import AllTrialsFailed as AllTrialsFailed

__version__: str
