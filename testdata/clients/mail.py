"""Sends a message in every way that smtplib has, and reads them in every way of poplib.

usage: mail.py SMTP SMTPS POP3 POP3S CAFILE   (ports of localhost), the message on standard input
"""
import email.message
import poplib
import smtplib
import ssl
import sys

smtp, smtps, pop3, pop3s = map(int, sys.argv[1:5])
user, password = "xmailuser@xmailserver.test", "xmail"
context = ssl.create_default_context(cafile=sys.argv[5])
text = sys.stdin.buffer.read()


def send(client, name):
    client.ehlo_or_helo_if_needed()
    client.login(user, password)
    refused = client.sendmail(user, [user], b"Subject: " + name.encode() + b"\r\n" + text)
    print(name, refused, client.quit()[0])


with smtplib.SMTP("localhost", smtp) as c:
    send(c, "clear")
with smtplib.SMTP("localhost", smtp) as c:
    c.starttls(context=context)
    send(c, "starttls")
with smtplib.SMTP_SSL("localhost", smtps, context=context) as c:
    send(c, "smtps")
for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5"):
    with smtplib.SMTP("localhost", smtp) as c:
        c.starttls(context=context)
        c.ehlo()
        c.user, c.password = user, password
        print(mechanism, c.auth(mechanism, getattr(c, "auth_" + mechanism.lower().replace("-", "_")))[0])
with smtplib.SMTP("localhost", smtp) as c:
    m = email.message.EmailMessage()
    m["From"], m["To"], m["Subject"] = "Jürgen <x@ext.test>", user, "utf8 Grüße"
    m.set_content("Grüße\n")
    print("utf8", c.send_message(m))
with smtplib.SMTP("localhost", smtp) as c:
    try:
        c.sendmail("x@ext.test", ["someone@relay.test"], b"no")
    except smtplib.SMTPRecipientsRefused as e:
        print("relay", e.recipients["someone@relay.test"][0])
    try:
        c.login(user, "wrong")
    except smtplib.SMTPAuthenticationError as e:
        print("wrong", e.smtp_code)


def wait(connect, count):
    while True:
        c = connect()
        if c.stat()[0] == count:
            return c
        c.quit()


def by_password():
    c = poplib.POP3("localhost", pop3)
    c.stls(context)
    c.user(user)
    c.pass_(password)
    return c


c = wait(by_password, 4)
print("pop3", len(c.list()[1]), len(c.uidl()[1]), sorted(c.capa())[:2])
came = []  # in any order, and one of another text
for n in range(1, 5):
    lines = c.retr(n)[1]
    start = [i for i, l in enumerate(lines) if l.startswith(b"Subject:")][0]
    came.append((lines[start].decode(), b"\r\n".join(lines[start + 1:]) + b"\r\n" == text))
for subject, same in sorted(came):
    if same:
        print(subject, same)
print("top", len(c.top(1, 0)[1]) < len(c.retr(1)[1]), c.dele(1)[:3])
print("quit", c.quit()[:3])

c = poplib.POP3_SSL("localhost", pop3s, context=context)
c.user(user)
c.pass_(password)
print("pop3s", c.stat()[0])
try:
    poplib.POP3("localhost", pop3).apop(user, password)
except poplib.error_proto as e:
    print("locked", b"IN-USE" in e.args[0])
c.quit()
c = poplib.POP3("localhost", pop3)
print("apop", c.utf8()[:3], c.apop(user, password)[:3], c.stat()[0])
for n in range(1, 4):
    c.dele(n)
print("quit", c.quit()[:3])
