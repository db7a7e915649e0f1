"""Jobs of many people in one queue: drawn one after the other, kept over a restart.

`JobQueue` takes requests, draws them and tells what happens; it knows nothing of networks.
"""

from sdcpu.job_queue.announcements import Announcement, Announcements, Subscription
from sdcpu.job_queue.job import (
    FINAL_STATES,
    Job,
    JobError,
    JobKind,
    JobProgress,
    JobResult,
    JobState,
    to_json,
)
from sdcpu.job_queue.limits import QueueLimits
from sdcpu.job_queue.queue import JobQueue

__all__ = [
    "FINAL_STATES",
    "Announcement",
    "Announcements",
    "Job",
    "JobError",
    "JobKind",
    "JobProgress",
    "JobQueue",
    "JobResult",
    "JobState",
    "QueueLimits",
    "Subscription",
    "to_json",
]
