"""Builds of the native engine: one library for each kind of hardware.

`installed` knows those that are here, `compiled_for` for which processor they are, `recipes` how
each is made, `tools` what that takes, `source` the engine's source, `compilation` makes one,
`records` keeps what is known of it.
"""

from sdcpu.builds.installed import AUTOMATIC, Build, find_build, library_to_load, list_builds

__all__ = ["AUTOMATIC", "Build", "find_build", "library_to_load", "list_builds"]
