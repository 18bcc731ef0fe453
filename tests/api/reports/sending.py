"""How the tests of the front door send a report, and look at what became of it."""

from pathlib import Path

CAMDEN = {"type": "Point", "coordinates": [-0.1426, 51.5390]}
TINYTOWN = Path(__file__).parents[2] / "data" / "tinytown"
KEY = "2f1c9d57-4b0e-4c53-9f5e-0d6f1f2a7b11"


def report(**changes):
    return {
        "categories": ["being_followed"],
        "location": {"point": CAMDEN, "accuracy_m": 25},
        "journey": {"mode": "tube"},
        **changes,
    }


def submit(client, body=None, **headers):
    return client.post("/v1/reports", json=report() if body is None else body, headers=headers)


def count(database, table, where="true"):
    with database.owner() as conn:
        return conn.execute(f"select count(*) from {table} where {where}").fetchone()[0]  # noqa: S608 - constants of this file


def read_back(client, receipt):
    return client.get("/v1/reports/mine", headers={"Authorization": f"Receipt {receipt}"})


def codes(items):
    return [item["code"] for item in items]
