from world import World


def test_a_held_file_is_refused_and_expires(world: World) -> None:
    alice, bob = world.agent("alice"), world.agent("bob")
    alice.locks("src/app.py")
    assert bob.is_refused("src/app.py")
    world.clock.advance(minutes=61)
    assert not bob.is_refused("src/app.py")
