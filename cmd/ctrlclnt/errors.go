package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/xmaild/xmaild/pkg/ctrl"
)

// Exit statuses. Without --status those above exitFailure are exitFailure.
const (
	exitUsage       = 3
	exitFailure     = 4
	exitExists      = 5
	exitMissing     = 6
	exitRefused     = 7
	exitLogin       = 8
	exitUnreachable = 9
	exitUnknown     = 10
)

// Codes of failures on this side of the wire. They are the reference's, for
// the scripts that read ErrCode.
const (
	codeTimeout    = ctrl.CodeTimeout
	codeCreateFile = ctrl.CodeCreateFile
	codeOpenFile   = ctrl.CodeOpenFile
	codeWriteFile  = ctrl.CodeWriteFile
	codeNoHost     = ctrl.CodeNoHost
	codeReadFile   = ctrl.CodeReadFile
	codeBadInput   = ctrl.CodeBadInput
	codeTooBig     = ctrl.CodeTooBig
	codeProtocol   = ctrl.Code(137) // a reply that is none
	codeRefused    = ctrl.Code(138) // the server refused
	codeConnLost   = ctrl.Code(152) // connection refused or lost
	codeHandshake  = ctrl.Code(234)
	codeTLSCert    = ctrl.Code(235)
	codeTLSKey     = ctrl.Code(236)
	codeUntrusted  = ctrl.Code(239)
	codeTLSPair    = ctrl.Code(243)
	codeTLSTrust   = ctrl.Code(244)
	codeNoDigest   = ctrl.Code(142)
)

// phrases are what ErrString says.
var phrases = map[ctrl.Code]string{
	codeTimeout:    "Timeout of the network",
	codeCreateFile: "Cannot create the file",
	codeOpenFile:   "Cannot open the file",
	codeWriteFile:  "Cannot write the output",
	codeReadFile:   "Cannot read the input",
	codeNoHost:     "Unknown server name",
	codeProtocol:   "Invalid reply of the server",
	codeRefused:    "Refused by the server",
	codeConnLost:   "No connection, or it was lost",
	codeHandshake:  "TLS handshake failed",
	codeTLSCert:    "Cannot use the client certificate",
	codeTLSKey:     "Cannot use the client key",
	codeUntrusted:  "Server certificate not trusted",
	codeTLSPair:    "Client key and certificate do not fit",
	codeTLSTrust:   "Cannot load the trusted authorities",
	codeNoDigest:   "No MD5 login",
	codeBadInput:   "Content that cannot be uploaded",
	codeTooBig:     "Upload too big",
}

// localError is a failure on this side of the wire.
type localError struct {
	code ctrl.Code
	info string
}

func (e *localError) Error() string { return e.info }

// toldError is a failure that standard error has been told of.
type toldError struct {
	exit int // with --status
}

func (e *toldError) Error() string { return "failed" }

// errEmptyValue is an option with an empty value that needs one.
var errEmptyValue = errors.New("must not be empty")

// failure is an error ready to be reported.
type failure struct {
	code   ctrl.Code
	info   string
	server ctrl.Code // the number in the server's reply; CodeOK: it sent none
	exit   int       // with --status
}

// write prints the block that scripts of the reference know, and the
// server's number after it.
func (f failure) write(w io.Writer) {
	fmt.Fprintf(w, "ErrCode   = %d\nErrString = %s\n", -int(f.code), phrases[f.code])
	if f.info != "" {
		fmt.Fprintf(w, "ErrInfo   = %s\n", visible(f.info, false))
	}
	if f.server != ctrl.CodeOK {
		fmt.Fprintf(w, "ErrServer = %s\n", f.server)
	}
}

// refusal is a failure that the server's reply tells.
func refusal(e *ctrl.Error, exit int) failure {
	return failure{code: codeRefused, info: e.Text, server: e.Code, exit: exit}
}

// describe turns any error but a usage error into a failure. dialing says that
// no command was sent yet.
func describe(err error, dialing bool) failure {
	var (
		local     *localError
		login     *ctrl.LoginError
		refused   *ctrl.Error
		untrusted *unverifiedError
		handshake *ctrl.TLSError
		unknown   *ctrl.UnknownOutcomeError
		cut       *ctrl.CutError
		upload    *ctrl.UploadError
	)
	switch {
	case errors.As(err, &local):
		return failure{code: local.code, info: local.info, exit: exitFailure}
	case errors.As(err, &upload):
		return failure{code: codeBadInput, info: err.Error(), exit: exitFailure}
	case errors.As(err, &untrusted):
		return failure{code: codeUntrusted, info: untrusted.Error(), exit: exitUnreachable}
	case errors.As(err, &handshake):
		return failure{code: codeHandshake, info: handshakeInfo(handshake), exit: exitUnreachable}
	case errors.As(err, &login):
		return refusal(login.Err, exitLogin)
	case errors.As(err, &unknown):
		f := network(unknown.Err)
		f.info = fmt.Sprintf("the outcome is unknown, %s was sent and may have been done: %s", unknown.Command, f.info)
		f.exit = exitUnknown
		return f
	case errors.As(err, &cut):
		f := network(cut.Err)
		f.info = "the list is cut short: " + f.info
		f.exit = exitUnknown
		return f
	case errors.Is(err, ctrl.ErrNoDigest):
		return failure{code: codeNoDigest, info: "the server offers no MD5 login, and the password is not sent in clear text unless -c says so, or TLS with a server that is verified protects it", exit: exitLogin}
	case errors.Is(err, ctrl.ErrNoUpload):
		return failure{code: codeProtocol, info: "the server did the command without asking for the upload", exit: exitUnknown}
	case errors.As(err, &refused) && dialing:
		if refused.Code == ctrl.CodeNotAllowed {
			return refusal(refused, exitLogin)
		}
		return refusal(refused, exitUnreachable)
	case errors.As(err, &refused) && refused.Code == ctrl.CodeShutdown:
		return refusal(refused, exitUnreachable) // the command was not run
	case errors.As(err, &refused):
		return refusal(refused, statusOf(refused.Code))
	}
	return network(err)
}

// network describes what went wrong on the way.
func network(err error) failure {
	var (
		protocol *ctrl.ProtocolError
		dns      *net.DNSError
		timeout  net.Error
		op       *net.OpError
	)
	switch {
	case errors.As(err, &protocol):
		return failure{code: codeProtocol, info: protocol.Line, exit: exitUnreachable}
	case errors.As(err, &dns):
		info := dns.Name
		if !dns.IsNotFound {
			info += ": " + dns.Err
		}
		return failure{code: codeNoHost, info: info, exit: exitUnreachable}
	case errors.As(err, &timeout) && timeout.Timeout():
		info := err.Error()
		if errors.As(err, &op) && op.Op == "read" {
			info += " (a port with TLS from the first byte needs -L)"
		}
		return failure{code: codeTimeout, info: info, exit: exitUnreachable}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return failure{code: codeConnLost, info: "the server closed the connection", exit: exitUnreachable}
	}
	return failure{code: codeConnLost, info: err.Error(), exit: exitUnreachable}
}

func handshakeInfo(err *ctrl.TLSError) string {
	var record tls.RecordHeaderError
	if errors.As(err, &record) {
		return err.Err.Error() + "; this port does not speak TLS from the first byte: use -S, or -L with the server's port for it, usually 6018"
	}
	return err.Err.Error()
}
