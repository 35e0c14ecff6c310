package sendmail

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/xmaild/xmaild/pkg/server/address"
	"github.com/xmaild/xmaild/pkg/server/lmail"
)

// DefaultDrop is the drop folder where none is named.
const DefaultDrop = "/var/spool/xmaild/drop"

// A Program is one run of sendmail: the world around it.
type Program struct {
	Args           []string // without the name
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
}

// failure is an error with its exit status.
type failure struct {
	status int
	err    error
}

func (f failure) Error() string { return f.err.Error() }
func (f failure) Unwrap() error { return f.err }

func fail(status int, format string, args ...any) error {
	return failure{status, fmt.Errorf(format, args...)}
}

// Run does what the arguments say and returns the exit status. What is wrong is one
// line on standard error.
func (p *Program) Run() int {
	err := p.run()
	if err == nil {
		return OK
	}
	fmt.Fprintf(p.Stderr, "sendmail: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
	var f failure
	if errors.As(err, &f) {
		return f.status
	}
	return Software
}

func (p *Program) run() error {
	o, err := parse(p.Args)
	if err != nil {
		return failure{Usage, err}
	}
	switch o.mode {
	case help:
		fmt.Fprint(p.Stdout, usage)
		return nil
	case nothing:
		return nil
	case showList:
		return fail(Unavailable, "the queue is shown by: ctrlclnt queuelist")
	}
	place, err := p.place(o)
	if err != nil {
		return err
	}
	defer place.Close()
	j := &job{Program: p, options: o, place: place}
	if o.mode == smtp {
		return j.speak()
	}
	return j.send()
}

const usage = `usage: sendmail [options] [--] [address...]

Reads a message from standard input and queues it for the addresses.

  -t                 send it to the addresses of To, Cc and Bcc too; Bcc is removed always
  -i, -oi            a line with a single dot does not end the message
  -f ADDR, -r ADDR   the sender (default: who calls); <> for none
  -F NAME            name of the sender in a From header that is added
  -B 7BIT|8BITMIME, -N never|success,failure,delay, -R full|hdrs, -V ID
                     what SMTP has of that name
  -bm                send a message (default);  -bs  speak SMTP on standard input and output
  -v                 say what is done
  --drop DIR         the folder that takes the mail (XMAIL_DROP; default ` + DefaultDrop + `)
  --root DIR         put it into spool/local of this MailRoot (MAIL_ROOT), for its owner and root
  --input-file F, --xinput-file F, --rcpt-file F
                     read the message, a spool file, or more addresses from a file

Other options of sendmail have no effect. DEFAULT_DOMAIN is the domain of addresses that
have none; without it they are of the server's own. The exit status is one of sysexits.h.
`

// place finds where mail is to be put.
func (p *Program) place(o options) (*lmail.Place, error) {
	root, drop := o.root, o.drop
	if root == "" && drop == "" {
		root, drop = p.Getenv("MAIL_ROOT"), p.Getenv("XMAIL_DROP")
	}
	if drop == "" && root != "" {
		place, err := lmail.Local(root)
		if err == nil || o.root != "" || !errors.Is(err, fs.ErrPermission) {
			return place, placeError(err)
		}
		// It is for the owner of the MailRoot alone.
	}
	if drop == "" {
		drop = DefaultDrop
	}
	place, err := lmail.Drop(drop)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fail(Config, "no mail is taken on this machine: there is no folder %s (scripts/install makes it; XMAIL_DROP or --drop name another)", drop)
	}
	return place, placeError(err)
}

func placeError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrPermission):
		return failure{NoPerm, err}
	}
	return failure{Config, err}
}

// A job is what a program does with messages.
type job struct {
	*Program
	options
	place *lmail.Place
}

// qualify gives an address the domain that the caller wants.
func (j *job) qualify(name string) string {
	return lmail.Qualify(strings.TrimSpace(name), j.Getenv("DEFAULT_DOMAIN"))
}

// checked returns an address as it is written into a file.
func (j *job) checked(name string) (string, error) {
	name = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(name), "<"), ">")
	full := j.qualify(name)
	if _, err := address.Parse(lmail.Qualify(full, "localhost")); err != nil {
		return "", fail(DataErr, "%q is no address: %w", name, err)
	}
	return full, nil
}

// caller is the name of the user who calls.
func (j *job) caller() string {
	if u, err := user.LookupId(strconv.Itoa(os.Getuid())); err == nil && os.Getuid() >= 0 {
		return u.Username
	}
	if name := j.Getenv("USER"); name != "" {
		return name
	}
	return "mail"
}

// send sends the message.
func (j *job) send() error {
	in := j.Stdin
	if j.input != "" {
		f, err := os.Open(j.input)
		if err != nil {
			return failure{NoInput, err}
		}
		defer f.Close()
		in = f
	}
	r := bufio.NewReaderSize(in, 256<<10)
	if j.skipSpool {
		if err := skipSpool(r); err != nil {
			return failure{NoInput, fmt.Errorf("%s: %w", j.input, err)}
		}
	}
	if !j.noDot && j.input == "" {
		r = bufio.NewReaderSize(&dotReader{r: r}, 256<<10)
	}
	from, err := j.from()
	if err != nil {
		return err
	}
	if len(j.recipients) == 0 && !j.toHeader && j.rcptFile == "" {
		return fail(Usage, "no recipient: name some after the options, or use -t")
	}
	fields, err := lmail.ReadHeader(r)
	if errors.Is(err, lmail.ErrHeader) {
		return failure{DataErr, err}
	}
	if err != nil {
		return failure{IOErr, fmt.Errorf("read the message: %w", err)}
	}
	recipients, err := j.all(fields)
	if err != nil {
		return err
	}
	head := lmail.Head{From: from, Body: j.body, Ret: j.ret, EnvID: j.envID}
	for _, to := range recipients {
		head.Recipients = append(head.Recipients, lmail.Recipient{Address: to, Notify: j.notify})
	}
	return j.put(head, func(w io.Writer) error {
		text := lmail.NewText(w)
		hasFrom := false
		for _, f := range fields {
			if f.Is("Bcc", "Resent-Bcc") {
				continue
			}
			hasFrom = hasFrom || f.Is("From")
			if _, err := io.WriteString(text, strings.TrimRight(f.Text, "\r\n")+"\n"); err != nil {
				return err
			}
		}
		if !hasFrom {
			fmt.Fprintf(text, "From: %s\n", j.fromField(from)) // the error comes back from Close
		}
		if _, err := io.WriteString(text, "\n"); err != nil {
			return err
		}
		read := &sourceReader{r: r}
		if _, err := io.Copy(text, read); err != nil {
			if read.err != nil {
				return failure{IOErr, fmt.Errorf("read the message: %w", err)}
			}
			return err
		}
		return text.Close()
	})
}

// from returns the sender of the envelope.
func (j *job) from() (string, error) {
	if j.sender == nil {
		return j.checked(j.caller())
	}
	if *j.sender == "" {
		return "", nil
	}
	return j.checked(*j.sender)
}

// fromField is the value of a From header that is added.
func (j *job) fromField(from string) string {
	if j.fromHeader != "" {
		return clean(j.fromHeader)
	}
	if from == "" {
		from = "MAILER-DAEMON"
	}
	name := j.fullName
	if name == "" {
		name = j.Getenv("NAME")
	}
	if name == "" {
		return "<" + from + ">"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(clean(name)) + `" <` + from + ">"
}

// clean keeps what could end a header out of a text.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// all returns the recipients, each once.
func (j *job) all(fields []lmail.Field) ([]string, error) {
	names := slices.Clone(j.recipients)
	if j.rcptFile != "" {
		text, err := os.ReadFile(j.rcptFile)
		if err != nil {
			return nil, failure{NoInput, err}
		}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line != "" {
				names = append(names, line)
			}
		}
	}
	var all []string
	known := make(map[string]bool)
	add := func(list string) error {
		found, err := address.List(list)
		if err != nil {
			return failure{DataErr, err}
		}
		for _, l := range found {
			to, err := j.checked(l.Address)
			if err != nil {
				return err
			}
			if key := strings.ToLower(to); !known[key] {
				known[key] = true
				all = append(all, to)
			}
		}
		return nil
	}
	for _, name := range names {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	if j.toHeader {
		for _, f := range recipientFields(fields) {
			if err := add(f.Value()); err != nil {
				return nil, fmt.Errorf("%s: %w", f.Name, err)
			}
		}
	}
	switch {
	case len(all) == 0:
		return nil, fail(DataErr, "no recipient: there is none in the header, and none is named")
	case len(all) > lmail.MaxRecipients:
		return nil, fail(DataErr, "%d recipients are too many for one message; %d are the most", len(all), lmail.MaxRecipients)
	}
	return all, nil
}

// recipientFields are the fields that -t reads; of a message that is sent again
// those that say so.
func recipientFields(fields []lmail.Field) []lmail.Field {
	var plain, again []lmail.Field
	for _, f := range fields {
		switch {
		case f.Is("To", "Cc", "Bcc"):
			plain = append(plain, f)
		case f.Is("Resent-To", "Resent-Cc", "Resent-Bcc"):
			again = append(again, f)
		}
	}
	if len(again) > 0 {
		return again
	}
	return plain
}

// put queues a message whose text write writes, and says so where nobody is there
// to deliver it.
func (j *job) put(head lmail.Head, write func(io.Writer) error) error {
	letter, err := j.place.Begin()
	if err == nil {
		defer letter.Abort()
		if _, err = head.WriteTo(letter); err == nil {
			err = write(letter)
		}
		if err == nil {
			err = letter.Commit()
		}
	}
	if err != nil {
		return j.putError(err)
	}
	switch heard := j.place.Ring(); {
	case !heard:
		fmt.Fprintf(j.Stderr, "sendmail: queued in %s; no server runs that takes mail from there: it will be delivered when one is started\n", j.place.Dir())
	case j.verbose:
		fmt.Fprintf(j.Stderr, "sendmail: queued for %d recipients\n", len(head.Recipients))
	}
	return nil
}

func (j *job) putError(err error) error {
	var f failure
	status := CantCreate
	switch {
	case errors.As(err, &f):
		return err
	case errors.Is(err, lmail.ErrTooBig):
		status = DataErr
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		status = TempFail
	case errors.Is(err, fs.ErrPermission):
		status = NoPerm
	case errors.Is(err, syscall.EIO):
		status = IOErr
	}
	return fail(status, "the message is not queued: %w", err)
}
