from hypothesis import settings

# kernels are compiled and machines are busy: how long one example takes says nothing
settings.register_profile("hpsearch", deadline=None)
settings.load_profile("hpsearch")
