package server

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/xmaild/xmaild/pkg/server/selfcert"
)

// certify sees to it that there is a certificate to show: one that signs itself
// where there is none yet.
func (s *Server) certify() {
	certFile, keyFile := s.path("server.cert"), s.path("server.key")
	if absent(certFile) && absent(keyFile) {
		s.selfSign(certFile, keyFile)
	}
	err := s.certs.Load()
	if err == nil {
		_, err = s.tlsConfig()
	}
	if err != nil {
		s.log.Warn("no TLS until this is right", "err", err)
		return
	}
	// A process that was root has read the key by rights that it has no more.
	if f, err := os.Open(keyFile); err == nil {
		f.Close()
	} else if errors.Is(err, fs.ErrPermission) {
		s.log.Warn("the key was read as root; another one will need a restart", "err", err)
	}
}

func absent(name string) bool {
	_, err := os.Lstat(name)
	return errors.Is(err, fs.ErrNotExist)
}

// selfSign makes a certificate for the names of the server and of the machine.
func (s *Server) selfSign(certFile, keyFile string) {
	vars := s.root.Vars()
	hosts := []string{vars.String("SmtpServerDomain")}
	if name, err := os.Hostname(); err == nil {
		hosts = append(hosts, name)
	}
	hosts = append(hosts, vars.String("POP3Domain"), vars.String("RootDomain"))
	const most = 100 // names, so that a handshake stays small
	for domain := range s.root.Domains() {
		if hosts = append(hosts, domain); len(hosts) >= most {
			break
		}
	}
	hosts = append(hosts, "localhost", "127.0.0.1", "::1")
	named := make(map[string]bool)
	hosts = slices.DeleteFunc(hosts, func(name string) bool {
		twice := name == "" || named[name]
		named[name] = true
		return twice
	})
	cert, key, err := selfcert.New(hosts, s.config.Clock())
	if err == nil {
		// The key first: a certificate without one would be a mistake to tell of.
		if err = writeNew(keyFile, key); err == nil {
			if err = writeNew(certFile, cert); err != nil {
				// The next start leaves half a pair alone.
				err = errors.Join(err, os.Remove(keyFile))
			}
		}
	}
	if err != nil {
		s.log.Warn("there is no certificate, and none could be made", "err", err)
		return
	}
	fingerprint, err := selfcert.Fingerprint(cert)
	if err != nil {
		fingerprint = err.Error()
	}
	s.log.Info("a certificate that signs itself was made", "file", certFile, "name", hosts[0], "sha256", fingerprint)
}

// writeNew writes a file whole or not at all. Only its owner may read it.
func writeNew(name string, content []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(content)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), name)
}
