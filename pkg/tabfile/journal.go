package tabfile

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The journal is a folder of segments, each a file of records. A transaction is
// durable when its record is synced; the files that it changes are synced
// later, by a checkpoint, after which the older segments are removed. A clean
// stop removes the folder.
//
// A segment begins with a line of text that names its version, and goes on with
// records: length and CRC-32C of the payload, four bytes each, little-endian,
// then the payload. A record that is cut short or does not match its sum ends
// the segment: nothing after it was acknowledged.

const (
	journalDir    = "journal"
	journalMagic  = "xmaild journal "
	journalFormat = 1

	recordHead = 8
	recordMax  = 1 << 30
)

// checksum returns the CRC-32C of a record.
func checksum(payload []byte) uint32 {
	return crc32.Checksum(payload, crc32.MakeTable(crc32.Castagnoli)) // made once, when it is first needed
}

// A sum tells whether two files are the same.
type sum [sha256.Size]byte

func sumOf(text string) (s sum) {
	h := sha256.New()
	_, _ = io.Copy(h, strings.NewReader(text)) // neither of them fails
	h.Sum(s[:0])
	return s
}

// A segment is the journal file that records are appended to. It belongs to the
// one goroutine that commits.
type segment struct {
	number uint64
	name   string
	f      File
	size   int64
	buf    []byte
}

func segmentName(root string, number uint64) string {
	return filepath.Join(root, journalDir, fmt.Sprintf("%016d", number))
}

// newSegment makes a new segment durable, its name and that of the folder included.
// When a sync fails the store takes no more changes.
func (s *Store) newSegment(number uint64) (*segment, error) {
	dir := filepath.Join(s.root, journalDir)
	if err := ignoreExisting(s.fs.Mkdir(dir, 0o700)); err != nil {
		return nil, err
	}
	names := []string{dir}
	if s.segment == nil {
		// An earlier attempt may have made the folder, and come no further.
		names = append(names, s.root)
	}
	g := &segment{number: number, name: segmentName(s.root, number)}
	f, err := s.fs.Create(g.name, "", 0o600)
	if err != nil {
		return nil, err
	}
	g.f = f
	g.buf = fmt.Appendf(nil, "%s%d\n", journalMagic, journalFormat)
	failed, err := g.sync()
	if err == nil {
		if err = s.fs.Sync(names); err == nil {
			return g, nil
		}
		failed = SyncFailed(err)
	}
	err = errors.Join(err, f.Close(), s.fs.Remove(g.name))
	if failed {
		err = s.fail(err)
	}
	return nil, err
}

// add puts a record into the buffer of the segment.
func (g *segment) add(r *record) {
	start := len(g.buf)
	g.buf = append(g.buf, make([]byte, recordHead)...)
	g.buf = r.appendTo(g.buf)
	payload := g.buf[start+recordHead:]
	binary.LittleEndian.PutUint32(g.buf[start:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(g.buf[start+4:], checksum(payload))
}

// sync writes what add has collected and makes it durable. When the write
// fails, failed is false and the next one takes its place: nothing of this one
// counts. When the sync fails nobody knows what the disk holds, and the segment
// is not written to again.
func (g *segment) sync() (failed bool, err error) {
	defer g.discard()
	if _, err := g.f.WriteAt(g.buf, g.size); err != nil {
		return false, err
	}
	if err := g.f.Sync(); err != nil {
		return true, err
	}
	g.size += int64(len(g.buf))
	return false, nil
}

// discard empties the buffer.
func (g *segment) discard() {
	g.buf = g.buf[:0]
	if cap(g.buf) > 1<<20 {
		g.buf = nil
	}
}

// journalSegments lists the numbers of the segments there are, oldest first.
func journalSegments(fsys FS, root string) ([]uint64, error) {
	names, err := fsys.ReadDir(filepath.Join(root, journalDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var numbers []uint64
	for _, name := range names {
		if n, err := strconv.ParseUint(name, 10, 64); err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// readSegment returns the records of a segment, and how many bytes follow them
// that are none.
func readSegment(fsys FS, root string, number uint64) (records []*record, rest int, err error) {
	name := segmentName(root, number)
	text, _, err := readFile(fsys, name)
	if err != nil {
		return nil, 0, err
	}
	head, body, ok := strings.Cut(text, "\n")
	version, isOurs := strings.CutPrefix(head, journalMagic)
	if !ok || !isOurs {
		// A segment that was being created: its first record never was.
		return nil, len(text), nil
	}
	if n, err := strconv.Atoi(version); err != nil || n != journalFormat {
		return nil, 0, fmt.Errorf("%s is a journal of format %s, and this program reads format %d: "+
			"start the program that wrote it, and stop it cleanly", name, version, journalFormat)
	}
	for len(body) >= recordHead {
		length := binary.LittleEndian.Uint32([]byte(body[:4]))
		check := binary.LittleEndian.Uint32([]byte(body[4:8]))
		if length == 0 || length > recordMax || int(length) > len(body)-recordHead {
			break
		}
		payload := body[recordHead : recordHead+int(length)]
		if checksum([]byte(payload)) != check {
			break
		}
		r, err := decodeRecord(payload)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: record %d: %w", name, len(records)+1, err)
		}
		if n := len(records); n > 0 && r.lsn <= records[n-1].lsn {
			break // left over from a write that failed, and was written over
		}
		records = append(records, r)
		body = body[recordHead+int(length):]
	}
	return records, len(body), nil
}

// removeSegment removes a segment for good: it does not come back after a power
// cut, when newer ones may be gone.
func removeSegment(fsys FS, root string, number uint64) error {
	err := fsys.Remove(segmentName(root, number))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fsys.Sync([]string{filepath.Join(root, journalDir)})
}

// readText reads all of r, which holds about size bytes.
func readText(r io.Reader, size int64) (string, error) {
	// io.Copy would take more memory than most files have.
	if size < 16<<10 {
		text := make([]byte, 0, size+1)
		for {
			n, err := r.Read(text[len(text):cap(text)])
			text = text[:len(text)+n]
			if err == io.EOF {
				return string(text), nil
			}
			if err != nil {
				return string(text), err
			}
			text = slices.Grow(text, 1)
		}
	}
	var b strings.Builder
	b.Grow(int(size) + 1)
	_, err := io.Copy(&b, r)
	return b.String(), err
}
