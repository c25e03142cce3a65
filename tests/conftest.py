"""What every test shares: hypothesis without deadlines, since a loaded machine is no failure."""

from hypothesis import settings

settings.register_profile("kvprof", deadline=None)
settings.load_profile("kvprof")
