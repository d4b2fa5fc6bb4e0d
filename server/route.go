package server

import (
	"bytes"
	"strings"

	"github.com/valyala/fasthttp"
)

// handler answers one route. seg are the decoded segments of the path.
type handler func(s *Server, ctx *fasthttp.RequestCtx, seg []string) error

// methods are the handlers of one path; nil where the method is not allowed. HEAD goes where
// GET does.
type methods struct{ get, post, put handler }

// maxSegments is more than any route has.
const maxSegments = 8

// route finds the handler by the segments of the path as it was sent, each decoded once. What
// a segment holds after that is a name: "." and ".." move nowhere and an encoded "/" separates
// nothing.
func (s *Server) route(ctx *fasthttp.RequestCtx) error {
	var buf [maxSegments]string
	seg, err := segments(rawPath(ctx), buf[:0])
	if err != nil {
		return err
	}
	m, ok := find(seg)
	if !ok {
		return refuse(codeNotFound, "no such route")
	}
	var h handler
	switch {
	case ctx.IsGet(), ctx.IsHead():
		h = m.get
	case ctx.IsPost():
		h = m.post
	case ctx.IsPut():
		h = m.put
	}
	if h == nil {
		p := refuse(codeMethod, "%s is not one of the methods of this route", clip(ctx.Method()))
		p.allow = m.allow()
		return p
	}
	return h(s, ctx, seg)
}

func (m methods) allow() string {
	var list []string
	if m.get != nil {
		list = append(list, "GET", "HEAD")
	}
	if m.post != nil {
		list = append(list, "POST")
	}
	if m.put != nil {
		list = append(list, "PUT")
	}
	return strings.Join(list, ", ")
}

// find gives the handlers of a path.
func find(seg []string) (methods, bool) {
	if len(seg) == 1 {
		switch seg[0] {
		case "healthz":
			return methods{get: (*Server).healthz}, true
		case "readyz":
			return methods{get: (*Server).readyz}, true
		}
	}
	if len(seg) < 2 || seg[0] != "v1" {
		return methods{}, false
	}
	var m methods
	switch name, n := seg[1], len(seg); {
	case n == 2 && name == "ingest":
		m.post = (*Server).ingest
	case n == 2 && name == "read":
		m.get = (*Server).read
	case n == 2 && name == "explain":
		m.get = (*Server).explain
	case n == 2 && name == "archive":
		m.post = (*Server).archive
	case n == 2 && name == "tables":
		m.get = (*Server).tables
	case n == 3 && name == "tables":
		m.get, m.put = (*Server).table, (*Server).setTable
	case n == 4 && name == "tables" && seg[3] == "schema":
		m.get = (*Server).schema
	case n == 2 && name == "datasets":
		m.get = (*Server).datasets
	case n == 2 && name == "files":
		m.get = (*Server).files
	case n > 2 && name == "files":
		m.get = (*Server).file
	case n == 3 && name == "stats" && seg[2] == "hot-cold":
		m.get = (*Server).hotCold
	case n == 3 && name == "stats" && seg[2] == "archive":
		m.get = (*Server).ratios
	case n == 3 && name == "stats" && seg[2] == "stale":
		m.get = (*Server).stale
	default:
		return methods{}, false
	}
	return m, true
}

// rawPath is the path as it was sent, not decoded and not cleaned.
func rawPath(ctx *fasthttp.RequestCtx) []byte {
	path, _, _ := bytes.Cut(target(ctx), []byte("?"))
	return path
}

// target is the request target from the path on, also where a proxy sent it in absolute form.
func target(ctx *fasthttp.RequestCtx) []byte {
	t := ctx.Request.Header.RequestURI()
	if len(t) > 0 && t[0] != '/' {
		if _, rest, ok := bytes.Cut(t, []byte("://")); ok {
			if i := bytes.IndexAny(rest, "/?"); i >= 0 {
				return rest[i:]
			}
			return []byte("/")
		}
	}
	return t
}

// segments appends the decoded segments of path to dst.
func segments(path []byte, dst []string) ([]string, error) {
	if len(path) == 0 || path[0] != '/' {
		return nil, refuse(codeBadRequest, "the request target is no path")
	}
	if bytes.IndexByte(path, '#') >= 0 {
		return nil, refuse(codeBadRequest, "the request target has a fragment")
	}
	for rest, more := path[1:], true; more; {
		var raw []byte
		raw, rest, more = bytes.Cut(rest, []byte("/"))
		if len(dst) == maxSegments {
			return nil, refuse(codeNotFound, "no such route")
		}
		s, ok := unescape(raw, false)
		if !ok {
			return nil, refuse(codeBadRequest, "the path has a %% that is not followed by two hexadecimal digits")
		}
		dst = append(dst, s)
	}
	return dst, nil
}

// unescape undoes percent-encoding, once. In a query a plus sign is a space.
func unescape(raw []byte, query bool) (string, bool) {
	if bytes.IndexByte(raw, '%') < 0 && (!query || bytes.IndexByte(raw, '+') < 0) {
		return string(raw), true
	}
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '%':
			if i+2 >= len(raw) || hexDigit(raw[i+1]) < 0 || hexDigit(raw[i+2]) < 0 {
				return "", false
			}
			out = append(out, byte(hexDigit(raw[i+1])<<4|hexDigit(raw[i+2])))
			i += 2
		case c == '+' && query:
			out = append(out, ' ')
		default:
			out = append(out, c)
		}
	}
	return string(out), true
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
