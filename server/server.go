package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sync/semaphore"
)

// Limits of connections. They bound what a client can hold without doing anything useful.
const (
	maxConnections  = 4096
	headerBytes     = 16 << 10 // a request line with its headers; a dataset name is 1.5 KiB when encoded
	headerTime      = 30 * time.Second
	idleTime        = 90 * time.Second
	writeTime       = 30 * time.Second // without progress
	slowestUpload   = 64 << 10         // bytes a second; a body gets headerTime and what this rate needs
	afterBreakGrace = 5 * time.Second  // for handlers to notice that Shutdown broke their connection
)

// Server answers HTTP requests from a database. Its methods are safe for concurrent use.
type Server struct {
	db       database // nil until attached is set
	attached atomic.Bool
	o        Options
	log      *slog.Logger
	guard    guard
	http     *fasthttp.Server
	conns    connections
	room     *semaphore.Weighted // bytes of bodies that may be held

	// base is the context of every engine call: it ends when Shutdown stops waiting, not when a
	// shutdown begins, because requests under way are to be finished.
	base   context.Context
	cancel context.CancelFunc
}

func newServer(db database, o Options) (*Server, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	s := &Server{o: o, log: o.Logger, guard: newGuard(o)}
	if db != nil {
		s.attach(db)
	}
	s.room = semaphore.NewWeighted(bodiesRoom * int64(o.MaxBodyBytes+1))
	s.base, s.cancel = context.WithCancel(context.Background())
	s.http = &fasthttp.Server{
		Name:                         "firn",
		Handler:                      s.Handler(),
		ErrorHandler:                 s.badRequest,
		HeaderReceived:               s.bodyDeadline,
		Logger:                       connectionLog{s.log},
		Concurrency:                  maxConnections,
		ReadBufferSize:               headerBytes,
		ReadTimeout:                  headerTime,
		WriteTimeout:                 writeTime,
		IdleTimeout:                  idleTime,
		StreamRequestBody:            true, // so that refusals need no body and bodies no second copy
		CloseOnShutdown:              true,
		DisablePreParseMultipartForm: true,
		SecureErrorLogMessage:        true,
		NoDefaultContentType:         true,
	}
	return s, nil
}

// Serve answers requests from ln until Shutdown, then returns nil; after Shutdown it does so at
// once. It closes ln. It may be called for several listeners.
func (s *Server) Serve(ln net.Listener) error {
	l, ok := s.conns.listen(ln)
	if !ok {
		return ln.Close()
	}
	return s.http.Serve(l)
}

// Shutdown stops listening, waits for the requests under way, at most for Options.ShutdownGrace
// or until ctx ends, and breaks the connections that are left. It returns nil when every request
// was finished. No request calls the database after it returned, so the caller closes that next.
func (s *Server) Shutdown(ctx context.Context) error {
	gone := s.conns.stop()
	grace, stop := context.WithTimeout(ctx, s.o.ShutdownGrace)
	defer stop()
	err := s.finish(grace, gone)
	s.cancel()
	if grace.Err() == nil {
		return err
	}
	s.conns.breakAll()
	last, stopLast := context.WithTimeout(context.WithoutCancel(ctx), afterBreakGrace)
	defer stopLast()
	if again := s.finish(last, gone); again != nil {
		return fmt.Errorf("server: requests still under way after their connections were closed: %w", again)
	}
	return fmt.Errorf("server: connections with requests under way were closed: %w", grace.Err())
}

// finish waits for requests and connections to end.
func (s *Server) finish(ctx context.Context, gone <-chan struct{}) error {
	if err := s.http.ShutdownWithContext(ctx); err != nil {
		return err
	}
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Handler answers one request. It is what Serve calls, for tests and for embedding.
func (s *Server) Handler() fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		defer func() {
			if r := recover(); r != nil {
				s.log.Error("request panicked", "method", string(ctx.Method()), "panic", r, "stack", string(debug.Stack()))
				refuse(codeInternal, "unexpected failure; the server's log has more").write(ctx)
				ctx.SetConnectionClose()
			}
		}()
		if err := s.serve(ctx); err != nil {
			if ctx.Request.IsBodyStream() {
				lingerOn(ctx)
			}
			p := problemOf(err)
			if p.status >= 500 {
				level := slog.LevelWarn
				if p.retry > 0 || p.code == codeHTTPVersion {
					level = slog.LevelDebug // passes by itself, or is the client's own doing
				}
				s.log.Log(s.base, level, "request failed", "method", string(ctx.Method()), "path", string(rawPath(ctx)), "code", p.name, "error", err)
			}
			p.write(ctx)
		}
	}
}

func (s *Server) serve(ctx *fasthttp.RequestCtx) error {
	setCommonHeaders(&ctx.Response.Header)
	if err := s.guard.check(ctx); err != nil {
		return err
	}
	if !s.attached.Load() {
		return s.starting(ctx)
	}
	return s.route(ctx)
}

func setCommonHeaders(h *fasthttp.ResponseHeader) {
	h.Set("X-Content-Type-Options", "nosniff")
}

// badRequest answers requests that never became one.
func (s *Server) badRequest(ctx *fasthttp.RequestCtx, err error) {
	var small *fasthttp.ErrSmallBuffer
	var ne net.Error
	var p *problem
	switch {
	case errors.As(err, &small):
		p = refuse(codeHeaderTooLarge, "request line and headers are larger than %d bytes", headerBytes)
	case errors.As(err, &ne) && ne.Timeout():
		p = refuse(codeTimeout, "the request did not arrive in time")
	default:
		p = refuse(codeBadRequest, "not an HTTP request")
	}
	lingerOn(ctx)
	p.write(ctx)
}

// bodyDeadline gives a request the time its body needs at the slowest rate accepted, so that
// large batches over slow lines arrive and connections that dribble end.
func (s *Server) bodyDeadline(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	n := h.ContentLength()
	if n < 0 || n > s.o.MaxBodyBytes {
		n = s.o.MaxBodyBytes
	}
	return fasthttp.RequestConfig{ReadTimeout: headerTime + time.Duration(n)*time.Second/slowestUpload}
}

// connectionLog passes on what fasthttp says of broken connections, which is of use only when
// somebody looks for it.
type connectionLog struct{ log *slog.Logger }

func (l connectionLog) Printf(format string, args ...any) {
	l.log.Debug(fmt.Sprintf(format, args...))
}
