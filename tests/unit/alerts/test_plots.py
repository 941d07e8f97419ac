"""The picture in a mail: drawn where there is a series, and never in the way of the alert."""

from __future__ import annotations

import pytest
from support.notices import message_of, notice_of, series

from nomade_pipeline.alerts.delivery.mail import EmailTarget
from nomade_pipeline.alerts.delivery.plot import draw
from nomade_pipeline.transport.smtp import MailServer

PNG = b"\x89PNG"


@pytest.mark.parametrize(
    "details",
    [
        {"series": series(), "unit": "$\\frac{"},
        {"series": {**series(), "projection": None, "limit": None}},
        {"series": {**series(), "values": [None, 1.0] * 25}},
        {"series": series(points=5000)},
    ],
)
def test_a_series_is_drawn_with_and_without_projection_limit_and_gaps(details):
    picture = draw(notice_of(details=details))
    assert picture is not None
    assert picture.startswith(PNG)
    assert len(picture) < 100_000


@pytest.mark.parametrize(
    "broken",
    [
        None,
        [],
        {},
        {"times": [], "values": []},
        {"times": ["2026-01-01T00:00:00Z"], "values": []},
        {"times": ["soon"], "values": [1.0]},
        {"times": ["2026-01-01T00:00:00Z"], "values": ["much"]},
        {"times": ["2026-01-01T00:00:00Z"], "values": [1.0], "projection": {"times": [1]}},
        {"times": ["2026-01-01T00:00:00Z"], "values": [1.0], "limit": "x"},
    ],
)
def test_a_series_that_cannot_be_drawn_costs_the_picture_and_not_the_mail(broken):
    notice = notice_of(details={"series": broken})
    assert draw(notice) is None
    mail = EmailTarget("email", MailServer("127.0.0.1"), "n@b.c", ("a@b.c",)).compose(message_of(notice))
    assert [part.get_content_type() for part in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]


def test_no_more_than_three_pictures_make_a_mail_heavy():
    notices = [notice_of(episode=i, details={"series": series()}) for i in range(6)]
    mail = EmailTarget("email", MailServer("127.0.0.1"), "n@b.c", ("a@b.c",)).compose(message_of(*notices))
    assert [part.get_content_type() for part in mail.walk()].count("image/png") == 3
