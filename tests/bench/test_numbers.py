import json

import pytest

from bench import numbers
from bench.numbers import Row, Sample, Transaction

LOG = """\
0 1 2000 0 1700000000 100000
0 2 4000 0 1700000001 100000
1 1 failed 0 1700000001 200000
0 3 6000 0 1700000001 300000
0 4 8000 0 1700000009 100000
1 2 50
"""

REPORT = """\
tps = 25.803956 (without initial connection time)
statement latencies in milliseconds and failures:
         0.006           0  \\set k :k + 1
         1.000           0  select /* fetch */ s0_queries from bench_parameters_submit_fresh
         8.139           0  select q.n, spot.source_index, spot.spread_m,
"""

SUMMARY = {
    "requests": 1000,
    "duration_us": 2_000_000,
    "p50_us": 7500,
    "p99_us": 20000,
    "connect": 0,
    "read": 1,
    "write": 0,
    "status": 10,
    "timeout": 2,
}


def sample(rps, **changes):
    return Sample(**{"requests": 10, "errors": 0, "rps": rps, "p50_ms": 1, "p99_ms": 2} | changes)


def row(work, contender, rps, connections=8):
    return numbers.row_of(work, contender, connections, [sample(rps)])


def test_wrk_is_read_and_answers_that_are_errors_are_not_throughput():
    found = numbers.read_wrk(f"Running 2s test\n  more of its words\n{json.dumps(SUMMARY)}\n")
    assert (found.requests, found.errors, found.rps) == (1000, 13, 495.0)
    assert (found.p50_ms, found.p99_ms) == (7.5, 20.0)


def test_a_wrk_that_broke_off_is_no_measurement():
    with pytest.raises(ValueError, match="no summary"):
        numbers.read_wrk("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_a_line_that_pgbench_did_not_finish_is_not_counted():
    found = numbers.read_pgbench_log(LOG.splitlines())
    assert [t.latency_ms for t in found] == [2.0, 4.0, 0.0, 6.0, 8.0]
    assert [t.failed for t in found] == [False, False, True, False, False]
    assert found[1].ended_at == pytest.approx(1700000001.1)


def test_what_fetches_parameters_is_taken_off_and_what_lies_outside_is_left_out():
    transactions = numbers.read_pgbench_log(LOG.splitlines())
    fetching_ms = numbers.fetch_ms(REPORT, "/* fetch */")
    assert fetching_ms == 1.0
    found = numbers.sample_of(
        transactions, since=1700000001, until=1700000003, fetching_ms=fetching_ms
    )
    # Two transactions of 5 ms on average in two seconds, a fifth of it for the parameters.
    assert (found.requests, found.errors) == (2, 1)
    assert found.rps == pytest.approx(1.25)
    assert (found.p50_ms, found.p99_ms) == (3.0, 5.0)


def test_a_time_in_which_nothing_ended_is_zero_and_not_an_error():
    late = [Transaction(ended_at=9.0, latency_ms=1.0, failed=False)]
    found = numbers.sample_of(late, since=0, until=1, fetching_ms=0.1)
    assert (found.requests, found.rps) == (0, 0.0)


@pytest.mark.parametrize(
    ("part", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1), (0.001, 1)]
)
def test_percentiles_are_values_that_occurred(part, expected):
    assert numbers.percentile(list(range(100, 0, -1)), part) == expected


def test_a_row_is_the_median_of_its_rounds_and_the_sum_of_their_errors():
    rounds = [sample(100, errors=1), sample(900), sample(200, errors=2, app_cpu_ms=3.0)]
    found = numbers.row_of("submit", "waylight", 8, rounds)
    assert (found.rps, found.errors, found.requests) == (200, 3, 30)
    assert (found.lowest_rps, found.highest_rps, found.cpu_ms) == (100, 900, 0.0)


def test_the_document_has_the_shape_that_is_promised():
    rows = [row("submit", "waylight", 300.0), row("submit", "pgbench", 1000.0)]
    found = json.loads(json.dumps(numbers.document(rows, {"cores": 2})))
    assert found["ratios"] == {"submit/pgbench@8": 0.3}
    assert found["cpu_ratios"] == {}
    assert found["machine"] == {"cores": 2}
    assert set(found["rows"][0]) >= {
        *("work", "contender", "connections", "rps"),
        *("p50_ms", "p99_ms", "cpu_ms", "errors"),
    }


def test_the_ratio_of_cpu_times_is_that_of_one_request_of_each():
    rows = [
        numbers.row_of("submit", "waylight", 8, [sample(1, app_cpu_ms=3.0, database_cpu_ms=1.0)]),
        numbers.row_of("submit", "pgbench", 8, [sample(9, database_cpu_ms=1.0)]),
        numbers.row_of("nearest", "waylight", 8, [sample(1, app_cpu_ms=3.0)]),
    ]
    assert numbers.cpu_ratios(rows) == {"submit/pgbench@8": 0.25}


def test_a_floor_is_missed_below_it_and_only_where_it_was_measured():
    assert numbers.missed({"submit/pgbench@8": 0.25, "nearest/pgbench@32": 0.01}) == []
    assert numbers.missed({"submit/pgbench@8": 0.249}) == [
        "submit/pgbench@8 is 0.249, below its floor of 0.25"
    ]


def test_a_work_without_its_limit_has_no_ratio():
    rows: list[Row] = [row("nearest", "waylight", 300.0), row("nearest", "pgbench", 900.0, 1)]
    assert numbers.ratios(rows) == {}


def test_the_table_shows_the_ratio_once():
    rows = [row("submit", "waylight", 300.0), row("submit", "pgbench", 1000.0)]
    lines = numbers.table(rows).splitlines()
    assert len(lines) == 4
    assert lines[2].endswith("| 0.300 |")
    assert lines[3].endswith("|  |")
