from domain import actor
from domain.actor import Actor, ActorForgotten, ActorId, Actors, ForgetActor, ProfileSet, SetProfile
from domain.errors import ActorNotFound, ForgottenActor, InvalidName
from tests.domain.given import Given

given = Given(actor.decider)

ANN = ActorId("ann")
BOB = ActorId("bob")
known = ProfileSet(actor=ANN, sealed="first")
gone = ActorForgotten(actor=ANN)


def test_a_profile_is_set_and_replaced() -> None:
    given().when(SetProfile(actor=ANN, sealed="first")).then(known)
    given(known).when(SetProfile(actor=ANN, sealed="second")).then(ProfileSet(actor=ANN, sealed="second"))
    given(known).when(SetProfile(actor=ANN, sealed="first")).then()


def test_an_actor_has_a_name_that_can_be_written() -> None:
    given().when(SetProfile(actor=ActorId(""), sealed="x")).refused(InvalidName(name="", why="it is empty"))


def test_an_actor_is_forgotten_once() -> None:
    given(known).when(ForgetActor(actor=ANN)).then(gone)
    given(known, gone).when(ForgetActor(actor=ANN)).then()
    given(known).when(ForgetActor(actor=BOB)).refused(ActorNotFound(actor=BOB))


def test_nothing_of_a_forgotten_profile_is_left_in_the_state() -> None:
    left = actor.decider.replay([known, gone])
    assert (left, left.forgotten) == (Actors(actors=(Actor(id=ANN, sealed=None, version=2),)), (ANN,))


def test_a_profile_says_who_set_it() -> None:
    given(known).when(SetProfile(actor=ANN, sealed="second", by=BOB)).then(
        ProfileSet(actor=ANN, sealed="second", by=BOB)
    )
    (ann,) = actor.decider.replay([known, ProfileSet(actor=ANN, sealed="second", by=BOB)]).actors
    assert ann.named_by == BOB


def test_who_was_forgotten_gets_no_name_for_old_acts() -> None:
    given(known, gone).when(SetProfile(actor=ANN, sealed="new")).refused(ForgottenActor(actor=ANN))
    again = SetProfile(actor=ANN, sealed="new")  # an old log may have a name after it was forgotten
    given(known, gone, known).when(again).then(ProfileSet(actor=ANN, sealed="new"))
    assert Actors(actors=(Actor(id=ANN, sealed="first", version=3),)) == actor.decider.replay([known, gone, known])
