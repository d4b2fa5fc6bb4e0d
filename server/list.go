package server

import (
	"encoding/json"
	"iter"

	"github.com/valyala/fasthttp"
)

// listContent is a JSON object with one array in it, made row by row: {"files":[…]}.
type listContent[T any] struct {
	name string
	next func() (T, error, bool)
	stop func()
	rows int
}

// sendList makes the rows of seq the answer. It runs as the answer is sent.
func sendList[T any](s *Server, ctx *fasthttp.RequestCtx, name string, seq iter.Seq2[T, error]) error {
	h := &ctx.Response.Header
	h.SetContentType(typeJSON)
	h.Set(fasthttp.HeaderCacheControl, "no-store")
	next, stop := iter.Pull2(seq)
	return s.send(ctx, &listContent[T]{name: name, next: next, stop: stop})
}

func (l *listContent[T]) fill(dst []byte) ([]byte, bool, error) {
	if l.rows == 0 {
		dst = append(dst, `{"`...)
		dst = append(dst, l.name...)
		dst = append(dst, `":[`...)
	}
	for start := len(dst); len(dst)-start < chunkBytes; {
		row, err, ok := l.next()
		if err != nil {
			return dst, false, err
		}
		if !ok {
			return append(dst, "]}\n"...), false, nil
		}
		if l.rows > 0 {
			dst = append(dst, ',')
		}
		l.rows++
		text, err := json.Marshal(row)
		if err != nil {
			return dst, false, err
		}
		dst = append(dst, text...)
	}
	return dst, true, nil
}

func (l *listContent[T]) finish(*fasthttp.ResponseHeader) {}

func (l *listContent[T]) close() { l.stop() }
