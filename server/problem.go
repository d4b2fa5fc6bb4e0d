package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/firndb/firn/engine"
	"github.com/valyala/fasthttp"
)

// code is what a caller's program may rely on in a problem answer, with the status it comes with.
// Texts may change; codes do not.
type code struct {
	name   string
	status int
	retry  int // seconds of Retry-After; 0: none
}

// Every code there is.
var (
	codeBadRequest      = code{"bad_request", 400, 0}            // a parameter, header or envelope that is not as documented
	codeInvalidRecord   = code{"invalid_record", 400, 0}         // a record that cannot be kept; the detail says which
	codeInvalidBody     = code{"invalid_body", 400, 0}           // a body that is not what its Content-Type or Content-Encoding says
	codeBadCursor       = code{"bad_cursor", 400, 0}             // a cursor that is none, or of another query
	codeForbiddenHost   = code{"forbidden_host", 403, 0}         // a Host neither loopback nor configured
	codeForbiddenOrigin = code{"forbidden_origin", 403, 0}       // a state-changing call from another site
	codeNotFound        = code{"not_found", 404, 0}              // no such route, table, schema version or file
	codeMethod          = code{"method_not_allowed", 405, 0}     // Allow says which are
	codeTimeout         = code{"request_timeout", 408, 0}        // the request did not arrive in time
	codeIdempotency     = code{"idempotency_mismatch", 409, 0}   // the key was used with another content
	codeTooLarge        = code{"too_large", 413, 0}              // a body, batch or record past its limit
	codeMediaType       = code{"unsupported_media_type", 415, 0} // Content-Type, Content-Encoding or Avro codec
	codeRange           = code{"range_not_satisfiable", 416, 0}
	codeHeaderTooLarge  = code{"header_too_large", 431, 0}
	codeInternal        = code{"internal", 500, 0}        // a defect; the log has more
	codeOutcomeUnknown  = code{"outcome_unknown", 500, 0} // maybe kept: repeat with the same Idempotency-Key
	codeDamaged         = code{"damaged", 500, 0}         // what was asked for cannot be read whole
	codeReadOnly        = code{"read_only", 503, 0}       // stays so until somebody acts
	codeBackpressure    = code{"backpressure", 503, 1}    // archiving cannot keep up
	codeStoreAway       = code{"store_away", 503, 5}      // the store cannot be reached
	codeStarting        = code{"starting", 503, 1}        // the log is being replayed
	codeClosing         = code{"shutting_down", 503, 1}   // this process is about to end
	codeHTTPVersion     = code{"http_version", 505, 0}    // too large an answer for HTTP/1.0
	codeDiskFull        = code{"disk_full", 507, 0}       // goes away by itself when there is room
)

// problem is an answer that says no. It is the only error type that handlers make themselves;
// engine errors become one in problemOf.
type problem struct {
	code
	detail string
	allow  string // of codeMethod
	size   int64  // of codeRange
}

func (p *problem) Error() string { return p.name + ": " + p.detail }

func refuse(c code, format string, args ...any) *problem {
	return &problem{code: c, detail: fmt.Sprintf(format, args...)}
}

// engineCodes maps the engine's refusals. Order matters where an error wraps two: a batch whose
// fate is unknown stays that, though the database is read-only from then on.
var engineCodes = []struct {
	err error
	code
}{
	{engine.ErrOutcomeUnknown, codeOutcomeUnknown},
	{engine.ErrIdempotencyMismatch, codeIdempotency},
	{engine.ErrFull, codeDiskFull},
	{engine.ErrBackpressure, codeBackpressure},
	{engine.ErrTooLarge, codeTooLarge},
	{engine.ErrNotFound, codeNotFound},
	{engine.ErrInvalid, codeBadRequest},
	{engine.ErrStoreAway, codeStoreAway},
	{engine.ErrCorrupt, codeDamaged},
	{engine.ErrReadOnly, codeReadOnly},
	{engine.ErrClosed, codeClosing},
	{context.Canceled, codeClosing},
}

// problemOf is the one place where errors become answers.
func problemOf(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	var r *engine.RecordError
	if errors.As(err, &r) {
		c := codeInvalidRecord
		if errors.Is(err, engine.ErrTooLarge) {
			c = codeTooLarge
		}
		return refuse(c, "%s", err)
	}
	for _, e := range engineCodes {
		if errors.Is(err, e.err) {
			return refuse(e.code, "%s", err)
		}
	}
	return refuse(codeInternal, "unexpected failure; the server's log has more")
}

// problemBody is RFC 9457 with a member "code".
type problemBody struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// write makes p the answer, whatever was set before.
func (p *problem) write(ctx *fasthttp.RequestCtx) {
	body, err := json.Marshal(problemBody{
		Type: "about:blank", Title: fasthttp.StatusMessage(p.status),
		Status: p.status, Code: p.name, Detail: p.detail,
	})
	if err != nil {
		body = []byte("{}") // a struct of strings and a number always encodes
	}
	closing := ctx.Response.ConnectionClose()
	ctx.Response.Reset()
	h := &ctx.Response.Header
	if closing {
		h.SetConnectionClose()
	}
	ctx.SetStatusCode(p.status)
	h.SetContentType("application/problem+json")
	if p.retry > 0 {
		h.Set(fasthttp.HeaderRetryAfter, strconv.Itoa(p.retry))
	}
	if p.allow != "" {
		h.Set(fasthttp.HeaderAllow, p.allow)
	}
	if p.size > 0 {
		h.Set(fasthttp.HeaderContentRange, "bytes */"+strconv.FormatInt(p.size, 10))
	}
	setCommonHeaders(h)
	h.Set(fasthttp.HeaderCacheControl, "no-store")
	ctx.SetBody(body)
}

// clip shortens what a client sent to what fits a message.
func clip[T string | []byte](s T) string {
	const most = 100
	if len(s) <= most {
		return string(s)
	}
	cut := most
	for cut > most-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return string(s[:cut]) + "…"
}
