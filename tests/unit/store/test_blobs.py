"""Which bytes of the file store count as named."""

from __future__ import annotations

import json

from sqlalchemy import update

from orchestune.store import blobs
from orchestune.store.tables import folds
from tests.contract.world import CoreWorld


def test_a_checkpoint_keeps_its_own_bytes_and_no_others_that_its_text_is_like(world: CoreWorld) -> None:
    world.create(budget=1)
    world.tick()
    with world.core.store.transaction() as session:
        for digest in ("ab", "abc", "abcd"):
            blobs.put(session, digest, "checkpoint", 1)
        text = json.dumps({"attempt": "abcd", "digest": "abc", "step": 3})
        assert session.change(update(folds).values(checkpoint=text)) > 0
        assert set(blobs.unreferenced(session, session.now + 1)) == {"ab", "abcd"}
