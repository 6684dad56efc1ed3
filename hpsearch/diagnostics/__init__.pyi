from hpsearch.diagnostics.gradients import GradientCheck as GradientCheck
from hpsearch.diagnostics.gradients import check_gradients as check_gradients
