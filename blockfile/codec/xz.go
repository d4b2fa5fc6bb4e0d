package codec

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"hash/crc64"

	"github.com/ulikunitz/xz/lzma"
)

// An xz stream, as far as Avro writers make them:
//
//	stream header   FD 37 7A 58 5A 00 | 00, check type | CRC-32 of the two flag bytes       12 bytes
//	block           size byte s > 0, header of 4(s+1) bytes | LZMA2 data | zeros to 4 | check
//	...             any number of blocks
//	index           00 | number of blocks | sizes of each | zeros to 4 | CRC-32
//	stream footer   CRC-32 | index size | 00, check type | 59 5A                            12 bytes
//
// Numbers of fixed width are little-endian, the others are varints of 7 bits a byte. The frame is parsed here,
// and only the LZMA2 data given to the library, because a block header names the size of the dictionary that
// its reader allocates: up to 4 GiB by one byte. Matches cannot reach back further than the output is long, so
// a dictionary of maxRaw bytes always does, and that is what is allocated at most.

const (
	xzHeaderSize = 12
	xzFooterSize = 12
	xzFilterLZMA = 0x21
)

var (
	xzMagic       = []byte{0xFD, '7', 'z', 'X', 'Z', 0}
	xzFooterMagic = []byte("YZ")
	crc64Table    = crc64.MakeTable(crc64.ECMA)
)

// xzCheckSize gives the length of a block's check by its type; the types not in it are reserved.
var xzCheckSize = map[byte]int{0: 0, 1: 4, 4: 8, 10: sha256.Size}

// xzBlock is what the index repeats of each block.
type xzBlock struct{ unpadded, raw uint64 }

func unxz(dst, comp []byte, maxRaw int) ([]byte, error) {
	if len(comp) < xzHeaderSize+xzFooterSize || !bytes.HasPrefix(comp, xzMagic) {
		return dst, corrupt(XZ, "no stream header")
	}
	flags := comp[6:8]
	_, known := xzCheckSize[flags[1]]
	if flags[0] != 0 || !known || crc32.ChecksumIEEE(flags) != binary.LittleEndian.Uint32(comp[8:]) {
		return dst, corrupt(XZ, "stream header is damaged or asks for an unknown check")
	}
	out, pos := dst, xzHeaderSize
	var blocks []xzBlock
	dictBudget := 4 * int64(maxRaw)
	for {
		if pos >= len(comp) {
			return dst, corrupt(XZ, "stream ends without an index")
		}
		if comp[pos] == 0 {
			break
		}
		var b xzBlock
		var n int
		var err error
		out, b, n, err = xzAppendBlock(out, comp[pos:], maxRaw-(len(out)-len(dst)), &dictBudget, flags[1])
		if err != nil {
			return dst, readError(XZ, err, maxRaw)
		}
		pos += n
		blocks = append(blocks, b)
	}
	n, err := xzCheckIndex(comp[pos:], blocks)
	if err != nil {
		return dst, err
	}
	footer := comp[pos+n:]
	if len(footer) != xzFooterSize {
		return dst, corrupt(XZ, "%d bytes behind the index instead of %d", len(footer), xzFooterSize)
	}
	if crc32.ChecksumIEEE(footer[4:10]) != binary.LittleEndian.Uint32(footer) ||
		(uint64(binary.LittleEndian.Uint32(footer[4:]))+1)*4 != uint64(n) ||
		!bytes.Equal(footer[8:10], flags) || !bytes.Equal(footer[10:], xzFooterMagic) {
		return dst, corrupt(XZ, "stream footer is damaged")
	}
	return out, nil
}

// xzAppendBlock decodes the block at the start of in and returns the bytes it takes up. dictBudget is what the
// dictionaries of this and all later blocks may take together.
func xzAppendBlock(dst, in []byte, maxRaw int, dictBudget *int64, checkType byte) (_ []byte, b xzBlock, n int, err error) {
	fail := func(what string) ([]byte, xzBlock, int, error) { return dst, b, 0, xzError(what) }
	size := (int(in[0]) + 1) * 4
	if size > len(in) {
		return fail("block header is cut short")
	}
	head := in[:size-4]
	if crc32.ChecksumIEEE(head) != binary.LittleEndian.Uint32(in[size-4:]) {
		return fail("block header is damaged")
	}
	blockFlags, rest := head[1], head[2:]
	if blockFlags&0x3F != 0 {
		return fail("block uses filters besides LZMA2")
	}
	packed, raw := uint64(0), uint64(0)
	hasPacked, hasRaw := blockFlags&0x40 != 0, blockFlags&0x80 != 0
	ok := true
	if hasPacked {
		packed, rest, ok = xzNumber(rest)
	}
	if ok && hasRaw {
		raw, rest, ok = xzNumber(rest)
	}
	if !ok || len(rest) < 3 || rest[0] != xzFilterLZMA || rest[1] != 1 || !allZero(rest[3:]) {
		return fail("block header is damaged or uses a filter besides LZMA2")
	}
	dict, err := lzma.DecodeDictCap(rest[2])
	if err != nil {
		return fail("dictionary size is out of range")
	}
	if hasRaw {
		dict = int64(min(uint64(dict), raw))
	}
	dict = max(min(dict, int64(maxRaw)), lzma.MinDictCap)
	// A thousand tiny blocks that each ask for the largest dictionary are an attack by themselves. A writer
	// that cuts its stream into blocks gives each at least the length of the dictionary.
	if *dictBudget -= dict; *dictBudget < -(64 << 20) {
		return fail("blocks ask for too much memory")
	}

	src := bytes.NewReader(in[size:])
	r, err := lzma.Reader2Config{DictCap: int(dict)}.NewReader2(src)
	if err != nil {
		return dst, b, 0, err
	}
	out, err := drain(dst, r, maxRaw, 4*len(in), new([1]byte))
	if err != nil {
		return dst, b, 0, err
	}
	got, checkSize := out[len(dst):], xzCheckSize[checkType]
	used := len(in) - size - src.Len()
	if hasPacked && packed != uint64(used) || hasRaw && raw != uint64(len(got)) {
		return fail("block sizes do not match its header")
	}
	b = xzBlock{unpadded: uint64(size + used + checkSize), raw: uint64(len(got))}
	n = size + used
	pad := -used & 3 // the header is a multiple of 4 already
	if len(in) < n+pad+checkSize || !allZero(in[n:n+pad]) {
		return fail("block is cut short")
	}
	n += pad
	if !xzCheck(checkType, got, in[n:n+checkSize]) {
		return fail("checksum does not match")
	}
	return out, b, n + checkSize, nil
}

type xzError string

func (e xzError) Error() string { return string(e) }

func xzCheck(checkType byte, raw, want []byte) bool {
	switch checkType {
	case 1:
		return crc32.ChecksumIEEE(raw) == binary.LittleEndian.Uint32(want)
	case 4:
		return crc64.Checksum(raw, crc64Table) == binary.LittleEndian.Uint64(want)
	case 10:
		sum := sha256.Sum256(raw)
		return bytes.Equal(sum[:], want)
	}
	return true
}

// xzCheckIndex compares the index at the start of in with the blocks decoded, and returns its length.
func xzCheckIndex(in []byte, blocks []xzBlock) (int, error) {
	count, rest, ok := xzNumber(in[1:])
	if !ok || count != uint64(len(blocks)) {
		return 0, corrupt(XZ, "index does not list %d blocks", len(blocks))
	}
	for i, b := range blocks {
		var unpadded, raw uint64
		if unpadded, rest, ok = xzNumber(rest); ok {
			raw, rest, ok = xzNumber(rest)
		}
		if !ok || b != (xzBlock{unpadded, raw}) {
			return 0, corrupt(XZ, "index does not match block %d", i)
		}
	}
	n := len(in) - len(rest)
	pad := -n & 3
	if len(in) < n+pad+4 || !allZero(in[n:n+pad]) ||
		crc32.ChecksumIEEE(in[:n+pad]) != binary.LittleEndian.Uint32(in[n+pad:]) {
		return 0, corrupt(XZ, "index is damaged")
	}
	return n + pad + 4, nil
}

// xzNumber reads a number of xz: 7 bits a byte, least significant first, at most 9 bytes, no needless zeros.
func xzNumber(in []byte) (v uint64, rest []byte, ok bool) {
	for i := 0; i < len(in) && i < 9; i++ {
		v |= uint64(in[i]&0x7F) << (7 * i)
		if in[i] < 0x80 {
			return v, in[i+1:], i == 0 || in[i] != 0
		}
	}
	return 0, in, false
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
