package server

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/firndb/firn/blockfile/jsonscan"
	"github.com/firndb/firn/engine"
	"github.com/valyala/fasthttp"
)

// rowsContent is what the formats of a read have in common.
type rowsContent struct {
	rows   rows
	query  engine.Query
	http11 bool
}

// finish says how the read ended, in trailers. An HTTP/1.0 answer has none, but was made whole
// before its header, so what matters fits there.
func (c *rowsContent) finish(h *fasthttp.ResponseHeader) {
	if c.http11 {
		requests, size := c.rows.Spent()
		h.Set(trailerRequests, strconv.Itoa(requests))
		h.Set(trailerBytes, strconv.FormatInt(size, 10))
	}
	if cursor := c.rows.NextCursor(); cursor != "" {
		h.Set(trailerCursor, cursor)
	}
	if c.query.AllowPartial {
		h.SetBytesV(trailerMissing, missingTrailer(c.rows.Missing()))
	}
}

// close ends the read. Its error is of no use to anybody: what was read was checked.
func (c *rowsContent) close() { _ = c.rows.Close() }

// jsonContent is a read as one JSON object.
type jsonContent struct {
	rowsContent
	begun bool
	count uint64
}

func (c *jsonContent) fill(dst []byte) ([]byte, bool, error) {
	if !c.begun {
		c.begun = true
		dst = append(dst, `{"dataset_id":`...)
		dst = jsonscan.AppendQuoted(dst, []byte(c.query.Dataset))
		dst = append(dst, `,"table_name":`...)
		dst = jsonscan.AppendQuoted(dst, []byte(c.query.Table))
		dst = append(dst, `,"records":[`...)
	}
	for start := len(dst); len(dst)-start < chunkBytes; {
		if !c.rows.Next() {
			if err := c.rows.Err(); err != nil {
				return dst, false, err
			}
			dst, err := c.end(dst)
			return dst, false, err
		}
		if c.count > 0 {
			dst = append(dst, ',')
		}
		c.count++
		dst = append(dst, c.rows.Record().JSON...)
	}
	return dst, true, nil
}

// end writes what follows the records.
func (c *jsonContent) end(dst []byte) ([]byte, error) {
	hot, cold := c.rows.Counts()
	dst = append(dst, `],"record_count":`...)
	dst = strconv.AppendUint(dst, c.count, 10)
	dst = append(dst, `,"hot_count":`...)
	dst = strconv.AppendUint(dst, hot, 10)
	dst = append(dst, `,"cold_count":`...)
	dst = strconv.AppendUint(dst, cold, 10)
	dst = append(dst, `,"next_cursor":`...)
	if cursor := c.rows.NextCursor(); cursor != "" {
		dst = jsonscan.AppendQuoted(dst, []byte(cursor))
	} else {
		dst = append(dst, "null"...)
	}
	if c.query.AllowPartial {
		text, err := json.Marshal(list(c.rows.Missing()))
		if err != nil {
			return dst, err
		}
		dst = append(dst, `,"missing":`...)
		dst = append(dst, text...)
	}
	return append(dst, "}\n"...), nil
}

// ndjsonContent is a read as one record a line.
type ndjsonContent struct{ rowsContent }

func (c *ndjsonContent) fill(dst []byte) ([]byte, bool, error) {
	for start := len(dst); len(dst)-start < chunkBytes; {
		if !c.rows.Next() {
			return dst, false, c.rows.Err()
		}
		at := len(dst)
		dst = append(dst, c.rows.Record().JSON...)
		oneLine(dst[at:])
		dst = append(dst, '\n')
	}
	return dst, true, nil
}

// oneLine makes line breaks spaces. A hot record is as it was sent, line breaks between its
// members included; inside a JSON string they cannot be.
func oneLine(record []byte) {
	for _, c := range [...]byte{'\n', '\r'} {
		for rest := record; ; {
			i := bytes.IndexByte(rest, c)
			if i < 0 {
				break
			}
			rest[i] = ' '
			rest = rest[i+1:]
		}
	}
}

// Bounds of the trailer that names missing ranges. Go's own client takes no more than 4 KiB of
// trailers.
const (
	maxMissing      = 32
	maxMissingBytes = 2 << 10
)

// missingTrailer is the list of missing ranges as JSON in ASCII. When it is too long, its end is
// summed up in one range that covers what is left out.
func missingTrailer(missing []engine.Missing) []byte {
	short := make([]engine.Missing, 0, maxMissing)
	for _, m := range missing[:min(len(missing), maxMissing)] {
		m.Reason = clip(m.Reason)
		short = append(short, m)
	}
	for n := len(short); ; n-- {
		if n < len(missing) {
			short = append(short[:max(n-1, 0)], sumMissing(missing[max(n-1, 0):]))
		}
		text, err := json.Marshal(short)
		if err != nil {
			return []byte("[]") // numbers and strings always encode
		}
		if text = ascii(text); len(text) <= maxMissingBytes || n <= 1 {
			return text
		}
	}
}

// sumMissing covers several ranges by one.
func sumMissing(missing []engine.Missing) engine.Missing {
	sum := missing[0]
	sum.Reason = strconv.Itoa(len(missing)) + " ranges within"
	known := true
	for _, m := range missing[1:] {
		sum.From, sum.To = min(sum.From, m.From), max(sum.To, m.To)
		sum.Records += m.Records
		known = known && m.Records > 0
	}
	if !known || missing[0].Records == 0 {
		sum.Records = 0 // which means: not known
	}
	return sum
}

// ascii escapes what is not ASCII in JSON text, for a header.
func ascii(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r < utf8.RuneSelf:
			out = append(out, byte(r))
		case r > 0xffff:
			out = appendUnit(appendUnit(out, 0xd800+(r-0x10000)>>10), 0xdc00+(r-0x10000)&0x3ff)
		default:
			out = appendUnit(out, r)
		}
		text = text[n:]
	}
	return out
}

func appendUnit(dst []byte, u rune) []byte {
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', hex[u>>12&15], hex[u>>8&15], hex[u>>4&15], hex[u&15])
}
