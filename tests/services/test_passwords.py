"""Passwords are hashed beside the loop of a process that serves."""

import subprocess
import sys

import pytest

from tests.databases import ROOT
from waylight.domain.errors import InvalidRequest, Unavailable
from waylight.services import passwords

IN_A_LOOP = """
from gevent import monkey
monkey.patch_all()
import gevent
from waylight.services import passwords
sleep = monkey.get_original("time", "sleep")
own, turns = passwords.HASHER, 0
def wait_for_the_others():
    # Until they had their turns; in a loop that stands still nobody has any.
    until = turns + 2
    for _ in range(3_000):
        if turns >= until:
            return print("others had a turn")
        sleep(0.01)
class Slow:
    def hash(self, *given):
        wait_for_the_others()
        return own.hash(*given)
    def verify(self, *given):
        wait_for_the_others()
        return own.verify(*given)
passwords.HASHER = Slow()
def others():
    global turns
    while True:
        turns += 1
        gevent.sleep(0)
loop = gevent.spawn(others)
stored = passwords.hash_password("a long walk by the river")
assert passwords.is_right(stored, "a long walk by the river")
assert not passwords.is_right(stored, "a long walk by the sea")
loop.kill()
"""


def test_loop_goes_on_while_a_password_is_hashed():
    done = subprocess.run(
        [sys.executable, "-c", IN_A_LOOP], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout == "others had a turn\n" * 3


def test_whoever_finds_the_line_too_long_is_told(monkeypatch):
    monkeypatch.setattr(passwords, "LINE_S", 0.0)
    taken = 0
    while passwords._line.acquire(blocking=False):
        taken += 1
    try:
        with pytest.raises(Unavailable):
            passwords.is_right(None, "a long walk by the river")
    finally:
        for _ in range(taken):
            passwords._line.release()
    assert taken == passwords.IN_LINE


def test_password_is_the_same_however_a_keyboard_writes_it():
    stored = passwords.hash_password("\u00e9t\u00e9 by the long river")
    assert passwords.is_right(stored, "e\u0301te\u0301 by the long river")


def test_nobodys_password_is_never_right():
    assert not passwords.is_right(None, "")


def test_password_that_is_refused_is_not_repeated():
    with pytest.raises(InvalidRequest) as refused:
        passwords.check_new("waylight-2026-waylight", known=())
    (problem,) = refused.value.problems
    assert problem.code == "too_personal"
    assert "2026" not in problem.detail


def test_list_of_common_passwords_is_there():
    assert len(passwords.common()) > 19_000
    assert "iloveyou" in passwords.common()
