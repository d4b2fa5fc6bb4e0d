package server

import (
	"encoding/json"

	"github.com/valyala/fasthttp"
)

// healthz says that the process answers, and nothing more.
func (s *Server) healthz(ctx *fasthttp.RequestCtx, _ []string) error {
	return answer(ctx, struct {
		Status string `json:"status"`
	}{"ok"})
}

// readyz says whether records can be accepted. It is no problem answer when they cannot: load
// balancers and people both read it.
func (s *Server) readyz(ctx *fasthttp.RequestCtx, _ []string) error {
	r := s.db.Ready()
	if !r.Ready {
		return notReady(ctx, r.Reasons)
	}
	return answer(ctx, struct {
		Ready    bool     `json:"ready"`
		Degraded []string `json:"degraded"`
	}{true, list(r.Degraded)})
}

// answer makes v, as JSON, the answer. For what fits in memory without thinking about it.
func answer(ctx *fasthttp.RequestCtx, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	h := &ctx.Response.Header
	h.SetContentType("application/json")
	h.Set(fasthttp.HeaderCacheControl, "no-store")
	ctx.SetBody(append(body, '\n'))
	return nil
}

// list makes an absent list an empty one, so that JSON has [] where a list belongs.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

func notReady(ctx *fasthttp.RequestCtx, reasons []string) error {
	err := answer(ctx, struct {
		Ready   bool     `json:"ready"`
		Reasons []string `json:"reasons"`
	}{false, list(reasons)})
	if err == nil {
		ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
	}
	return err
}

// starting answers while the database is being opened.
func (s *Server) starting(ctx *fasthttp.RequestCtx) error {
	const reason = "starting: the log is being replayed"
	switch string(rawPath(ctx)) {
	case "/healthz":
		return s.healthz(ctx, nil)
	case "/readyz":
		return notReady(ctx, []string{reason})
	}
	return refuse(codeStarting, reason)
}
