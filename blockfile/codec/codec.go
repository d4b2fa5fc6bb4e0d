package codec

import (
	"errors"
	"fmt"
	"slices"
)

// The codec names of the Avro specification.
const (
	Null      = "null"
	Deflate   = "deflate"
	Zstandard = "zstandard"
	Snappy    = "snappy"
	Bzip2     = "bzip2" // only read
	XZ        = "xz"    // only read
)

// Default is the codec of a table that asks for none. Every Avro reader has it.
const Default = Deflate

// Names lists the codecs that firn writes, the default first. Read only.
var Names = []string{Deflate, Zstandard, Snappy, Null}

var (
	// ErrUnknown is wrapped by the errors about a codec name that cannot be written or read.
	ErrUnknown = errors.New("codec: unknown codec")
	// ErrTooLarge is wrapped when the raw bytes of a block would pass the caller's maximum.
	ErrTooLarge = errors.New("codec: block is larger than allowed once decompressed")
	// ErrCorrupt is wrapped when stored bytes are no stream of their codec: damaged, cut short, or with
	// bytes behind their end.
	ErrCorrupt = errors.New("codec: compressed block is damaged")
)

// Valid reports whether firn writes blocks with the codec name.
func Valid(name string) bool { return slices.Contains(Names, name) }

// Readable reports whether Decompress knows the codec name.
func Readable(name string) bool { return Valid(name) || name == Bzip2 || name == XZ }

func unknown(name string) error { return fmt.Errorf("%w %q", ErrUnknown, name) }

func corrupt(name, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ErrCorrupt, name, fmt.Sprintf(format, args...))
}

func tooLarge(name string, maxRaw int) error {
	return fmt.Errorf("%w: %s: more than %d bytes", ErrTooLarge, name, maxRaw)
}
