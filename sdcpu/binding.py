"""The Python binding of the engine that sdcpu is made for."""

BINDING = "stable-diffusion-cpp-python"
BINDING_MODULE = "stable_diffusion_cpp"
BINDING_VERSION = "0.4.7"
"""The binding's structures follow one engine commit, so no other version will do; pyproject.toml
pins the same."""
