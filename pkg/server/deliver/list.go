package deliver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/address"
	"github.com/xmaild/xmaild/pkg/server/bounce"
	"github.com/xmaild/xmaild/pkg/server/filter"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/spool"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// list sends a message to the members of a mailing list, as one message with a
// recipient for each (docs/reference/delivery.md 2.5). It returns what the sender may be
// told that has become of the message; empty: nothing.
func (d *Deliverer) list(ctx context.Context, y delivery, list mailroot.User) (bounce.Action, error) {
	if y.err != nil {
		return "", y.err
	}
	if err := d.access(y, list); err != nil {
		return "", err
	}
	owner := list.Name + "@" + list.Domain
	vars, err := d.root.UserVars(list)
	if err != nil {
		return "", err
	}
	if err := checkLoop(y.body.SectionReader, owner, d.root.Vars().Number("MaxMTAOps")); err != nil {
		return "", d.looped(y, owner, err)
	}
	filtered := d.filters.Copy(queued(y))
	defer filtered.Close() // only a folder of ours is left, and swept
	if err := decided(filtered.Filter(ctx, filter.In)); err != nil {
		if errors.Is(err, errDropped) {
			return "", nil
		}
		return "", err
	}
	text := filtered.Message().Text
	copied := y.Envelope
	copied.Recipients, err = d.members(y, list)
	if err != nil {
		return "", err
	}
	if len(copied.Recipients) == 0 {
		d.logDelivery(y, "LIST", owner, "")
		return bounce.Expanded, nil
	}
	if sender, ok := listSender(vars); ok {
		copied.From = sender
	} else if sender != "" {
		y.log.Warn("ListSender is no address; the copies keep their sender", "list", owner, "value", sender)
	}
	copied.Mail, copied.Ret, copied.EnvID, copied.Proto = "", "", "", listProto
	top := d.listHeader(y, list, owner, vars)
	drop := func(name string) bool {
		return strings.HasPrefix(name, "List-") || name == "Precedence" || name == "Reply-To" && replyTo(vars)
	}
	known, err := readListed(y)
	if err != nil {
		return "", err
	}
	if y.Progress(y.place).Sum != 0 {
		// Its steps are the commands of an account that had the name before.
		if err := y.SetProgress(y.place, spool.Progress{}); err != nil {
			return "", err
		}
	}
	action := bounce.Action("")
	err = d.sendOnce(y, owner, known, func() error {
		err := d.derive(y, 0, copied, func(w io.Writer) error { return rewrite(w, io.NewSectionReader(text, 0, text.Size()), top, drop) })
		if err == nil {
			action = bounce.Expanded
			d.logDelivery(y, "LIST", owner, "")
		}
		return err
	})
	return action, err
}

// listProto is the way by which the copies for the members of a list have come.
const listProto = "LIST"

// access returns why an account or a list does not take a message. SMTP has asked
// that already; other ways in, and redirections, have not. Whether somebody may write
// to a list is not asked again of what comes from another one here: who has made the
// one a member of the other wants that.
func (d *Deliverer) access(y delivery, u mailroot.User) error {
	if !d.root.Vars().On("DeliverAccess") {
		return nil
	}
	vars, err := d.root.UserVars(u)
	if err != nil {
		return err
	}
	if !vars.Receives() {
		return &failure{permanent: true, status: "5.2.1", reason: "the account takes no mail"}
	}
	if !u.IsList() || y.Proto == listProto {
		return nil
	}
	may, err := d.root.MayWrite(u, vars, mailroot.Writer{From: y.From, Account: y.Account, Login: y.Login})
	if err != nil || may {
		return err
	}
	return &failure{permanent: true, status: "5.7.2", reason: "the list is closed, and <" + y.From + "> may not write to it"}
}

// derive puts a message that is made of another into the queue; once, however often
// it is called.
func (d *Deliverer) derive(y delivery, step int, e spool.Envelope, write func(io.Writer) error) error {
	e.Source = ""
	draft, err := y.Derive(y.place, step, e)
	if errors.Is(err, spool.ErrDerived) {
		return nil
	}
	if err != nil {
		return err
	}
	defer draft.Abort() // nothing after Commit
	if err := write(draft); err != nil {
		return err
	}
	return draft.Commit()
}

// members returns those who get the mail of a list.
func (d *Deliverer) members(y delivery, list mailroot.User) ([]spool.Recipient, error) {
	table, err := d.root.Members(list)
	if err != nil {
		return nil, err
	}
	var all []spool.Recipient
	known := make(map[string]bool)
	for m := range table.All() {
		if !strings.Contains(m.Perms, "R") || known[tabfile.Fold(m.Address)] {
			continue
		}
		known[tabfile.Fold(m.Address)] = true
		if _, err := address.Parse(m.Address); err != nil {
			y.log.Warn("member of a list has no address", "list", list.Name+"@"+list.Domain, "member", m.Address, "err", err)
			continue
		}
		all = append(all, spool.Recipient{Address: m.Address})
	}
	return all, nil
}

// listSender returns the sender of the copies; false: it is not said, or what is said is
// no address.
func listSender(vars mailroot.Variables) (string, bool) {
	sender, ok := vars.Lookup("ListSender")
	sender = strings.TrimSpace(sender)
	sender = strings.TrimSuffix(strings.TrimPrefix(sender, "<"), ">")
	if ok && sender != "" {
		_, err := address.Parse(sender)
		ok = err == nil
	}
	return sender, ok
}

// replyTo reports whether answers go to the list.
func replyTo(vars mailroot.Variables) bool {
	value, ok := vars.Lookup("UseReplyTo")
	return !ok || mailroot.Atoi(value) != 0
}

// listHeader returns what a copy has on top: Delivered-To, by which the list knows
// its own mail when it comes back, and what RFC 2369 and RFC 2919 want of a list.
func (d *Deliverer) listHeader(y delivery, list mailroot.User, owner string, vars mailroot.Variables) []string {
	top := []string{"Delivered-To: " + owner}
	if replyTo(vars) {
		top = append(top, "Reply-To: "+unrouted(y.to().Address))
	}
	top = append(top, fmt.Sprintf("List-Id: <%s.%s>", list.Name, list.Domain), "List-Post: <"+mailto(owner)+">")
	admin := d.root.Vars().String("PostMaster")
	if sender, ok := listSender(vars); ok && sender != "" {
		admin = sender
	}
	if admin != "" {
		top = append(top, fmt.Sprintf("List-Unsubscribe: <%s?subject=%s>", mailto(admin), mailtoText("unsubscribe "+owner)))
	}
	return append(top, "Precedence: list")
}

func mailto(addr string) string { return "mailto:" + mailtoText(addr) }

// mailtoText is a text as it stands in a URL of RFC 6068.
func mailtoText(s string) string { return strings.ReplaceAll(url.PathEscape(s), "&", "%26") }

// errLoop is the error of a message that comes back to where it has been.
var errLoop = &failure{permanent: true, status: "5.4.6", reason: bounce.ReasonLoop}

// checkLoop returns errLoop where a message has been at an address before, which may
// be empty, or has come through too many servers (docs/reference/delivery.md 2.10).
func checkLoop(text *io.SectionReader, owner string, most int) error {
	fields, err := readHeader(bufio.NewReader(io.NewSectionReader(text, 0, text.Size())))
	if err != nil {
		return err
	}
	hops := 0
	for _, f := range fields {
		switch f.name {
		case "Received":
			hops++
		case "Delivered-To", "X-Deliver-To":
			hops++
			if owner != "" && tabfile.EqualFold(f.value(), owner) {
				return errLoop
			}
		}
	}
	if hops > most {
		return errLoop
	}
	return nil
}
