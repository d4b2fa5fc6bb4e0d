package blockfile

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/firndb/firn/blockfile/codec"
	"github.com/firndb/firn/blockfile/container"
)

// ReadSidecar reads a sidecar from r to its end and calls fn with the
// reference of each block, in file order. Memory is bounded, whatever r gives.
// Rows are checked against one another and against the header, the header down
// to its last byte. fn has seen rows by the time an error shows, and may use
// them only when it is nil. A flipped bit inside a dataset's name can still
// pass: Avro's deflate has no checksum. Who reads a sidecar from a store sends
// r through NewChecksum and compares with the log entry, which keeps the
// sidecar's size and CRC-32C.
//
// Damage is a *CorruptError with an offset in the sidecar and no file name,
// another kind of file ErrForeign, an unknown version ErrVersion; errors of r
// and fn come back wrapped.
func ReadSidecar(r io.Reader, fn func(Ref) error) (SidecarInfo, error) {
	cr, err := container.NewReader(r)
	if err != nil {
		return SidecarInfo{}, containerError(err)
	}
	h := cr.Header()
	if err := checkVersion(&h, keySidecar, "sidecar"); err != nil {
		return SidecarInfo{}, err
	}
	info, err := parseSidecarHeader(&h)
	if err != nil {
		return SidecarInfo{}, &CorruptError{Offset: 0, Reason: err.Error(), Err: err}
	}
	check := newRowCheck(&info)
	raw := make([]byte, 0, maxSidecarRaw)
	for {
		block, err := cr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return SidecarInfo{}, containerError(err)
		}
		raw, err = codec.Decompress(codec.Deflate, raw[:0], block.Data, maxSidecarRaw)
		if err != nil {
			return SidecarInfo{}, &CorruptError{Offset: block.Offset, Reason: err.Error(), Err: err}
		}
		if err := readRows(raw, block, check, fn); err != nil {
			return SidecarInfo{}, err
		}
	}
	if err := check.end(); err != nil {
		return SidecarInfo{}, &CorruptError{Offset: h.Size, Reason: err.Error(), Err: err}
	}
	return info, nil
}

// readRows hands out the rows of one block.
func readRows(raw []byte, block container.Block, check *rowCheck, fn func(Ref) error) error {
	var count int64
	for at := 0; at < len(raw); count++ {
		ref, n, err := parseRow(raw[at:])
		if err == nil {
			err = check.add(ref)
		}
		if err != nil {
			return &CorruptError{Offset: block.Offset, Reason: fmt.Sprintf("row at byte %d of the block: %v", at, err), Err: err}
		}
		at += n
		if err := fn(ref); err != nil {
			return fmt.Errorf("sidecar: %w", err)
		}
	}
	if count != block.Count || count == 0 {
		return corruptf(block.Offset, "%d rows, the block says %d", count, block.Count)
	}
	return nil
}

// parseSidecarHeader reads the header's entries.
func parseSidecarHeader(h *container.Header) (SidecarInfo, error) {
	m := metaReader{header: h}
	info := SidecarInfo{
		FamilyID: m.hex32(keyFamily),
		Table:    m.text(keyTable, MaxTableBytes),
		Schema:   []byte(m.text(keySchema, MaxSchemaBytes)),
		Codec:    m.text(keyCodec, container.MaxCodecName),
		Marker:   uint32(m.uint(keyMarker, 32)),
		FileSize: m.int(keySize),
		FileCRC:  m.hex4(keyCRC),
		Records:  m.uint(keyRecords, 64),
		Blocks:   m.uint(keyBlocks, 64),
		RawBytes: m.int(keyRaw),
		First:    m.int(keyFirst),
		Last:     m.int(keyLast),
		FirstSeq: m.uint(keyFirstSeq, 64),
		LastSeq:  m.uint(keyLastSeq, 64),
	}
	const idBytes = 17 // with its comma
	if lineage := m.text(keyLineage, MaxLineage*idBytes); lineage != "" {
		info.Lineage = strings.Split(lineage, ",")
	}
	if m.err != nil {
		return SidecarInfo{}, m.err
	}
	if err := info.Validate(); err != nil {
		return SidecarInfo{}, err
	}
	if !info.sameHeader(h) {
		return SidecarInfo{}, errors.New("the header is not that of a sidecar")
	}
	return info, nil
}

// containerError turns an error of package container into one of this package.
func containerError(err error) error {
	if fe := (*container.FormatError)(nil); errors.As(err, &fe) {
		return &CorruptError{Offset: fe.Offset, Reason: fe.Reason, Err: err}
	}
	return err
}

// metaReader reads metadata entries of known forms; its first error stays.
type metaReader struct {
	header *container.Header
	err    error
}

func (m *metaReader) fail(key, why string) {
	if m.err == nil {
		m.err = fmt.Errorf("metadata %s: %s", key, why)
	}
}

func (m *metaReader) text(key string, most int) string {
	v, ok := m.header.Lookup(key)
	if !ok {
		m.fail(key, "missing")
		return ""
	}
	if len(v) > most {
		m.fail(key, fmt.Sprintf("%d bytes, at most %d are allowed", len(v), most))
		return ""
	}
	return string(v)
}

func (m *metaReader) int(key string) int64 {
	n, err := strconv.ParseInt(m.text(key, 20), 10, 64)
	if err != nil {
		m.fail(key, "not a number")
	}
	return n
}

func (m *metaReader) uint(key string, bits int) uint64 {
	n, err := strconv.ParseUint(m.text(key, 20), 10, bits)
	if err != nil {
		m.fail(key, "not a number")
	}
	return n
}

func (m *metaReader) hex4(key string) uint32 {
	n, err := strconv.ParseUint(m.text(key, 8), 16, 32)
	if err != nil {
		m.fail(key, "not a checksum")
	}
	return uint32(n)
}

func (m *metaReader) hex32(key string) (id [32]byte) {
	text := m.text(key, 2*len(id))
	if n, err := hex.Decode(id[:], []byte(text)); err != nil || n != len(id) {
		m.fail(key, "not a family id")
	}
	return id
}
