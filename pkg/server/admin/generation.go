package admin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"io/fs"
	"time"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// NoGeneration is the generation of a file that is not there.
const NoGeneration = "0"

// A FileStat is what a file below MailRoot is like.
type FileStat struct {
	Size       int64
	Time       time.Time // of its last change on disk
	Generation string    // another one when the file holds something else
}

// FileStat describes a file as it is after every acknowledged change. rights are
// those of the administrator who asks: they must do for reading it, since from
// its generation what is in a small file could be guessed.
func (s *Service) FileStat(ctx context.Context, name string, rights mailroot.Rights) (FileStat, error) {
	f, err := s.File(ctx, name, rights)
	if err != nil {
		return FileStat{}, err
	}
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return FileStat{}, refuse(CannotRead, "%s: %w", quote(name), cause(err))
	}
	st := FileStat{Size: size, Time: s.root.Now(), Generation: generation(sum)}
	clean, err := openPath(name)
	if err != nil {
		return st, err
	}
	if info, err := s.root.Stat(clean); err == nil {
		if info.IsDir() {
			return st, refuse(CannotRead, "%s is a folder", clean)
		}
		st.Time = info.ModTime()
	}
	return st, nil
}

func generation(sum hash.Hash) string { return hex.EncodeToString(sum.Sum(nil)[:16]) }

// CheckSetFileIf returns why SetFileIf would refuse the file whatever its content.
func (s *Service) CheckSetFileIf(ctx context.Context, name, generation string) error {
	if err := s.CheckSetFile(ctx, name); err != nil {
		return err
	}
	clean, err := openPath(name)
	if err != nil {
		return err
	}
	return s.check(ctx, func(tx *mailroot.Tx) error { return checkGeneration(tx, clean, generation) })
}

// SetFileIf is [Service.SetFile] on condition that the file is still of that
// generation, which is looked at in the transaction: of two administrators who
// change the same file, the second one is told ([Conflict]).
func (s *Service) SetFileIf(ctx context.Context, name, generation string, content []byte) error {
	return s.setFile(ctx, name, content, func(tx *mailroot.Tx, clean string) error {
		return checkGeneration(tx, clean, generation)
	})
}

func checkGeneration(tx *mailroot.Tx, name, want string) error {
	got := NoGeneration
	content, err := tx.ReadFile(name)
	switch {
	case err == nil:
		sum := sha256.New()
		sum.Write(content)
		got = generation(sum)
	case !errors.Is(err, fs.ErrNotExist):
		return translateFile(name, err)
	}
	if got != want {
		return refuse(Conflict, "%s has changed: it is of generation %s now, and not %s", name, got, quote(want))
	}
	return nil
}
