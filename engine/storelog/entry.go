package storelog

import (
	"encoding/hex"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/firndb/firn/blockfile/store"
)

// Kind says what an entry does.
type Kind string

// The kinds of entries.
const (
	KindTakeover Kind = "takeover" // WriterID writes from here on, in Epoch
	KindRun      Kind = "run"      // Run changed the file set
	KindAbort    Kind = "abort"    // Run did not, and never will
	KindTable    Kind = "table"    // settings, schemas or counters of tables changed
)

// Fingerprint is the SHA-256 of a schema's exact text; in JSON 64 hex digits.
type Fingerprint [32]byte

// MarshalText gives the hex digits.
func (f Fingerprint) MarshalText() ([]byte, error) { return hexText(f[:]), nil }

// UnmarshalText reads exactly 64 lower-case hex digits.
func (f *Fingerprint) UnmarshalText(b []byte) error { return unhex(f[:], b) }

func hexText(b []byte) []byte { return hex.AppendEncode(nil, b) }

func unhex(dst, text []byte) error {
	if len(text) != 2*len(dst) {
		return fmt.Errorf("want %d hex digits, got %d", 2*len(dst), len(text))
	}
	for _, c := range text {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return fmt.Errorf("%q is no lower-case hex digit", c)
		}
	}
	_, err := hex.Decode(dst, text)
	return err
}

// File is a block file as the log tells of it.
type File struct {
	Key         string      `json:"key"`   // object key
	Table       string      `json:"table"` // whose records it holds
	Date        string      `json:"date"`  // "2006-01-02", or "2006-01" for a month partition
	Size        int64       `json:"size"`  // bytes
	RawBytes    int64       `json:"raw_bytes"`
	Records     uint64      `json:"records"`
	Blocks      uint64      `json:"blocks"`
	CRC         uint32      `json:"crc32c"` // of the whole object
	SidecarSize int64       `json:"sidecar_size"`
	SidecarCRC  uint32      `json:"sidecar_crc32c"`
	FirstSeq    uint64      `json:"first_seq"`
	LastSeq     uint64      `json:"last_seq"`
	First       int64       `json:"first"` // ms since 1970
	Last        int64       `json:"last"`
	Schema      Fingerprint `json:"schema"`
	Codec       string      `json:"codec"`
	Marker      uint32      `json:"marker"`
	JobStart    int64       `json:"job_start"` // ms since 1970
	Lineage     []string    `json:"lineage"`   // run ids
}

// SchemaDef is one version of a table's schema.
type SchemaDef struct {
	Table       string      `json:"table"`
	Version     uint64      `json:"version"`
	Fingerprint Fingerprint `json:"fingerprint"`
	Created     int64       `json:"created"` // ms since 1970
	Text        string      `json:"text"`    // exact bytes, valid UTF-8
	Tree        []byte      `json:"tree"`    // durable form of what it was inferred from; base64 in JSON
}

// Settings are what an operator set for a table; empty means the default.
type Settings struct {
	Codec     string `json:"codec,omitempty"`
	Partition string `json:"partition,omitempty"`
	TimeField string `json:"time_field,omitempty"`
}

// Counters are a table's totals after the entry, in records since the store
// began.
type Counters struct {
	Accepted uint64 `json:"accepted"`
	Cold     uint64 `json:"cold"`
	Erased   uint64 `json:"erased"`
	Expired  uint64 `json:"expired"`
	Lost     uint64 `json:"lost"`
}

// Entry is one entry of a store's log.
type Entry struct {
	N        uint64 `json:"n"` // its position
	Kind     Kind   `json:"kind"`
	WriterID string `json:"writer_id"`
	Epoch    uint32 `json:"epoch"`         // of the writer
	Time     string `json:"time"`          // RFC 3339, when it was made
	Run      string `json:"run,omitempty"` // run id, of kinds run and abort

	Added       []File              `json:"added,omitempty"`
	Removed     []string            `json:"removed,omitempty"` // object keys
	Retired     []string            `json:"retired,omitempty"` // generation ids
	ArchivedSeq uint64              `json:"archived_seq,omitempty"`
	Schemas     []SchemaDef         `json:"schemas,omitempty"`
	Tables      map[string]Settings `json:"tables,omitempty"`
	Counters    map[string]Counters `json:"counters,omitempty"`
}

// check refuses what no entry may say. The writer and the reader both ask it.
func (e *Entry) check() error {
	switch e.Kind {
	case KindTakeover:
		if e.Epoch == 0 {
			return fmt.Errorf("takeover without an epoch")
		}
		if e.Run != "" || len(e.Added)+len(e.Removed)+len(e.Retired) > 0 {
			return fmt.Errorf("takeover with a run or files")
		}
	case KindRun:
		if e.Run == "" {
			return fmt.Errorf("run without an id")
		}
	case KindAbort:
		if e.Run == "" {
			return fmt.Errorf("abort without a run id")
		}
		if len(e.Added)+len(e.Removed)+len(e.Retired)+len(e.Schemas)+len(e.Tables)+len(e.Counters) > 0 || e.ArchivedSeq > 0 {
			return fmt.Errorf("abort that changes something")
		}
	case KindTable:
		if e.Run != "" || len(e.Added)+len(e.Removed)+len(e.Retired) > 0 {
			return fmt.Errorf("table entry with a run or files")
		}
	default:
		return fmt.Errorf("unknown kind %q", e.Kind)
	}
	if e.WriterID == "" {
		return fmt.Errorf("no writer id")
	}
	if _, err := time.Parse(time.RFC3339Nano, e.Time); err != nil {
		return fmt.Errorf("time %q is not RFC 3339", e.Time)
	}
	if err := checkTexts(e.WriterID, e.Run); err != nil {
		return err
	}
	if err := checkTexts(e.Retired...); err != nil {
		return err
	}
	keys := make(map[string]struct{}, len(e.Added)+len(e.Removed))
	for i := range e.Added {
		if err := e.Added[i].check(); err != nil {
			return fmt.Errorf("added[%d]: %w", i, err)
		}
		if _, twice := keys[e.Added[i].Key]; twice {
			return fmt.Errorf("added[%d]: %q twice", i, e.Added[i].Key)
		}
		keys[e.Added[i].Key] = struct{}{}
	}
	for i, key := range e.Removed {
		if err := store.CheckKey(key); err != nil {
			return fmt.Errorf("removed[%d]: %w", i, err)
		}
		if _, twice := keys[key]; twice {
			return fmt.Errorf("removed[%d]: %q twice", i, key)
		}
		keys[key] = struct{}{}
	}
	for i := range e.Schemas {
		if err := e.Schemas[i].check(); err != nil {
			return fmt.Errorf("schemas[%d]: %w", i, err)
		}
	}
	for name, s := range e.Tables {
		if err := checkTable(name, s); err != nil {
			return err
		}
	}
	for name := range e.Counters {
		if err := checkTable(name, Settings{}); err != nil {
			return err
		}
	}
	return nil
}

func (f *File) check() error {
	if err := store.CheckKey(f.Key); err != nil {
		return err
	}
	switch {
	case f.Table == "" || f.Codec == "":
		return fmt.Errorf("%q without table or codec", f.Key)
	case f.Size < 0 || f.RawBytes < 0 || f.SidecarSize < 0:
		return fmt.Errorf("%q with a negative size", f.Key)
	case f.LastSeq < f.FirstSeq || f.Last < f.First:
		return fmt.Errorf("%q whose range ends before it begins", f.Key)
	}
	if err := checkTexts(f.Table, f.Date, f.Codec); err != nil {
		return err
	}
	return checkTexts(f.Lineage...)
}

func (s *SchemaDef) check() error {
	if s.Table == "" || s.Text == "" {
		return fmt.Errorf("without table or text")
	}
	if sum := fingerprint(s.Text); sum != s.Fingerprint {
		return fmt.Errorf("the fingerprint is not that of the text")
	}
	return checkTexts(s.Table, s.Text)
}

func checkTable(name string, s Settings) error {
	if name == "" {
		return fmt.Errorf("table without a name")
	}
	return checkTexts(name, s.Codec, s.Partition, s.TimeField)
}

// checkTexts refuses what JSON text cannot hold without loss.
func checkTexts(texts ...string) error {
	for _, s := range texts {
		if !utf8.ValidString(s) {
			return fmt.Errorf("%q is not UTF-8", s)
		}
	}
	return nil
}
