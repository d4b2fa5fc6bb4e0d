package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/valyala/fasthttp/fasthttputil"

	"github.com/firndb/firn/engine"
	"github.com/firndb/firn/server"
)

// client speaks HTTP to a daemon, or to a server in this process over a data folder.
type client struct {
	base    string
	http    *http.Client
	stop    func() error
	reached bool // it has answered once
}

// errNoDaemon is a connection that could not be made.
var errNoDaemon = errors.New("no daemon answers")

// connect decides whom to speak to: --data opens the folder here, otherwise the daemon at --addr.
func (s *settings) connect(ctx context.Context) (*client, error) {
	switch {
	case s.given["addr"] && s.given["data"]:
		return nil, usagef("--addr and --data exclude each other: a daemon, or a folder that none runs on")
	case s.given["data"]:
		return s.open(ctx)
	}
	u, err := url.Parse(s.addr)
	if err == nil && u.Scheme == "" || err != nil && !strings.Contains(s.addr, "://") {
		u, err = url.Parse("http://" + s.addr)
	}
	if err != nil || u.Host == "" {
		return nil, usagef("--addr %q is no address of a daemon", s.addr)
	}
	return &client{base: u.Scheme + "://" + u.Host, http: &http.Client{}, stop: func() error { return nil }}, nil
}

// open serves a data folder inside this process, without background work.
func (s *settings) open(ctx context.Context) (*client, error) {
	o, err := s.engineOptions()
	if err != nil {
		return nil, err
	}
	o.Manual = true
	o.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if _, err := os.Stat(s.data); err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	db, err := engine.Open(ctx, s.data, o)
	if errors.Is(err, engine.ErrLocked) {
		return nil, fmt.Errorf("%w; ask that daemon: --addr", err)
	}
	if err != nil {
		return nil, err
	}
	srv, err := server.New(db, s.serverOptions(o.Logger))
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	ln := fasthttputil.NewInmemoryListener()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	transport := &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return ln.Dial() },
	}
	return &client{
		base: "http://localhost", http: &http.Client{Transport: transport},
		stop: func() error {
			transport.CloseIdleConnections()
			err := srv.Shutdown(context.Background())
			return errors.Join(err, <-served, db.Close())
		},
	}, nil
}

// with runs a command against whom the settings name.
func (s *settings) with(ctx context.Context, fn func(*client) error) (err error) {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	return fn(c)
}

// problem is a refusal of the server.
type problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
}

func (p *problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	return fmt.Sprintf("%s (%d %s)", text, p.Status, p.Code)
}

// do sends a request; an answer that is no success becomes a *problem. The caller closes the body.
func (c *client) do(ctx context.Context, method, path string, header http.Header, body []byte) (*http.Response, error) {
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, reader)
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			return nil, fmt.Errorf("%w at %s: start one with firn serve, or name a folder with --data", errNoDaemon, c.base)
		}
		return nil, err
	}
	c.reached = true
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	p := &problem{Status: resp.StatusCode, Title: http.StatusText(resp.StatusCode)}
	if err := json.Unmarshal(b, p); err != nil {
		p.Detail = strings.TrimSpace(string(b))
	}
	return nil, p
}

// get asks for JSON and decodes it.
func (c *client) get(ctx context.Context, path string, into any) error {
	return c.call(ctx, "GET", path, nil, nil, into)
}

func (c *client) call(ctx context.Context, method, path string, header http.Header, body []byte, into any) error {
	resp, err := c.do(ctx, method, path, header, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if raw, ok := into.(*json.RawMessage); ok {
		*raw, err = io.ReadAll(resp.Body)
		return err
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// printRaw copies an answer to the standard output as it is.
func (c *client) printRaw(ctx context.Context, path string) error {
	resp, err := c.do(ctx, "GET", path, nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(os.Stdout, resp.Body)
	return err
}
