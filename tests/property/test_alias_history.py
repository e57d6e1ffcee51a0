"""Whatever is done to the champion alias, in whatever order: one champion, and a history that tells how it came to be."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from config.errors import UserError
from registry import promotion
from registry.aliases import Alias
from registry.promotion import ChampionMovedError, PinnedError
from registry.store import Registry
from tests.support.registries import TASK, add_version, check_invariants

VERSIONS = tuple(f"{TASK}/v{number}" for number in range(1, 5))


class AliasMachine(RuleBasedStateMachine):
    """The real registry beside a model of it in four variables."""

    @initialize()
    def open(self) -> None:
        # In memory where the system has such a folder: a commit waits for the disk otherwise, hundreds of times.
        memory = Path("/dev/shm")  # noqa: S108 - a unique folder is made in it
        self.folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        url = f"sqlite:///{self.folder / 'registry.db'}"
        # Two connections, as of two processes: each must see what the other did.
        self.registries = (Registry.open(url), Registry.open(url))
        for _ in VERSIONS:
            add_version(self.registries[0])
        self.champion: str | None = None
        self.previous: str | None = None
        self.generation = 0
        self.pinned = False

    @rule(
        version=st.sampled_from(VERSIONS), stale=st.booleans(), believed=st.sampled_from((None, *VERSIONS)), who=st.integers(0, 1)
    )
    def promote(self, version: str, stale: bool, believed: str | None, who: int) -> None:
        expected = believed if stale else self.champion
        self._expect(
            lambda: promotion.promote(self.registries[who], TASK, version, expected=expected, actor="a", reason="r"),
            version,
            stale=expected != self.champion,
            repeated=version == self.champion and expected == self.previous,
        )

    @rule(who=st.integers(0, 1))
    def rollback(self, who: int) -> None:
        self._expect(lambda: promotion.rollback(self.registries[who], TASK, actor="a", reason="r"), self.previous)

    @rule(to=st.sampled_from(VERSIONS), who=st.integers(0, 1))
    def rollback_to(self, to: str, who: int) -> None:
        target = to if self.champion else None
        self._expect(lambda: promotion.rollback(self.registries[who], TASK, to=to, actor="a", reason="r"), target)

    @rule(pinned=st.booleans(), who=st.integers(0, 1))
    def pin(self, pinned: bool, who: int) -> None:
        act = promotion.pin if pinned else promotion.unpin
        try:
            alias = act(self.registries[who], TASK, actor="a", reason="r")
        except UserError:
            assert self.champion is None
            return
        self.pinned = pinned
        assert (alias.version, alias.pinned) == (self.champion, pinned)

    def _expect(self, act: Callable[[], Alias], target: str | None, *, stale: bool = False, repeated: bool = False) -> None:
        try:
            alias = act()
        except ChampionMovedError:
            assert stale
            return
        except PinnedError:
            assert self.pinned
            assert not stale
            return
        except UserError:
            assert target in (None, self.champion)
            return
        if not repeated:
            assert not stale
            assert not self.pinned
            assert target is not None
            assert target != self.champion
            self.champion, self.previous, self.generation = target, self.champion, self.generation + 1
        assert (alias.version, alias.generation) == (self.champion, self.generation)

    @invariant()
    def one_champion_with_a_history(self) -> None:
        for registry in self.registries:
            champion = registry.versions.champion(TASK)
            assert (champion.version if champion else None) == self.champion
            assert (champion.generation if champion else 0) == self.generation
            assert (champion.pinned if champion else False) == self.pinned
        check_invariants(self.registries[0])

    def teardown(self) -> None:
        for registry in self.registries:
            registry.close()
        shutil.rmtree(self.folder)


TestAliasHistory = AliasMachine.TestCase
TestAliasHistory.settings = settings(
    max_examples=20, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
