"""Combinations of corpora, and their names."""

from paravox.corpora.combinations import NO_CORPUS, combination_name, power_set


def test_the_power_set_begins_with_nothing_and_goes_by_size():
    assert power_set(["d", "a", "c"]) == [
        *((), ("d",), ("a",), ("c",)),
        *(("d", "a"), ("d", "c"), ("a", "c"), ("d", "a", "c")),
    ]
    assert len({combination_name(combination) for combination in power_set(list("dacb"))}) == 16


def test_the_name_of_a_combination_does_not_depend_on_its_order():
    assert combination_name(("d", "a", "c")) == combination_name(["c", "d", "a"]) == "a+c+d"
    assert combination_name(("d",)) == "d" and combination_name(()) == NO_CORPUS == "none"
