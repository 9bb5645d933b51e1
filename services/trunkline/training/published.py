"""Whether an earlier attempt of a job has published its head and died before it could say so."""

from trunkline.core.bundle import MANIFEST_FILE, Bundle, HeadManifest
from trunkline.core.errors import TrunklineError
from trunkline.core.repository import Repository
from trunkline.core.store import ModelStore
from trunkline.jobs.leases import Work


def find_published(work: Work, store: ModelStore) -> Bundle[HeadManifest] | None:
    """The version of the head that this job made: newer than it, of no other job, its card repeating its request.

    Raises StorageError where the store cannot be looked through.
    """
    store.pull()
    name, command = work.job.request.name, work.job.request.command()
    repository = Repository(store.root)
    for version in reversed(repository.versions("head", name)):
        if str(version) in work.taken:
            continue
        try:
            bundle = repository.head(name, version)
        except TrunklineError:
            continue
        newer = (bundle.path / MANIFEST_FILE).stat().st_mtime >= work.since
        if newer and command in bundle.card:
            return bundle
    return None
