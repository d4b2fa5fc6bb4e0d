package server

import (
	"bytes"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/firndb/firn/blockfile/jsonscan"
	"github.com/valyala/fasthttp"
)

// maxParams is more than any route has.
const maxParams = 16

// params are the query parameters of a request. A handler takes what it knows; rest then refuses
// what nobody took. A parameter that is given twice or cannot be decoded never gets here.
type params struct {
	list []param
}

type param struct {
	name, value string
	taken       bool
}

func parseParams(ctx *fasthttp.RequestCtx) (*params, error) {
	_, query, _ := bytes.Cut(target(ctx), []byte("?"))
	p := new(params)
	if len(query) == 0 {
		return p, nil
	}
	for more := true; more; {
		var pair []byte
		pair, query, more = bytes.Cut(query, []byte("&"))
		rawName, rawValue, ok := bytes.Cut(pair, []byte("="))
		if !ok || len(rawName) == 0 {
			return nil, refuse(codeBadRequest, "parameter %q is not name=value", clip(pair))
		}
		name, okName := unescape(rawName, true)
		value, okValue := unescape(rawValue, true)
		if !okName || !okValue || !utf8.ValidString(name) || !utf8.ValidString(value) {
			return nil, refuse(codeBadRequest, "parameter %q is not percent-encoded UTF-8", clip(pair))
		}
		if _, twice := p.find(name); twice {
			return nil, refuse(codeBadRequest, "parameter %q is given twice", clip(name))
		}
		if len(p.list) == maxParams {
			return nil, refuse(codeBadRequest, "more than %d parameters", maxParams)
		}
		p.list = append(p.list, param{name: name, value: value})
	}
	return p, nil
}

func (p *params) find(name string) (*param, bool) {
	for i := range p.list {
		if p.list[i].name == name {
			return &p.list[i], true
		}
	}
	return nil, false
}

// take gives the value of a parameter and whether it is there.
func (p *params) take(name string) (string, bool) {
	if q, ok := p.find(name); ok {
		q.taken = true
		return q.value, true
	}
	return "", false
}

// table takes the parameter that has two names.
func (p *params) table() (string, bool, error) {
	a, okA := p.take("table_name")
	b, okB := p.take("table")
	if okA && okB {
		return "", false, refuse(codeBadRequest, `parameters "table" and "table_name" are the same; give one`)
	}
	return a + b, okA || okB, nil
}

// oneOf takes a parameter that must have one of the values listed. Absent, it is empty.
func (p *params) oneOf(name string, values ...string) (string, error) {
	v, ok := p.take(name)
	if !ok {
		return "", nil
	}
	for _, want := range values {
		if v == want {
			return v, nil
		}
	}
	return "", refuse(codeBadRequest, "parameter %q is %q, must be one of: %s", name, clip(v), strings.Join(values, ", "))
}

// count takes a whole number of at least 1. Absent, it is zero.
func (p *params) count(name string) (int, error) {
	v, ok := p.take(name)
	if !ok {
		return 0, nil
	}
	n, err := strconv.ParseUint(v, 10, 31)
	if err != nil || n == 0 || v[0] == '+' {
		return 0, refuse(codeBadRequest, "parameter %q is %q, must be a whole number from 1 to %d", name, clip(v), 1<<31-1)
	}
	return int(n), nil
}

// time takes a moment, in milliseconds since 1970 or as RFC 3339 writes it.
func (p *params) time(name string, absent int64) (ms int64, given bool, err error) {
	v, ok := p.take(name)
	if !ok {
		return absent, false, nil
	}
	ms, err = jsonscan.ParseTimeText(v)
	if err != nil {
		return 0, false, refuse(codeBadRequest, "parameter %q is %q: %s", name, clip(v), err)
	}
	return ms, true, nil
}

// duration takes a span of time such as 90m, 2h or 1h30m, or whole days: 7d.
func (p *params) duration(name string, absent time.Duration) (time.Duration, error) {
	v, ok := p.take(name)
	if !ok {
		return absent, nil
	}
	d, err := parseDuration(v)
	if err != nil {
		return 0, refuse(codeBadRequest, "parameter %q is %q, must be a span of time such as 30s, 90m, 2h or 7d", name, clip(v))
	}
	return d, nil
}

// maxDays keeps a number of days far from what a time.Duration cannot hold (106,751).
const maxDays = 36500

func parseDuration(v string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(v, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil || n > maxDays {
			return 0, strconv.ErrRange
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(v)
	if err == nil && (d < 0 || v == "0" || v[0] == '+' || v[0] == '-') {
		err = strconv.ErrSyntax
	}
	return d, err
}

// rest refuses what no handler took. Call it when every parameter is taken.
func (p *params) rest() error {
	for _, q := range p.list {
		if !q.taken {
			return refuse(codeBadRequest, "unknown parameter %q", clip(q.name))
		}
	}
	return nil
}

// noParams is for routes without any.
func noParams(ctx *fasthttp.RequestCtx) error {
	p, err := parseParams(ctx)
	if err != nil {
		return err
	}
	return p.rest()
}
