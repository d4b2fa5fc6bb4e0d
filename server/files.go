package server

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/firndb/firn/engine"
	"github.com/valyala/fasthttp"
)

// files is GET /v1/files.
func (s *Server) files(ctx *fasthttp.RequestCtx, _ []string) error {
	if err := noParams(ctx); err != nil {
		return err
	}
	return sendList(s, ctx, "files", s.db.Files(s.base))
}

// file is GET /v1/files/{path}: a block file or a range of it. The path is the object key, each
// of its segments percent-encoded. It names a file of the catalog and is never a path on a disk.
func (s *Server) file(ctx *fasthttp.RequestCtx, seg []string) error {
	if err := noParams(ctx); err != nil {
		return err
	}
	for _, name := range seg[2:] {
		if strings.Contains(name, "/") {
			return refuse(codeNotFound, "no such file")
		}
	}
	info, err := s.db.File(s.base, strings.Join(seg[2:], "/"))
	if err != nil {
		return err
	}
	h := &ctx.Response.Header
	etag := fmt.Sprintf(`"%08x-%x"`, info.CRC, info.FileBytes)
	h.SetContentType(typeAvro)
	h.Set(fasthttp.HeaderETag, etag)
	// Keys are never reused and objects never overwritten.
	h.Set(fasthttp.HeaderCacheControl, "public, max-age=31536000, immutable")
	h.Set(fasthttp.HeaderAcceptRanges, "bytes")
	if matchETag(ctx.Request.Header.PeekAll(fasthttp.HeaderIfNoneMatch), etag) {
		ctx.SetStatusCode(fasthttp.StatusNotModified)
		return nil
	}
	from, to := int64(0), info.FileBytes
	if spec := ctx.Request.Header.PeekAll(fasthttp.HeaderRange); len(spec) == 1 && ifRange(ctx, etag) {
		var kind rangeKind
		from, to, kind = parseRange(spec[0], info.FileBytes)
		switch kind {
		case rangeUnsatisfiable:
			p := refuse(codeRange, "the file has %d bytes", info.FileBytes)
			p.size = info.FileBytes
			return p
		case rangeOne:
			ctx.SetStatusCode(fasthttp.StatusPartialContent)
			h.Set(fasthttp.HeaderContentRange, fmt.Sprintf("bytes %d-%d/%d", from, to-1, info.FileBytes))
		}
	}
	if ctx.IsHead() {
		h.SetContentLength(int(to - from))
		ctx.Response.SkipBody = true
		return nil
	}
	return s.sendSized(ctx, &fileContent{ctx: s.base, db: s.db, info: info, at: from, end: to}, int(to-from))
}

// ifRange says whether the range may be used: without an If-Range, or when it names exactly this
// version. A date never does, since block files tell none.
func ifRange(ctx *fasthttp.RequestCtx, etag string) bool {
	v := ctx.Request.Header.Peek(fasthttp.HeaderIfRange)
	return len(v) == 0 || string(bytes.TrimSpace(v)) == etag
}

type rangeKind int

const (
	rangeWhole rangeKind = iota // none, several, or not understood: the whole file is a correct answer
	rangeOne
	rangeUnsatisfiable
)

// parseRange reads a Range header for a file of size bytes.
func parseRange(spec []byte, size int64) (from, to int64, kind rangeKind) {
	text, ok := bytes.CutPrefix(spec, []byte("bytes="))
	first, last, dash := bytes.Cut(bytes.TrimSpace(text), []byte("-"))
	if !ok || !dash || bytes.IndexByte(text, ',') >= 0 {
		return 0, size, rangeWhole
	}
	a, okA := digits(first)
	b, okB := digits(last)
	switch {
	case okA && okB && a <= b, okA && len(last) == 0:
		if a >= size {
			return 0, 0, rangeUnsatisfiable
		}
		if okB && b < size-1 {
			return a, b + 1, rangeOne
		}
		return a, size, rangeOne
	case len(first) == 0 && okB:
		if b == 0 || size == 0 {
			return 0, 0, rangeUnsatisfiable
		}
		return max(0, size-b), size, rangeOne
	}
	return 0, size, rangeWhole
}

// digits reads a number of decimal digits alone. Numbers too large to hold count as the largest.
func digits(b []byte) (int64, bool) {
	if len(b) == 0 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return 1<<63 - 1, true
	}
	return n, true
}

// filePiece is how much of a file is read at once. Against an object store a read costs a round
// trip, so it is more than chunkBytes.
const filePiece = 256 << 10

// fileContent is a part of a block file.
type fileContent struct {
	ctx     context.Context
	db      database
	info    engine.FileInfo
	at, end int64
}

func (f *fileContent) fill(dst []byte) ([]byte, bool, error) {
	n := int(min(f.end-f.at, filePiece))
	if n == 0 {
		return dst, false, nil
	}
	start := len(dst)
	if cap(dst)-start < n {
		dst = append(make([]byte, 0, start+n), dst...)
	}
	dst = dst[:start+n]
	if err := f.db.ReadFile(f.ctx, f.info.Path, f.at, dst[start:]); err != nil {
		return dst[:start], false, err
	}
	f.at += int64(n)
	return dst, f.at < f.end, nil
}

func (f *fileContent) finish(*fasthttp.ResponseHeader) {}

func (f *fileContent) close() {}
