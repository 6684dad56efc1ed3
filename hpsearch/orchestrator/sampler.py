def draw_by(*a):  # replaced by the optuna branch
    raise NotImplementedError
