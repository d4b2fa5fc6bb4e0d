package server

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"github.com/firndb/firn/engine"
	"github.com/valyala/fasthttp"
)

// ingest is POST /v1/ingest.
func (s *Server) ingest(ctx *fasthttp.RequestCtx, _ []string) error {
	p, err := parseParams(ctx)
	if err != nil {
		return err
	}
	kind, err := contentType(ctx, typeJSON, typeNDJSON, typeAvro)
	if err != nil {
		return err
	}
	key, err := idempotencyKey(ctx)
	if err != nil {
		return err
	}
	var batch engine.Batch
	if kind != typeJSON {
		if batch, err = batchOf(p); err != nil {
			return err
		}
	}
	if err := p.rest(); err != nil {
		return err
	}

	u, body, err := s.unpack(ctx, s.o.MaxBodyBytes)
	defer u.release()
	if err != nil {
		return err
	}
	in := intakes.Get().(*intake)
	defer in.release()
	switch kind {
	case typeJSON:
		err = in.envelopes(body)
	case typeNDJSON:
		err = in.lines(batch, body)
	case typeAvro:
		err = in.avro(batch, body, s.o)
	}
	if err != nil {
		return err
	}

	r := engine.Request{Batches: in.batches, IdempotencyKey: key}
	if key != "" {
		r.Hash = contentHash(kind, batch, body)
	}
	ack, err := s.db.IngestAll(s.base, r)
	if err != nil {
		return in.locate(err, kind, body)
	}
	var buf [64]byte
	out := append(buf[:0], `{"accepted":`...)
	out = strconv.AppendInt(out, int64(ack.Accepted), 10)
	out = append(out, `,"duplicate":`...)
	out = strconv.AppendBool(out, ack.Duplicate)
	out = append(out, "}\n"...)
	ctx.SetBody(out)
	ctx.Response.Header.SetContentType(typeJSON)
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	return nil
}

// batchOf reads the parameters that say whose records a body without envelopes holds.
func batchOf(p *params) (engine.Batch, error) {
	var b engine.Batch
	var hasDataset, hasDatasetField, hasTable, hasTableField, hasTime bool
	var err error
	b.Dataset, hasDataset = p.take("dataset_id")
	b.DatasetField, hasDatasetField = p.take("dataset_field")
	b.TableField, hasTableField = p.take("table_field")
	b.TimeField, hasTime = p.take("time_field")
	if b.Table, hasTable, err = p.table(); err != nil {
		return b, err
	}
	switch {
	case hasDataset == hasDatasetField:
		return b, refuse(codeBadRequest, "give one of the parameters dataset_id and dataset_field")
	case hasTable == hasTableField:
		return b, refuse(codeBadRequest, "give one of the parameters table (table_name) and table_field")
	case hasDatasetField && b.DatasetField == "", hasTableField && b.TableField == "", hasTime && b.TimeField == "":
		return b, refuse(codeBadRequest, "the name of a field is empty")
	}
	return b, nil
}

// idempotencyKey gives the key of the request, empty when it has none.
func idempotencyKey(ctx *fasthttp.RequestCtx) (string, error) {
	keys := ctx.Request.Header.PeekAll("Idempotency-Key")
	switch {
	case len(keys) == 0:
		return "", nil
	case len(keys) > 1:
		return "", refuse(codeBadRequest, "more than one Idempotency-Key")
	case len(keys[0]) == 0:
		return "", refuse(codeBadRequest, "Idempotency-Key is empty")
	}
	return string(keys[0]), nil
}

// contentHash tells contents apart under one key: the same bytes with other parameters, or as
// another type, are another content. How they were compressed does not count.
func contentHash(kind string, b engine.Batch, body []byte) (sum [32]byte) {
	h := sha256.New()
	for _, s := range [...]string{kind, b.Dataset, b.DatasetField, b.Table, b.TableField, b.TimeField} {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(s))) // so that no two lists of names read the same
		h.Write(n[:])
		h.Write([]byte(s))
	}
	h.Write(body)
	h.Sum(sum[:0])
	return sum
}

// locate words the engine's refusal of a record as the client sees the body.
func (in *intake) locate(err error, kind string, body []byte) error {
	var r *engine.RecordError
	if !errors.As(err, &r) {
		return err
	}
	where := fmt.Sprintf("records[%d]", r.Index)
	switch {
	case kind == typeJSON && in.array:
		where = fmt.Sprintf("[%d].%s", r.Batch, where)
	case kind == typeNDJSON:
		where = fmt.Sprintf("%s (line %d)", where, lineOf(body, r.Index))
	}
	return &located{where + ": " + r.Reason, err}
}

// located is a refusal whose text names the place in the client's terms.
type located struct {
	text string
	err  error
}

func (l *located) Error() string { return l.text }
func (l *located) Unwrap() error { return l.err }
