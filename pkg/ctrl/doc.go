// Package ctrl speaks the control protocol: the line protocol by which a mail
// server of the XMail family is administered, TCP ports 6017 (plain, and
// upgradable to TLS) and 6018 (TLS from the first byte).
//
// A conversation is a greeting, one login, and then commands. A command is one
// line of fields separated by TABs, each as it is or in double quotes; a reply
// is one line, a sign, five digits and a text:
//
//	S: +00000 <1795304826.5577006791947779410@192.0.2.5> XMail 1.27 CTRL Server xmaild; Sat, 21 Nov 2026 23:47:06 +0000
//	C: "admin"⇥"#6c92cfeb2f47f44af8ed9479add2c35d"
//	S: +00000 OK
//	C: "domainlist"
//	S: +00100 OK
//	S: "example.org"
//	S: .
//	C: "domaindel"⇥"example.com"
//	S: -00059 domain example.com is not handled here
//	C: "quit"
//	S: +00000 OK
//
// After +00100 lines follow until one that is a dot, after +00101 the client
// sends lines until one that is a dot and a second reply follows; in both
// directions a line that begins with a dot is sent with one dot more. The
// numbers are the contract, the texts are not. The whole of it is written down
// in docs/reference/control-protocol.md; where this package departs from it the
// documentation of the identifier concerned says so.
//
// A [Server] asks a [Handler] for the [Reply] to each command and does the rest:
// greeting, login, TLS, limits, time-outs, dot-stuffing, and a shutdown that
// drains. It knows no command but quit. A [Client], made by a [Dialer], sends
// commands and reads replies, and works with XMail 1.27 too. Package
// [github.com/xmaild/xmaild/pkg/ctrl/commands] has the grammar and meaning of
// every command.
package ctrl
