"""Names and summaries are anybody's: no text breaks a mail, a post or a line of a log."""

from __future__ import annotations

import email
import json
from email.policy import SMTP

from hypothesis import example, given
from hypothesis import strategies as st
from support.notices import message_of, notice_of

from nomade_pipeline.alerts.delivery import slack, webhook, wording
from nomade_pipeline.alerts.delivery.mail import EmailTarget
from nomade_pipeline.transport.smtp import MailServer
from nomade_pipeline.transport.words import one_line

TARGET = EmailTarget("email", MailServer("127.0.0.1"), "n@example.org", ("a@example.org",))
HEADERS = ["Subject", "From", "To", "Date", "Message-ID", "In-Reply-To", "References", "Auto-Submitted"]
# Every code point, halves of surrogate pairs among them, as undecodable file names become.
texts = st.text(st.characters(codec=None), max_size=80)


@given(texts)
@example("x\r\nBcc: victim@example.org\r\n\r\nbody")
@example("\u2028\x85\x0b\x0c=?utf-8?q?=0d=0aBcc:_v=40e.org?=")
@example("\ud800")
def test_any_text_makes_a_mail_with_its_own_headers_only(text):
    notice = notice_of(
        rule=text, cluster=text, subject=text, host=text, summary=text, details={text: text, "unit": text}
    )
    content = bytes(TARGET.compose(message_of(notice, notice)))
    content.decode("ascii")
    mail = email.message_from_bytes(content, policy=SMTP)
    assert mail.keys()[: len(HEADERS)] == HEADERS
    assert set(mail.keys()[len(HEADERS) :]) <= {"MIME-Version", "Content-Type"}
    assert not mail.defects
    assert mail["To"] == "a@example.org"
    assert [part.get_content_type() for part in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]


@given(texts)
def test_any_text_is_one_printable_line_in_words_and_escaped_for_slack(text):
    message = message_of(notice_of(rule=text, subject=text, summary=text, details={text: text}))
    for line in (wording.subject(message), wording.headline(message.notices[0]), one_line(text)):
        assert line.isprintable()
    assert all(label.isprintable() and value.isprintable() for label, value in wording.facts(message.notices[0]))
    posted = slack.payload_of(message)
    json.dumps(posted).encode("ascii")
    told = [block["text"]["text"] for block in posted["blocks"] if block["text"]["type"] == "mrkdwn"]
    assert not any("<" in text or ">" in text for text in (*told, posted["text"]))
    assert "\n" not in json.dumps(webhook.payload_of(message))
