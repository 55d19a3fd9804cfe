from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nabi.personas.model import Retention
from nabi.registry.retention import TAINTED, Kept, Story, superfluous

NOBODY = Story(in_force=())


def names(*numbers: int) -> list[str]:
    return [f"bot--v{number}" for number in numbers]


def trained(num: int) -> list[Kept]:
    return [Kept(name) for name in names(*range(1, num + 1))]


def test_the_newest_stay_and_those_that_were_live_last() -> None:
    story = Story(in_force=names(3, 2), live=names(1, 2, 3))
    goes = superfluous(trained(12), story, Retention(newest=4, once_live=2))
    assert list(goes) == names(1, 4, 5, 6, 7, 8)
    assert set(goes.values()) == {"neither one of the newest 4 nor of the 2 that were live last"}


def test_what_is_in_force_stays_however_old_it_is() -> None:
    story = Story(in_force=names(1, 2, 3), live=names(2, 1))
    assert list(superfluous(trained(9), story, Retention(newest=1, once_live=0))) == names(4, 5, 6, 7, 8)


def test_a_version_that_was_live_and_has_no_files_any_more_takes_no_place() -> None:
    story = Story(in_force=names(9), live=names(3, 2, 4, 9))
    present = [version for version in trained(9) if version.name not in names(2, 4)]
    goes = superfluous(present, story, Retention(newest=1, once_live=2))
    assert names(3)[0] not in goes, "the last two with files that were live are 3 and 9"


def test_what_learned_from_deleted_words_goes_at_once_unless_it_is_in_force() -> None:
    story = Story(in_force=names(2, 1), live=names(1, 2), tainted=names(1, 2, 3, 4))
    goes = superfluous(trained(5), story, Retention())
    assert goes == dict.fromkeys(names(3, 4), TAINTED)


def test_what_a_version_that_stays_went_on_from_stays_unless_it_is_tainted() -> None:
    versions = [*trained(4), Kept(names(5)[0], start=names(2)[0]), Kept(names(6)[0], start=names(3)[0])]
    goes = superfluous(versions, NOBODY, Retention(newest=2, once_live=0))
    assert list(goes) == names(1, 4)
    tainted = superfluous(versions, Story(in_force=(), tainted=names(2)), Retention(newest=2, once_live=0))
    assert tainted[names(2)[0]] == TAINTED


def test_what_nothing_was_decided_about_stays() -> None:
    versions = [Kept("bot--v1", undecided=True), *trained(4)[1:]]
    assert list(superfluous(versions, NOBODY, Retention(newest=1))) == names(2, 3)


def test_a_replay_takes_no_place_of_the_live_line_and_its_last_winner_stays() -> None:
    versions = [*trained(3), *(Kept(name, replayed=True) for name in names(4, 5, 6))]
    story = Story(in_force=(), won=names(4))
    assert list(superfluous(versions, story, Retention(newest=1, once_live=1))) == names(1, 2, 5)


@given(st.data())
def test_in_force_and_newest_never_go_and_a_second_look_finds_nothing(data: st.DataObject) -> None:
    num = data.draw(st.integers(1, 12))
    some = st.lists(st.sampled_from(names(*range(1, num + 1))), unique=True)
    versions = [
        Kept(version.name, data.draw(st.booleans()), data.draw(st.none() | st.sampled_from(names(*range(1, num + 1)))))
        for version in trained(num)
    ]
    story = Story(in_force=data.draw(some), live=data.draw(some), won=data.draw(some), tainted=data.draw(some))
    retention = Retention(newest=data.draw(st.integers(1, 4)), once_live=data.draw(st.integers(0, 4)))
    goes = superfluous(versions, story, retention)
    assert not goes.keys() & set(story.in_force)
    newest = [version.name for version in versions if not version.replayed][-retention.newest :]
    assert not goes.keys() & (set(newest) - set(story.tainted))
    assert set(story.tainted) - set(story.in_force) <= goes.keys()
    left = [version for version in versions if version.name not in goes]
    assert len(left) <= len(story.in_force) + 2 * (2 * retention.newest + 2 * retention.once_live + len(story.in_force))
