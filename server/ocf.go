package server

import (
	"context"
	"fmt"
)

// ocfContent is a read as an Avro Object Container File. The engine writes that file where all
// other answers are asked for piece by piece, so the writing has a goroutine of its own, at most
// one piece ahead of the client. close ends it and waits.
type ocfContent struct {
	rowsContent
	pieces chan []byte   // lent to fill, one at a time
	back   chan struct{} // fill is done with the piece
	cancel context.CancelFunc
	ctx    context.Context
	err    error // of the writing, once pieces is closed
}

func newOCFContent(ctx context.Context, rc rowsContent) *ocfContent {
	c := &ocfContent{rowsContent: rc, pieces: make(chan []byte), back: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(ctx)
	go func() {
		defer close(c.pieces)
		w := pieceWriter{c: c, buf: takeBuffer()}
		defer func() { giveBuffer(w.buf) }()
		c.err = func() (err error) {
			defer func() {
				if r := recover(); r != nil {
					err = fmt.Errorf("server: panic while an answer was made: %v", r)
				}
			}()
			if err := rc.rows.WriteOCF(c.ctx, &w); err != nil {
				return err
			}
			return w.flush()
		}()
	}()
	return c
}

func (c *ocfContent) fill(dst []byte) ([]byte, bool, error) {
	for start := len(dst); len(dst)-start < chunkBytes; {
		piece, ok := <-c.pieces
		if !ok {
			return dst, false, c.err
		}
		dst = append(dst, piece...)
		c.back <- struct{}{}
	}
	return dst, true, nil
}

func (c *ocfContent) close() {
	c.cancel()
	for range c.pieces { // until the goroutine has ended
		c.back <- struct{}{}
	}
	c.rowsContent.close()
}

// pieceWriter collects what the engine writes into pieces.
type pieceWriter struct {
	c   *ocfContent
	buf []byte
}

func (w *pieceWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), chunkBytes-len(w.buf))
		w.buf = append(w.buf, rest[:n]...)
		rest = rest[n:]
		if len(w.buf) == chunkBytes {
			if err := w.flush(); err != nil {
				return len(p) - len(rest), err
			}
		}
	}
	return len(p), nil
}

func (w *pieceWriter) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	select {
	case w.c.pieces <- w.buf:
		<-w.c.back
	case <-w.c.ctx.Done():
		return w.c.ctx.Err()
	}
	w.buf = w.buf[:0]
	return nil
}
