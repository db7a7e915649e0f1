"""Pictures drawn elsewhere: by another sdcpu server, or a service that speaks OpenAI's images API.

Nothing goes elsewhere by itself: whoever makes a `RemoteGenerator` has asked for it.
"""

from sdcpu.remote.generator import RemoteGenerator
from sdcpu.remote.plans import RemotePlan

__all__ = ["RemoteGenerator", "RemotePlan"]
