"""Some hundred rounds of the script that measures how much one client changes the sum before noise."""


def test_one_client_changes_the_sum_by_the_norm_at_most(script):
    measured = script.measure(rounds=250, seed=11)
    assert {case.kind for case in measured} == {*script.KINDS, script.MIXED}
    assert max(case.ratio for case in measured) <= 1.0
    assert max(case.ratio for case in measured) > 0.999999  # the bound is reached
    assert max(case.count_ratio for case in measured) == 1.0
