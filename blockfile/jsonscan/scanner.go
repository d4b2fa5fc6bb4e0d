package jsonscan

import (
	"fmt"
	"math"
	"strconv"
)

const (
	// DefaultMaxDepth is the nesting limit of a Scanner with zero Options.
	DefaultMaxDepth = 1000

	// maxMaxDepth bounds Options.MaxDepth. A level costs a few hundred bytes of
	// stack, so 10,000 levels stay in the low megabytes; real data needs tens.
	maxMaxDepth = 10_000

	// maxInput keeps positions and key counts within 32 bits.
	maxInput = math.MaxInt32

	// keepEntries is how many key entries (16 bytes each) a Scanner keeps between
	// records. One huge record must not pin its working memory for good.
	keepEntries = 1 << 16
)

// Names of the own members.
const (
	timestampKey = "timestamp"
	datasetKey   = "dataset_id"
	tableKey     = "table"
)

// Span is a half-open range of the bytes that were scanned. The zero Span means
// absent: a member's value never starts at offset 0.
type Span struct{ Start, End int }

// Of returns the bytes of b that the span covers, sharing b's memory. b is the slice
// that was scanned; an absent span gives an empty slice.
func (s Span) Of(b []byte) []byte { return b[s.Start:s.End:s.End] }

// Present reports whether the span covers anything.
func (s Span) Present() bool { return s.End != 0 }

// Options sets the limits of a Scanner and what it looks for.
type Options struct {
	// MaxDepth is how many levels of arrays and objects may be nested. Zero or less
	// means DefaultMaxDepth; values above 10,000 count as 10,000.
	MaxDepth int

	// Capture names further top-level members whose values are wanted, compared with
	// keys after unescaping. An empty name captures nothing. Naming an own member is
	// allowed; it then appears in both places.
	Capture [3]string
}

// Record is what one pass finds out about one record. All spans are positions in the
// scanned bytes.
type Record struct {
	// Object is the record without the white space around it.
	Object Span

	// Timestamp, Dataset and Table are the raw values of the own members.
	Timestamp, Dataset, Table Span

	// Captured are the raw values of the members named by Options.Capture.
	Captured [3]Span

	// Shape is the shape of the record without its own members.
	Shape uint64

	// TimestampShape, DatasetShape and TableShape are the shapes of the own members'
	// values, for those whose value has to be stored. Zero when absent.
	TimestampShape, DatasetShape, TableShape uint64
}

// SyntaxError says why bytes were refused.
type SyntaxError struct {
	Offset int    // bytes before the place where the scan stopped
	Reason string // what is wrong there, without position
}

// Error gives the reason with its position.
func (e *SyntaxError) Error() string {
	return e.Reason + " at byte " + strconv.Itoa(e.Offset)
}

// Scanner checks JSON and collects a Record. It is reusable, and belongs to one
// goroutine at a time. Make one with NewScanner.
type Scanner struct {
	maxDepth int
	maxBytes int // maxInput, less in tests
	capture  [3]string
	// recordNames has bit n set when an own or captured name has n bytes, modulo 64.
	// names is the same during Record and zero during Value, so that one test sends
	// nearly every key past the comparison.
	recordNames, names uint64

	rec  Record
	keys []entry // keys (or element shapes) of all objects (arrays) being scanned, innermost last
	slot []int32 // hash tables of the large ones among them, innermost last
	text []byte  // a key with escapes, unescaped

	failOffset int
	failReason string
}

// NewScanner returns a Scanner with these options.
func NewScanner(o Options) *Scanner {
	s := &Scanner{maxBytes: maxInput}
	s.SetOptions(o)
	return s
}

// SetOptions replaces the options; the working memory is kept.
func (s *Scanner) SetOptions(o Options) {
	switch {
	case o.MaxDepth <= 0:
		s.maxDepth = DefaultMaxDepth
	case o.MaxDepth > maxMaxDepth:
		s.maxDepth = maxMaxDepth
	default:
		s.maxDepth = o.MaxDepth
	}
	s.capture = o.Capture
	s.recordNames = 0
	for _, name := range [...]string{timestampKey, datasetKey, tableKey, o.Capture[0], o.Capture[1], o.Capture[2]} {
		if name != "" {
			s.recordNames |= 1 << (len(name) & 63)
		}
	}
}

// Record checks that b is exactly one JSON object, with white space around it at
// most, and says what is in it. The error is a *SyntaxError; the Record is zero then.
func (s *Scanner) Record(b []byte) (Record, error) {
	s.names = s.recordNames
	s.rec = Record{}
	start := SkipSpace(b, 0)
	if start < len(b) && b[start] != '{' {
		return Record{}, s.notObject(b, start)
	}
	shape, err := s.scan(b, start)
	if err != nil {
		return Record{}, err
	}
	s.rec.Shape = shape
	return s.rec, nil
}

// notObject tells bytes that are some other JSON value from those that are none.
func (s *Scanner) notObject(b []byte, start int) error {
	if err := s.Value(b); err != nil {
		return err
	}
	return &SyntaxError{Offset: start, Reason: "a record must be a JSON object, not another value"}
}

// Value checks that b is exactly one JSON value of any kind, with white space around
// it at most. The error is a *SyntaxError.
func (s *Scanner) Value(b []byte) error {
	s.names = 0
	_, err := s.scan(b, SkipSpace(b, 0))
	return err
}

// scan checks the one value that starts at i and that nothing but white space
// follows it.
func (s *Scanner) scan(b []byte, i int) (shape uint64, err error) {
	if len(b) > s.maxBytes {
		return 0, &SyntaxError{Offset: s.maxBytes, Reason: "input of 2 GiB or more"}
	}
	s.keys, s.slot = s.keys[:0], s.slot[:0]
	end, shape := s.value(b, i, 0)
	if cap(s.keys) > keepEntries {
		s.keys, s.slot = nil, nil
	}
	if cap(s.text) > keepEntries {
		s.text = nil
	}
	if end < 0 {
		return 0, &SyntaxError{Offset: s.failOffset, Reason: s.failReason}
	}
	s.rec.Object = Span{i, end}
	if rest := SkipSpace(b, end); rest < len(b) {
		return 0, &SyntaxError{Offset: rest, Reason: "more data after the value"}
	}
	return shape, nil
}

// fail notes where and why the scan stopped; the negative position tells all callers.
func (s *Scanner) fail(i int, reason string) (int, uint64) {
	s.failOffset, s.failReason = i, reason
	return -1, 0
}

func (s *Scanner) failDepth(i int) (int, uint64) {
	return s.fail(i, fmt.Sprintf("nested deeper than %d levels", s.maxDepth))
}

// failExpected is for a byte that cannot stand where it does.
func (s *Scanner) failExpected(b []byte, i int, expected string) (int, uint64) {
	if i >= len(b) {
		return s.fail(i, "the text ends where "+expected+" should follow")
	}
	return s.fail(i, expected+" expected, found "+quoteByte(b[i]))
}

func quoteByte(c byte) string {
	if c >= 0x80 {
		return fmt.Sprintf("byte 0x%02x", c)
	}
	return strconv.QuoteRune(rune(c))
}
