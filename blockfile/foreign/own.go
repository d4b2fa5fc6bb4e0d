package foreign

import (
	"errors"

	"github.com/firndb/firn/blockfile/container"
	"github.com/firndb/firn/blockfile/schema"
)

// Entries of the header that firn's block files and answers have, by package blockfile.
const (
	formatKey  = "firn.format"
	familyKey  = "firn.family"
	ownFormats = "1"
)

// ownLeast is what a record of firn takes at least: an empty dataset and a time.
const ownLeast = 2

// ownDecoder gives the decoder for a file that firn wrote itself: its records are then what was once
// sent to it, not the columns that became of them. nil for any other file, also for one that only
// kept firn's header: where a tool wrote the schema without its properties, columns are all there is.
func ownDecoder(h *container.Header) (*schema.Decoder, error) {
	format, ok := h.Lookup(formatKey)
	if _, family := h.Lookup(familyKey); !ok || !family {
		return nil, nil
	}
	if string(format) != ownFormats {
		return nil, schemaError("the file was written by firn in format %.20q, this program knows %s", format, ownFormats)
	}
	s, err := schema.Parse(h.Schema)
	if err != nil {
		return nil, nil
	}
	return s.NewDecoder(), nil
}

// ownRecord decodes the next record of firn's into d.out.
func (r *Reader) ownRecord() error {
	out, n, err := r.own.AppendJSON(r.d.out[:0], r.d.buf[r.d.pos:])
	r.d.out = out
	if err != nil {
		var d *schema.DecodeError
		if errors.As(err, &d) && d.TooLong {
			return r.recordError(r.d.tooLong())
		}
		return r.corrupt("%s", err)
	}
	r.d.pos += n
	return nil
}
