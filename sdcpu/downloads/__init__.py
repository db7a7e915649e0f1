"""Bringing a model's files onto this disk, and taking them away again.

places       where files lie: the hub client's cache, our own folder
remote       what the hub says about a file before it is downloaded
transfer     one file: resumed, shared between processes, verified, put in its place
problems     what went wrong, in our words
locks        one process at a time
checksums    sha256, and remembering what was verified
background   blocking work in a thread, seen as progress
model_files  all files of a model
removal      deleting them
"""

from sdcpu.downloads.model_files import Quantizer, download_model, locate_files
from sdcpu.downloads.removal import remove_model
from sdcpu.downloads.transfer import Patience

__all__ = ["Patience", "Quantizer", "download_model", "locate_files", "remove_model"]
