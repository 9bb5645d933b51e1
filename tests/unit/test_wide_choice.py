"""A lone pass takes all cores while that is faster, and what is faster is found out again and again."""

from trunkline.serving.wide_choice import WideChoice


def run(width: WideChoice, passes: int, narrow_s: float, wide_s: float, pixels: int = 1000) -> list[bool]:
    """Passes one after the other on a machine where they take this long; which were wide."""
    chosen = []
    for _ in range(passes):
        wide = width.choose()
        width.ran(wide=wide, took_s=wide_s if wide else narrow_s, pixels=pixels)
        chosen.append(wide)
    return chosen


def test_wide_passes_are_chosen_where_the_cores_are_free():
    chosen = run(WideChoice(), 640, narrow_s=0.016, wide_s=0.009)
    assert chosen.count(True) > 620


def test_narrow_passes_are_chosen_where_others_have_the_cores():
    chosen = run(WideChoice(), 640, narrow_s=0.085, wide_s=0.150)
    assert chosen.count(False) > 620


def test_a_small_gain_is_not_worth_all_cores():
    assert run(WideChoice(), 640, narrow_s=0.010, wide_s=0.009).count(False) > 620


def test_the_choice_follows_the_machine():
    width = WideChoice()
    run(width, 200, narrow_s=0.016, wide_s=0.009)
    assert run(width, 200, narrow_s=0.085, wide_s=0.150)[10:].count(True) <= 4
    assert run(width, 400, narrow_s=0.016, wide_s=0.009)[300:].count(True) >= 98


def test_a_slow_start_is_forgotten_soon():
    width = WideChoice()
    run(width, 2, narrow_s=0.016, wide_s=0.5)
    assert run(width, 40, narrow_s=0.016, wide_s=0.009)[8:].count(True) == 32


def test_one_slow_pass_changes_nothing():
    width = WideChoice()
    run(width, 200, narrow_s=0.016, wide_s=0.009)
    run(width, 1, narrow_s=0.016, wide_s=0.5)
    assert all(run(width, 40, narrow_s=0.016, wide_s=0.009))


def test_pictures_of_several_sizes_are_compared_by_the_pixel():
    width = WideChoice()
    for _ in range(50):
        run(width, 3, narrow_s=0.016, wide_s=0.009, pixels=1000)
        run(width, 3, narrow_s=0.064, wide_s=0.036, pixels=4000)
    assert width.choose() or width.choose()
