import random

from hypothesis import given
from hypothesis import strategies as st

from waylight.db.nearest import LEAST_RATIO, rank_exactly


def fetcher(rows):
    asked = []

    def fetch(count):
        asked.append(count)
        return sorted(rows, key=lambda row: row["sphere_m"])[:count]

    return fetch, asked


rows_of_a_sphere = st.lists(
    st.tuples(
        st.floats(min_value=0, max_value=2e7), st.floats(min_value=LEAST_RATIO, max_value=1.0046)
    ),
    max_size=120,
).map(
    lambda pairs: [
        {"id": n, "sphere_m": sphere, "distance_m": sphere * ratio}
        for n, (sphere, ratio) in enumerate(pairs)
    ]
)


@given(rows_of_a_sphere, st.integers(min_value=1, max_value=20), st.integers(0, 3))
def test_the_order_is_exact_whatever_the_sphere_says(rows, limit, kept_of_four):
    def keep(row):
        return row["id"] % 4 >= kept_of_four

    fetch, _ = fetcher(rows)
    found = rank_exactly(fetch, limit=limit, keep=keep)
    brute = sorted(filter(keep, rows), key=lambda row: (row["distance_m"], row["id"]))[:limit]
    assert found == brute


def test_one_fetch_is_enough_in_a_city():
    rng = random.Random(7)
    rows = [
        {"id": n, "sphere_m": metres, "distance_m": metres * 1.001}
        for n, metres in enumerate(rng.uniform(50, 20_000) for _ in range(60))
    ]
    fetch, asked = fetcher(rows)
    rank_exactly(fetch, limit=5)
    assert len(asked) == 1


def test_it_looks_further_when_nearly_all_are_turned_away():
    rows = [{"id": n, "sphere_m": float(n), "distance_m": float(n)} for n in range(1000)]
    fetch, asked = fetcher(rows)
    found = rank_exactly(fetch, limit=2, keep=lambda row: row["id"] >= 900)
    assert [row["id"] for row in found] == [900, 901]
    assert len(asked) > 2
