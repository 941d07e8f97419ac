"""Every kind of target against a real server on loopback that fails, hangs, lies or does its work."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from dataclasses import replace

import pytest
from support.needs import REPOSITORY
from support.notices import message_of, notice_of, series
from support.servers import (
    PASSWORD,
    USER,
    dripping_server,
    free_port,
    mail_server,
    make_certificate,
    proxy_server,
    web_server,
)

from nomade_pipeline.alerts.delivery.log_file import FileTarget
from nomade_pipeline.alerts.delivery.mail import EmailTarget
from nomade_pipeline.alerts.delivery.service import AppriseTarget
from nomade_pipeline.alerts.delivery.slack import SlackTarget
from nomade_pipeline.alerts.delivery.webhook import WebhookTarget
from nomade_pipeline.config.secret import Secret
from nomade_pipeline.transport.failure import DeliveryError
from nomade_pipeline.transport.http import LARGEST_ANSWER, Way
from nomade_pipeline.transport.smtp import MailServer

FROM, TO = "nomade@example.org", ("admins@example.org", "oncall@example.org")
WEBHOOK_KEY = base64.b64encode(b"k" * 32).decode()
# Longer than any server here needs, short enough to wait for.
SECONDS, SHORT = 20.0, 0.4


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def secrets(tmp_path):
    """Return a function that puts a secret into a file of its own."""

    def keep(text, mode=0o600):
        path = tmp_path / f"secret{len(list(tmp_path.iterdir()))}"
        path.write_text(f"{text}\n")
        path.chmod(mode)
        return Secret(file=str(path))

    return keep


def email_to(port, **options):
    return EmailTarget("email", MailServer("127.0.0.1", port=port, **options), FROM, TO)


def failure(target, message=None, seconds=SECONDS):
    """Send what must fail; return the error."""
    with pytest.raises(DeliveryError) as caught:
        target.send(message or message_of(), seconds)
    return caught.value


# Mail.


@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
def test_a_mail_arrives_over_an_open_line_starttls_and_tls(security, certificate):
    with mail_server(certificate, security=security) as box:
        email_to(box.port, security=security, ca_file=str(certificate)).send(message_of(), SECONDS)
    [(sender, recipients, mail)] = box.mails
    assert (sender, recipients) == (FROM, list(TO))
    assert mail["Subject"] == "[nomade] WARNING disk_full node1:/home (alpha): /home is 91.5 % full"


def test_a_mail_arrives_with_a_log_in_and_a_wrong_password_is_never_repeated(certificate, secrets):
    with mail_server(certificate, security="starttls", login=True) as box:
        target = email_to(box.port, user=USER, password=secrets(PASSWORD), ca_file=str(certificate))
        target.send(message_of(), SECONDS)
        wrong = secrets("0ther-passw0rd")
        error = failure(replace(target, server=replace(target.server, password=wrong)))
    assert len(box.mails) == 1
    assert error.retryable
    assert "does not accept user and password (535)" in str(error)
    assert "0ther-passw0rd" not in str(error)
    assert "0ther-passw0rd" not in repr(target)


def test_nothing_is_sent_where_starttls_is_missing_or_the_certificate_is_unknown(certificate, secrets):
    with mail_server() as box:
        assert "STARTTLS" in str(failure(email_to(box.port, user=USER, password=secrets(PASSWORD))))
        assert not box.mails
    with mail_server(certificate, security="tls") as box:
        error = failure(email_to(box.port, security="tls"))
        assert "self-signed certificate" in str(error)
        assert error.retryable
        assert not box.mails


def test_a_password_file_that_others_may_read_is_not_used(certificate, secrets):
    with mail_server(certificate, security="starttls", login=True) as box:
        password = secrets(PASSWORD, mode=0o644)
        error = failure(email_to(box.port, user=USER, password=password, ca_file=str(certificate)))
    assert f"chmod 600 {password.file}" in str(error)


@pytest.mark.parametrize(("code", "retryable"), [("450 later", True), ("550 no such user", False)])
def test_a_refused_recipient_is_named_and_only_a_temporary_refusal_is_tried_again(code, retryable):
    with mail_server() as box:
        box.answers = dict.fromkeys(TO, code)
        error = failure(email_to(box.port))
    assert error.retryable is retryable
    assert code in str(error)


def test_one_refused_recipient_of_two_is_told_and_the_other_has_the_mail():
    with mail_server() as box:
        box.answers = {TO[0]: "550 no such user"}
        error = failure(email_to(box.port))
    assert [recipients for _, recipients, _ in box.mails] == [[TO[1]]]
    assert not error.retryable
    assert TO[0] in str(error)


def test_a_mail_that_is_refused_for_good_is_told_from_one_that_is_refused_for_now():
    with mail_server() as box:
        box.answer = "554 looks like spam"
        assert not failure(email_to(box.port)).retryable
        box.answer = "451 try later"
        assert failure(email_to(box.port)).retryable


def test_a_mail_server_that_is_down_is_tried_again():
    error = failure(email_to(free_port()))
    assert error.retryable
    assert "cannot be reached" in str(error)


@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
@pytest.mark.parametrize("text", [b"", b"2"])
def test_a_mail_server_that_hangs_or_drips_is_cut_off(security, text):
    with dripping_server(text) as port:
        began = time.monotonic()
        error = failure(email_to(port, security=security), seconds=SHORT)
        assert time.monotonic() - began < SHORT + 5
    assert error.retryable


def test_the_mail_holds_text_html_and_a_plot_and_news_of_one_alert_share_a_thread():
    alert = notice_of(details={"series": series(), "threshold": 90.0})
    over = notice_of("resolved", details={})
    with mail_server() as box:
        email_to(box.port).send(message_of(alert), SECONDS)
        email_to(box.port).send(message_of(over, message_id="4567"), SECONDS)
    first, second = (mail for _, _, mail in box.mails)
    parts = {part.get_content_type(): part for part in first.walk()}
    assert "threshold: 90" in parts["text/plain"].get_content()
    picture = parts["image/png"]
    assert picture.get_content().startswith(b"\x89PNG")
    assert f'src="cid:{picture["Content-ID"].strip("<>")}"' in parts["text/html"].get_content()
    assert first["Message-ID"] == "<0123abcd@example.org>"
    assert first["References"] == second["References"]
    assert first["In-Reply-To"] == second["In-Reply-To"]
    assert first["Message-ID"] != second["Message-ID"]
    assert first["Auto-Submitted"] == "auto-generated"


def test_hostile_names_add_no_header_no_recipient_and_no_markup():
    evil = "x\r\nBcc: victim@example.org\r\n\r\n<script>alert(1)</script>\x00\x1b[2J\udcff"
    hostile = notice_of(rule=evil, cluster=evil, subject=evil, host=evil, summary=evil, details={evil: evil})
    with mail_server() as box:
        email_to(box.port).send(message_of(hostile), SECONDS)
    [(_, recipients, mail)] = box.mails
    assert recipients == list(TO)
    assert mail["Bcc"] is None
    assert "\n" not in mail["Subject"]
    parts = {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}
    assert "<script" not in parts["text/html"]
    assert "\x1b" not in parts["text/plain"]
    assert "\nBcc:" not in parts["text/plain"]


# HTTP.


@pytest.fixture(params=["slack", "webhook"])
def post_to(request):
    """Return a function that makes a target that posts to an address."""
    kinds = {
        "slack": lambda url, **options: SlackTarget("chat", Secret(url), **options),
        "webhook": lambda url, **options: WebhookTarget("hook", Secret(url), **options),
    }
    return kinds[request.param]


@pytest.mark.parametrize(("status", "retryable"), [(500, True), (404, True), (403, True), (400, False), (413, False)])
def test_an_answer_that_is_no_success_fails_and_a_refusal_is_not_repeated(post_to, status, retryable):
    with web_server() as web:
        web.status, web.body = status, b"no\r\nSet-Cookie: x"
        error = failure(post_to(web.url))
    assert error.retryable is retryable
    assert str(status) in str(error)
    assert "\n" not in str(error)


def test_the_time_that_a_server_asks_for_is_kept(post_to):
    with web_server() as web:
        web.status, web.headers = 429, {"Retry-After": "120"}
        error = failure(post_to(web.url))
        assert (error.retryable, error.retry_after) == (True, 120.0)
        web.headers = {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}
        assert failure(post_to(web.url)).retry_after is None


def test_a_redirect_is_never_followed(post_to):
    with web_server() as elsewhere, web_server() as web:
        web.status, web.headers = 307, {"Location": f"{elsewhere.url}/steal"}
        assert "redirects to 127.0.0.1" in str(failure(post_to(web.url)))
        assert len(web.asked) == 1
        assert not elsewhere.asked


@pytest.mark.parametrize("text", [b"", b"H", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_web_server_that_hangs_or_drips_is_cut_off(post_to, text):
    with dripping_server(text) as port:
        began = time.monotonic()
        error = failure(post_to(f"http://127.0.0.1:{port}/"), seconds=SHORT)
        assert time.monotonic() - began < SHORT + 5
    assert error.retryable


def test_a_server_that_answers_without_end_is_not_read_to_its_end(post_to):
    with web_server() as web:
        web.status, web.body = 500, b"x" * 50_000_000
        error = failure(post_to(web.url))
    assert len(str(error)) < 300 < LARGEST_ANSWER


def test_tls_is_checked(post_to, certificate):
    with web_server(certificate) as web:
        assert "self-signed certificate" in str(failure(post_to(web.url)))
        post_to(web.url, way=Way(ca_file=str(certificate))).send(message_of(), SECONDS)
    assert len(web.asked) == 1


def test_a_proxy_is_used_where_there_is_one(post_to, certificate):
    with web_server(certificate) as secure, web_server() as plain, proxy_server() as proxy:
        way = Way(proxy.url, str(certificate))
        post_to(f"{secure.url}/s", way=way).send(message_of(), SECONDS)
        post_to(f"{plain.url}/p", way=way).send(message_of(), SECONDS)
        proxy.status = 407
        error = failure(post_to(secure.url, way=way))
    hosts = [secure.url.removeprefix("https://"), f"{plain.url}/p"]
    assert [(method, path) for method, path, _, _ in proxy.asked][:2] == list(
        zip(("CONNECT", "POST"), hosts, strict=True)
    )
    assert [len(web.asked) for web in (secure, plain)] == [1, 1]
    assert "the proxy answered 407" in str(error)
    assert error.retryable


def test_something_that_speaks_no_http_is_an_error_of_one_line(post_to):
    with mail_server() as box:
        error = failure(post_to(f"http://127.0.0.1:{box.port}/"))
    assert "does not speak HTTP" in str(error)


def test_slack_must_say_that_it_took_the_message():
    with web_server() as web:
        web.body = b"<html>log in to the hotel's network</html>"
        assert failure(SlackTarget("chat", Secret(web.url))).retryable


def test_slack_is_posted_blocks_in_which_no_name_can_mention_anybody():
    with web_server() as web:
        target = SlackTarget("chat", Secret(f"{web.url}/services/T0/B0/secret"))
        target.send(message_of(notice_of(subject="<!channel> & <http://evil|here>")), SECONDS)
        web.status, web.body = 403, f"no {web.url}/services/T0/B0/secret".encode()
        error = failure(target)
    _, path, headers, body = web.asked[0]
    assert path == "/services/T0/B0/secret"
    assert headers["content-type"] == "application/json"
    sections = [block["text"]["text"] for block in json.loads(body)["blocks"][1:]]
    assert not any("<" in text for text in sections)
    assert "&lt;!channel&gt; &amp; &lt;http://evil|here&gt;" in sections[0]
    assert "T0/B0/secret" not in f"{error} {target!r}"


def test_a_webhook_is_signed_as_standard_webhooks_say(secrets):
    with web_server() as web:
        WebhookTarget("hook", Secret(web.url), secrets(f"whsec_{WEBHOOK_KEY}")).send(message_of(), SECONDS)
    _, _, headers, body = web.asked[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(b"k" * 32, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["idempotency-key"] == headers["webhook-id"] == "0123abcd"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    content = json.loads(body)
    assert content["notices"][0]["subject"] == "node1:/home"
    assert (content["severity"], content["all_clear"], content["version"]) == ("warning", False, 1)


def test_the_receiver_in_the_manual_tells_a_genuine_post_from_a_forged_one(secrets):
    page = (REPOSITORY / "docs" / "alert-delivery.md").read_text(encoding="utf-8")
    receiver = {}
    exec(page.split("```python\n")[1].split("```")[0], receiver)
    with web_server() as web:
        WebhookTarget("hook", Secret(web.url), secrets(WEBHOOK_KEY)).send(message_of(), SECONDS)
    _, _, headers, body = web.asked[0]
    is_genuine = receiver["is_genuine"]
    assert is_genuine(headers, body, f"whsec_{WEBHOOK_KEY}")
    assert not is_genuine(headers, body + b" ", WEBHOOK_KEY)
    assert not is_genuine({**headers, "webhook-id": "other"}, body, WEBHOOK_KEY)
    assert not is_genuine(headers, body, base64.b64encode(b"x" * 32).decode())
    assert not is_genuine({**headers, "webhook-timestamp": str(int(time.time()) - 900)}, body, WEBHOOK_KEY)


def test_an_unsigned_webhook_has_no_signature_and_a_key_that_is_no_base64_is_told(secrets):
    with web_server() as web:
        WebhookTarget("hook", Secret(web.url)).send(message_of(), SECONDS)
        error = failure(WebhookTarget("hook", Secret(web.url), secrets("not base64!")))
    assert "webhook-signature" not in web.asked[0][2]
    assert "openssl rand -base64 32" in str(error)
    assert "not base64!" not in str(error)
    assert len(web.asked) == 1


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
def test_apprise_delivers_to_a_service_and_its_failure_is_told_without_the_address():
    with web_server() as web:
        host = web.url.removeprefix("http://")
        target = AppriseTarget("any", Secret(f"json://user:t0ken@{host}/"))
        target.send(message_of(), SECONDS)
        web.status = 500
        error = failure(target)
        web.status, web.seconds = 200, 2.0
        assert "did not finish" in str(failure(target, seconds=SHORT))
    assert "disk_full" in json.loads(web.asked[0][3])["message"]
    assert json.loads(web.asked[0][3])["type"] == "warning"
    assert error.retryable
    assert "t0ken" not in f"{error} {target!r}"
    assert "none that Apprise knows" in str(failure(AppriseTarget("any", Secret("nothing://x"))))


# Files.


def test_a_file_gets_a_line_a_message(tmp_path):
    target = FileTarget("log", str(tmp_path / "logs" / "alerts.ndjson"))
    target.send(message_of(notice_of(subject="a\nb")), SECONDS)
    target.send(message_of(message_id="2"), SECONDS)
    lines = (tmp_path / "logs" / "alerts.ndjson").read_text().splitlines()
    assert [json.loads(line)["message_id"] for line in lines] == ["0123abcd", "2"]
    assert (tmp_path / "logs" / "alerts.ndjson").stat().st_mode & 0o777 == 0o640
    assert "cannot be written" in str(failure(FileTarget("log", str(tmp_path / "none" / "none" / "x"))))
    assert "No space left on device" in str(failure(FileTarget("log", "/dev/full")))


def test_a_file_that_has_grown_large_is_moved_aside(tmp_path, monkeypatch):
    monkeypatch.setattr("nomade_pipeline.alerts.delivery.log_file.LARGEST_BYTES", 100)
    for number in range(3):
        FileTarget("log", str(tmp_path / "a")).send(message_of(message_id=str(number)), SECONDS)
    names = {name: json.loads((tmp_path / name).read_text())["message_id"] for name in ("a", "a.1")}
    assert names == {"a": "2", "a.1": "1"}
