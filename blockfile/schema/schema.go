package schema

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/hamba/avro/v2"

	"github.com/firndb/firn/blockfile/jsonscan"
)

// Schema is an Avro schema that firn wrote: its exact text, fingerprint and the plans to
// encode and decode with it. It is immutable and safe for concurrent use.
type Schema struct {
	text        []byte
	fingerprint [sha256.Size]byte
	version     uint64
	table       string

	root    *recordPlan // nil in the fallback schema
	own     [ownCount]Own
	other   [ownCount]int // fields of differing own values, -1 without
	records int           // record plans, numbered below this

	tableMember []byte // `,"table":"…"`
}

// Text returns the schema's exact bytes, as block files hold them. They must not be
// modified.
func (s *Schema) Text() []byte { return s.text }

// Fingerprint returns the SHA-256 of Text. Avro's own fingerprint would leave out firn's
// properties.
func (s *Schema) Fingerprint() [32]byte { return s.fingerprint }

// Version returns the table version that the schema is.
func (s *Schema) Version() uint64 { return s.version }

// Table returns the name of the table.
func (s *Schema) Table() string { return s.table }

// Fallback reports whether this is the fallback schema, which holds each record as JSON
// text.
func (s *Schema) Fallback() bool { return s.root == nil }

// Schema returns the Avro schema of this version of the tree, made once a version. A tree
// whose schema cannot be made has the fallback schema: dataset, time and the record as
// JSON text.
func (t *Tree) Schema() *Schema {
	if t.schema != nil {
		return t.schema
	}
	s, err := Parse(t.appendText(nil))
	if err != nil {
		plain := Tree{table: t.table, version: t.version, fallback: true}
		if s, err = Parse(plain.appendText(nil)); err != nil {
			panic("schema: the fallback schema does not parse: " + err.Error())
		}
	}
	t.schema = s
	return s
}

// Parse reads a schema text that firn wrote: from the header of a block file or from the
// catalog. Any other Avro schema is an error, as is a text longer than MaxSchemaBytes.
// text is copied.
func Parse(text []byte) (*Schema, error) {
	if len(text) > MaxSchemaBytes {
		return nil, fmt.Errorf("schema: text of %d bytes is longer than %d", len(text), MaxSchemaBytes)
	}
	// The Avro library is lenient about JSON and recurses without limit.
	if err := jsonscan.NewScanner(jsonscan.Options{MaxDepth: maxSchemaDepth}).Value(text); err != nil {
		return nil, fmt.Errorf("schema: text is not JSON: %w", err)
	}
	parsed, err := avro.ParseBytesWithCache(text, "", &avro.SchemaCache{})
	if err != nil {
		return nil, fmt.Errorf("schema: text is no Avro schema: %w", err)
	}
	root, ok := parsed.(*avro.RecordSchema)
	if !ok || root.IsError() || root.Namespace() != namespace {
		return nil, errNotOurs("the top type is no record of namespace firn")
	}
	s := &Schema{text: append([]byte(nil), text...), fingerprint: sha256.Sum256(text)}
	c := compiler{schema: s}
	if err := c.root(root); err != nil {
		return nil, err
	}
	return s, nil
}

func errNotOurs(reason string) error { return errors.New("schema: not written by firn: " + reason) }

// whole reads a property that is a whole number.
func whole(value any) (uint64, bool) {
	f, ok := value.(float64)
	if !ok || f < 0 || f > MaxVersion || f != float64(uint64(f)) {
		return 0, false
	}
	return uint64(f), true
}
