import pytest

from api.wire.auth import Required, require
from api.wire.blueprint import Blueprint
from api.wire.json import StrictParser
from tests.tokens import token
from waylight.domain.principals import Kind


def test_every_view_says_who_may_call_it(app):
    rules = list(app.url_map.iter_rules())
    assert len(rules) > 10
    for rule in rules:
        required = getattr(app.view_functions[rule.endpoint], "required", None)
        assert isinstance(required, Required), f"{rule.rule} has no @require(...)"
        assert required.kinds, rule.rule


def test_every_route_is_in_the_document_with_who_may_call_it(app):
    paths = app.extensions["waylight.api"].document()["paths"]
    documented = {
        (method.upper(), path)
        for path, item in paths.items()
        for method in item
        if method != "parameters"
    }
    for rule in app.url_map.iter_rules():
        path = "".join(f"{{{part}}}" if dynamic else part for dynamic, part in rule._trace)
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            assert (method, path.removeprefix("|")) in documented
    for item in paths.values():
        for method, operation in item.items():
            if method != "parameters":
                assert operation["security"], operation
                assert operation["summary"]


def test_a_view_without_require_cannot_be_registered():
    blueprint = Blueprint("bare", __name__)
    with pytest.raises(TypeError, match="require"):
        blueprint.route("/bare")(lambda: "")


def test_require_has_no_default():
    with pytest.raises(TypeError, match=r"Kind\.NOBODY"):
        require()


def test_require_runs_before_arguments_are_read(app):
    """A caller without a key learns nothing, not even what is wrong with the body."""
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        assert view.__code__.co_name == "guarded", f"{rule.rule}: put @require first"


def test_every_route_reads_its_arguments_strictly(app):
    for blueprint in app.blueprints.values():
        assert isinstance(blueprint, Blueprint)
        assert isinstance(blueprint.ARGUMENTS_PARSER, StrictParser)


@pytest.mark.parametrize(
    "header", [None, "Bearer", "Bearer wrong", "Basic d3Jvbmc6a2V5", "Receipt X"]
)
def test_staff_routes_answer_401_to_everybody_without_a_key(app, client, header):
    asked = 0
    for rule in app.url_map.iter_rules():
        required = app.view_functions[rule.endpoint].required
        if Kind.NOBODY in required.kinds or Kind.PASSENGER in required.kinds:
            continue
        path = rule.rule
        for argument in rule.arguments:
            prefix = argument.removesuffix("_id")
            path = path.replace(
                next(part for part in path.split("/") if argument in part),
                f"{prefix}_01jdw2s4x0e6qv3t8k5n7b9c1d",
            )
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            headers = {"Authorization": header} if header else {}
            answer = client.open(path, method=method, headers=headers)
            assert answer.status_code == 401, f"{method} {path}"
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            asked += 1
    assert asked


def test_a_wrong_key_and_no_key_get_the_same_answer(app, client):
    path = "/v1/alerts"
    missing = client.get(path)
    wrong = client.get(path, headers={"Authorization": "Bearer " + token("staff", "nobody")})
    assert missing.status_code == wrong.status_code == 401
    assert missing.json == wrong.json


def test_who_may_call_is_kept_as_it_was_said():
    @require(Kind.STAFF, Kind.CLIENT, scopes=("alerts:read",))
    def view():
        return ""

    assert vars(view)["required"] == Required(
        frozenset({Kind.STAFF, Kind.CLIENT}), ("alerts:read",)
    )
