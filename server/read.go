package server

import (
	"bytes"
	"errors"
	"strconv"

	"github.com/firndb/firn/blockfile/jsonscan"
	"github.com/firndb/firn/engine"
	"github.com/valyala/fasthttp"
)

// format is how a read is written.
type format string

const (
	formatJSON   format = "json"
	formatNDJSON format = "ndjson"
	formatOCF    format = "ocf"
)

func (f format) contentType() string {
	switch f {
	case formatNDJSON:
		return typeNDJSON
	case formatOCF:
		return typeAvro
	}
	return typeJSON
}

// Headers and trailers of a read. The plan and what was spent have the same names: the first is a
// header, the second a trailer. fasthttp moves a header whose name is announced as a trailer
// into the trailer, comparing bytes, so the headers are spelled in lower case.
const (
	trailerCursor      = "Firn-Next-Cursor"
	trailerMissing     = "Firn-Missing"
	trailerRequests    = "Firn-Store-Requests"
	trailerBytes       = "Firn-Store-Bytes"
	headerPlanRequests = "firn-store-requests"
	headerPlanBytes    = "firn-store-bytes"
)

// read is GET /v1/read.
func (s *Server) read(ctx *fasthttp.RequestCtx, _ []string) error {
	q, f, err := readParams(ctx)
	if err != nil {
		return err
	}
	r, err := s.query(q)
	if err != nil {
		return err
	}
	h := &ctx.Response.Header
	h.SetContentType(f.contentType())
	h.Set(fasthttp.HeaderVary, fasthttp.HeaderAccept)
	h.Set(fasthttp.HeaderCacheControl, "no-cache") // keep it, but ask whether it still holds
	// What a partial read leaves out depends on what can be reached now, which no durable
	// version tells.
	if etag := formatETag(r.ETag(), f); etag != "" && !q.AllowPartial {
		h.Set(fasthttp.HeaderETag, etag)
		if matchETag(ctx.Request.Header.PeekAll(fasthttp.HeaderIfNoneMatch), etag) {
			ctx.SetStatusCode(fasthttp.StatusNotModified)
			return r.Close()
		}
	}
	requests, size := r.Planned()
	h.SetCanonical([]byte(headerPlanRequests), strconv.AppendInt(nil, int64(requests), 10))
	h.SetCanonical([]byte(headerPlanBytes), strconv.AppendInt(nil, size, 10))
	http11 := ctx.Request.Header.IsHTTP11()
	if http11 {
		if err := announce(h, q); err != nil {
			_ = r.Close()
			return err
		}
	}
	if ctx.IsHead() {
		h.SetContentLength(-1) // as GET would; nothing is read to know more
		ctx.Response.SkipBody = true
		return r.Close()
	}
	rc := rowsContent{rows: r, query: q, http11: http11}
	switch f {
	case formatNDJSON:
		return s.send(ctx, &ndjsonContent{rowsContent: rc})
	case formatOCF:
		return s.send(ctx, newOCFContent(s.base, rc))
	}
	return s.send(ctx, &jsonContent{rowsContent: rc})
}

// announce names the trailers that may follow the answer.
func announce(h *fasthttp.ResponseHeader, q engine.Query) error {
	names := trailerRequests + ", " + trailerBytes
	if q.Limit > 0 {
		names += ", " + trailerCursor
	}
	if q.AllowPartial {
		names += ", " + trailerMissing
	}
	return h.SetTrailer(names)
}

// explain is GET /v1/explain. It takes the parameters of a read.
func (s *Server) explain(ctx *fasthttp.RequestCtx, _ []string) error {
	q, _, err := readParams(ctx)
	if err != nil {
		return err
	}
	plan, err := s.db.Explain(s.base, q)
	if err != nil {
		return s.badCursor(q, err)
	}
	plan.Blocks, plan.Ranges, plan.Chunks = list(plan.Blocks), list(plan.Ranges), list(plan.Chunks)
	return answer(ctx, plan)
}

func (s *Server) query(q engine.Query) (rows, error) {
	r, err := s.db.Query(s.base, q)
	if err != nil {
		return nil, s.badCursor(q, err)
	}
	return r, nil
}

// badCursor gives a refusal of the cursor a code of its own: the client's way out is to begin
// the read again. It was the cursor when the same query without one is valid.
func (s *Server) badCursor(q engine.Query, err error) error {
	if q.Cursor == "" || !errors.Is(err, engine.ErrInvalid) {
		return err
	}
	q.Cursor = ""
	r, again := s.db.Query(s.base, q)
	if again != nil {
		return err
	}
	if again := r.Close(); again != nil {
		return err
	}
	return refuse(codeBadCursor, "%s", err)
}

// readParams reads the parameters of a read.
func readParams(ctx *fasthttp.RequestCtx) (q engine.Query, f format, err error) {
	p, err := parseParams(ctx)
	if err != nil {
		return q, f, err
	}
	var hasDataset, hasTable, hasFrom, hasTo, hasCursor bool
	q.Dataset, hasDataset = p.take("dataset_id")
	q.Cursor, hasCursor = p.take("cursor")
	if q.Table, hasTable, err = p.table(); err != nil {
		return q, f, err
	}
	if q.From, hasFrom, err = p.time("from", jsonscan.MinTime); err != nil {
		return q, f, err
	}
	if q.To, hasTo, err = p.time("to", jsonscan.MaxTime); err != nil {
		return q, f, err
	}
	if q.Limit, err = p.count("limit"); err != nil {
		return q, f, err
	}
	order, err := p.oneOf("order", "asc", "desc")
	if err != nil {
		return q, f, err
	}
	partial, err := p.oneOf("partial", "allow")
	if err != nil {
		return q, f, err
	}
	text, err := p.oneOf("format", string(formatJSON), string(formatNDJSON), string(formatOCF))
	if err != nil {
		return q, f, err
	}
	if err := p.rest(); err != nil {
		return q, f, err
	}
	switch {
	case !hasDataset:
		return q, f, refuse(codeBadRequest, "parameter dataset_id is missing")
	case !hasTable:
		return q, f, refuse(codeBadRequest, "parameter table_name is missing")
	case q.From > q.To:
		return q, f, refuse(codeBadRequest, "from is after to")
	case hasCursor && q.Cursor == "":
		return q, f, refuse(codeBadCursor, "the cursor is empty")
	}
	if q.Bounded = hasFrom || hasTo; !q.Bounded {
		q.From, q.To = 0, 0
	}
	q.Descending, q.AllowPartial = order == "desc", partial == "allow"
	if f = format(text); f == "" {
		f = accepted(ctx.Request.Header.PeekAll(fasthttp.HeaderAccept))
	}
	return q, f, nil
}

// accepted picks the format that an Accept header prefers, JSON where it says nothing that firn
// has: a reader who asked for nothing better is served best by an answer.
func accepted(headers [][]byte) format {
	best, weight := formatJSON, -1
	for _, h := range headers {
		for item := range bytes.SplitSeq(h, []byte(",")) {
			kind, rest, _ := bytes.Cut(item, []byte(";"))
			var f format
			switch string(bytes.ToLower(bytes.TrimSpace(kind))) {
			case typeJSON, "*/*", "application/*":
				f = formatJSON
			case typeNDJSON:
				f = formatNDJSON
			case typeAvro, "avro/binary":
				f = formatOCF
			default:
				continue
			}
			if w := quality(rest); w > 0 && w > weight {
				best, weight = f, w
			}
		}
	}
	return best
}

// quality gives the weight of a media range, 0 to 1000, from its parameters.
func quality(params []byte) int {
	for p := range bytes.SplitSeq(params, []byte(";")) {
		if v, ok := bytes.CutPrefix(bytes.ToLower(bytes.TrimSpace(p)), []byte("q=")); ok {
			q, err := strconv.ParseFloat(string(v), 64)
			if err != nil || !(q >= 0 && q <= 1) {
				return 0
			}
			return int(q * 1000)
		}
	}
	return 1000
}

// formatETag makes the version of the data one of this format's bytes.
func formatETag(etag string, f format) string {
	if len(etag) < 2 || etag[len(etag)-1] != '"' {
		return ""
	}
	return etag[:len(etag)-1] + "-" + string(f) + `"`
}

// matchETag says whether an If-None-Match names etag. Its comparison is the weak one.
func matchETag(headers [][]byte, etag string) bool {
	for _, h := range headers {
		if string(bytes.TrimSpace(h)) == "*" {
			return true
		}
		for item := range bytes.SplitSeq(h, []byte(",")) { // firn's own tags have no commas
			if string(bytes.TrimPrefix(bytes.TrimSpace(item), []byte("W/"))) == etag {
				return true
			}
		}
	}
	return false
}
