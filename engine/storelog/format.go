package storelog

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"
)

// Every object is lines of JSON, each an object on a line of its own, the last
// line the checksum of all bytes before it:
//
//	{"format":1,…}\n
//	{"crc32c":"8 hex digits"}\n
//
// CRC-32C (Castagnoli) is over everything before the last line, line feeds
// included. `_firn/store` and log entries have one line before it; checkpoint.go
// draws what a checkpoint has. "format" is looked at before any other member:
// one that this program does not know is ErrFormat, not damage. Members that it
// does not know are damage, so whoever adds one counts the format up.
const formatVersion = 1

// MaxEntryBytes is the largest log entry, and the longest line of a checkpoint.
const MaxEntryBytes = 64 << 20

const (
	storeKey         = "_firn/store"
	logPrefix        = "_firn/log/"
	checkpointPrefix = "_firn/checkpoint/"
	numberDigits     = 20 // of 2^64-1
	trailerSize      = len(`{"crc32c":"00000000"}` + "\n")
)

// ErrFormat is wrapped when an object was written by a program that knows a
// format this one does not.
var ErrFormat = errors.New("storelog: unknown format")

// ErrCorrupt is wrapped by every *CorruptError.
var ErrCorrupt = errors.New("storelog: damaged")

// ErrInvalid is wrapped when an entry says what no entry may. Nothing was sent
// to the store.
var ErrInvalid = errors.New("storelog: invalid entry")

// CorruptError names a damaged object.
type CorruptError struct {
	Key    string // of the object
	Offset int64  // of the line, in bytes from its start; -1 when it is not about one
	Reason string
}

func (e *CorruptError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("storelog: damaged: %s: %s", e.Key, e.Reason)
	}
	return fmt.Sprintf("storelog: damaged: %s at byte %d: %s", e.Key, e.Offset, e.Reason)
}

// Unwrap gives ErrCorrupt.
func (e *CorruptError) Unwrap() error { return ErrCorrupt }

func corrupt(key string, reason error) error {
	return &CorruptError{Key: key, Offset: -1, Reason: reason.Error()}
}

// Key is the object key of log entry n.
func Key(n uint64) string { return logPrefix + fmt.Sprintf("%0*d", numberDigits, n) }

// CheckpointKey is the object key of the checkpoint of all entries below next.
func CheckpointKey(next uint64) string {
	return checkpointPrefix + fmt.Sprintf("%0*d", numberDigits, next)
}

// parseCheckpointKey reads back what CheckpointKey wrote.
func parseCheckpointKey(key string) (next uint64, ok bool) {
	digits, ok := strings.CutPrefix(key, checkpointPrefix)
	if !ok || len(digits) != numberDigits {
		return 0, false
	}
	next, err := strconv.ParseUint(digits, 10, 64)
	return next, err == nil && CheckpointKey(next) == key
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func fingerprint(text string) Fingerprint { return sha256.Sum256([]byte(text)) }

// appendLine appends v as one line of JSON.
func appendLine(dst []byte, v any) ([]byte, error) {
	buf := bytes.NewBuffer(dst)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v) // ends the line itself
	return buf.Bytes(), err
}

func appendTrailer(dst []byte, crc uint32) []byte {
	return fmt.Appendf(dst, "{\"crc32c\":\"%08x\"}\n", crc)
}

// openObject checks the checksum of a whole object and returns its lines.
func openObject(b []byte) ([]byte, error) {
	if len(b) < trailerSize {
		return nil, fmt.Errorf("an object of %d bytes has no checksum", len(b))
	}
	lines := b[:len(b)-trailerSize]
	if want := appendTrailer(nil, crc32.Checksum(lines, castagnoli)); !bytes.Equal(want, b[len(lines):]) {
		return nil, fmt.Errorf("the checksum line should be %s, it is %.40q", bytes.TrimSpace(want), b[len(lines):])
	}
	if len(lines) == 0 || lines[len(lines)-1] != '\n' {
		return nil, errors.New("the checksum does not stand on a line of its own")
	}
	return lines, nil
}

// checkFormat looks at the format of a first line, before anything else of it.
func checkFormat(line []byte) error {
	var head struct {
		Format *int `json:"format"`
	}
	if err := json.Unmarshal(line, &head); err != nil {
		return err
	}
	if head.Format == nil {
		return errors.New("no format")
	}
	if *head.Format != formatVersion {
		return fmt.Errorf("%w %d, this program knows %d", ErrFormat, *head.Format, formatVersion)
	}
	return nil
}

// decodeLine reads exactly one JSON object, with no member v does not know.
func decodeLine(line []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("more than one value on a line")
	}
	return nil
}

// decodeObject takes an object of one line apart into v. Errors are about the
// object under key.
func decodeObject(key string, b []byte, v any) error {
	line, err := openObject(b)
	if err == nil {
		err = checkFormat(line)
	}
	if err == nil {
		err = decodeLine(line, v)
	}
	if err == nil || errors.Is(err, ErrFormat) {
		if err != nil {
			err = fmt.Errorf("%s: %w", key, err)
		}
		return err
	}
	return corrupt(key, err)
}

// entryLine is an entry as the line holds it.
type entryLine struct {
	Format int `json:"format"`
	Entry
}

// Encode gives the object of an entry: the same bytes for the same entry.
// ErrInvalid when the entry says what none may, or is larger than MaxEntryBytes.
func Encode(e Entry) ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, fmt.Errorf("%w %d: %w", ErrInvalid, e.N, err)
	}
	b, err := appendLine(nil, entryLine{Format: formatVersion, Entry: e})
	if err != nil {
		return nil, fmt.Errorf("%w %d: %w", ErrInvalid, e.N, err)
	}
	if len(b)+trailerSize > MaxEntryBytes {
		return nil, fmt.Errorf("%w %d: %d bytes, at most %d", ErrInvalid, e.N, len(b)+trailerSize, MaxEntryBytes)
	}
	return appendTrailer(b, crc32.Checksum(b, castagnoli)), nil
}

// Decode reads the object of entry n.
func Decode(n uint64, b []byte) (Entry, error) {
	var line entryLine
	key := Key(n)
	if len(b) > MaxEntryBytes {
		return Entry{}, corrupt(key, fmt.Errorf("%d bytes, at most %d", len(b), MaxEntryBytes))
	}
	if err := decodeObject(key, b, &line); err != nil {
		return Entry{}, err
	}
	if line.N != n {
		return Entry{}, corrupt(key, fmt.Errorf("it says that it is entry %d", line.N))
	}
	if err := line.Entry.check(); err != nil {
		return Entry{}, corrupt(key, err)
	}
	return line.Entry, nil
}
