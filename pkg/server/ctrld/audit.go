package ctrld

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/ctrl/commands"
	"github.com/xmaild/xmaild/pkg/server/admin"
	"github.com/xmaild/xmaild/pkg/server/obs"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// Record writes an answered command to the audit log, if it belongs there: changes,
// what was refused for want of a right, and reads of mail and secrets. It is the
// CommandLog of the [ctrl.Server], or part of it.
func (h *Handler) Record(e ctrl.CommandEvent) {
	name, args, session := e.Request.Command, e.Request.Args, e.Request.Session
	known, ok := commands.Lookup(name)
	switch {
	case !ok, e.Code == ctrl.CodeCommand:
		return // nothing that could have been done
	case e.Code == ctrl.CodeForbidden:
	case known.Changes && known.Name != "commit":
		if known.Collectable() && collecting(session) != nil {
			return // it is written when it is done
		}
		if known.Kind == commands.Upload && e.Err != nil && e.Code == ctrl.CodeOK {
			return // the upload broke off, and nothing changed
		}
	case known.Name == "commit" && len(args) == 0:
	case e.Code == ctrl.CodeOK && h.isPrivate(known, e.Request):
	default:
		return
	}
	h.record(session, known.Name, args, e.Code)
}

func (h *Handler) record(s *ctrl.Session, name string, args []string, code ctrl.Code) {
	if h.audit == nil {
		return
	}
	// A log that cannot be written says so itself.
	_ = h.audit.Write(obs.AuditEntry{
		Administrator: s.User, Address: s.RemoteAddr.Addr().String(), Command: name,
		Arguments: shellWords(commands.Mask(name, args)), Code: code.String(),
	})
}

// isPrivate reports whether a command that succeeded has shown mail or secrets.
func (h *Handler) isPrivate(known commands.Command, req *ctrl.Request) bool {
	switch {
	case known.Access().Need == commands.Secrets:
		return true
	case known.Name == "cfgfileget":
		return len(req.Args) > 0 && admin.IsPrivate(req.Args[0])
	}
	return slices.Contains(known.Rows, "password") && h.admin.SeesPasswords(h.admin.Rights(req.Session.User))
}

// shellWords joins arguments as a shell would need them.
func shellWords(args []string) string {
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = a
		if a == "" || strings.ContainsFunc(a, isSpecial) {
			words[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

// isSpecial reports whether a character needs quotes in a shell. A secret's * does not.
func isSpecial(r rune) bool {
	return r < 0x80 && !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9') && !strings.ContainsRune("._-@/:,=+*%", r)
}

func auditList(_ context.Context, c *call) ctrl.Reply {
	since, pattern, refused := auditArgs(c.args)
	if refused != nil {
		return refused.Reply()
	}
	return ctrl.List(func(w *ctrl.ListWriter) error {
		if c.audit == nil {
			return nil
		}
		for e, err := range c.audit.Since(since) {
			if err != nil {
				c.log.Error("audit log cannot be read", "err", err)
				return &ctrl.Error{Code: ctrl.CodeOpenFile, Text: "the audit log cannot be read"}
			}
			if !auditMatches(pattern, e) {
				continue
			}
			if err := w.Row(e.Fields()...); err != nil {
				return err
			}
		}
		return nil
	})
}

func auditMatches(pattern string, e obs.AuditEntry) bool {
	return pattern == "*" || slices.ContainsFunc([]string{e.Administrator, e.Address, e.Command, e.Arguments},
		func(s string) bool { return tabfile.Match(pattern, s) })
}

// auditArgs reads the time from which on entries are wanted, and the pattern. A pattern
// may stand alone, unless it looks like a date.
func auditArgs(args []string) (since time.Time, pattern string, refused *ctrl.Error) {
	switch {
	case len(args) == 0:
		return since, "*", nil
	case args[0] == "":
		return since, append(args, "*")[1], nil
	}
	since, ok := parseTime(args[0])
	switch {
	case ok:
		return since, append(args[1:len(args):len(args)], "*")[0], nil
	case len(args) > 1, looksLikeDate(args[0]):
		return since, "", &ctrl.Error{Code: ctrl.CodeInvalid, Text: "the time is neither as 2006-01-02T15:04:05Z nor a number of seconds since 1970"}
	}
	return time.Time{}, args[0], nil
}

// parseTime reads a time of RFC 3339, or seconds since 1970 with or without a fraction.
func parseTime(s string) (time.Time, bool) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 {
		return time.Unix(n, 0), true
	}
	t, err := time.Parse(time.RFC3339Nano, strings.ToUpper(s))
	return t, err == nil
}

func looksLikeDate(s string) bool {
	return len(s) > 4 && s[4] == '-' && strings.Trim(s[:4], "0123456789") == ""
}
