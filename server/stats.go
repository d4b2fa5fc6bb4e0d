package server

import (
	"time"

	"github.com/firndb/firn/engine"
	"github.com/valyala/fasthttp"
)

// hotCold is GET /v1/stats/hot-cold.
func (s *Server) hotCold(ctx *fasthttp.RequestCtx, _ []string) error {
	if err := noParams(ctx); err != nil {
		return err
	}
	return sendList(s, ctx, "rows", s.db.HotCold(s.base))
}

// ratios is GET /v1/stats/archive: block files by how much smaller they are than their JSON.
func (s *Server) ratios(ctx *fasthttp.RequestCtx, _ []string) error {
	if err := noParams(ctx); err != nil {
		return err
	}
	files, err := s.db.FilesByRatio(s.base)
	if err != nil {
		return err
	}
	return sendList(s, ctx, "rows", func(yield func(engine.FileInfo, error) bool) {
		for _, f := range files {
			if !yield(f, nil) {
				return
			}
		}
	})
}

// defaultStale is when a record should have been archived: twice the interval of the default
// schedule.
const defaultStale = 2 * time.Hour

// stale is GET /v1/stats/stale?older_than=.
func (s *Server) stale(ctx *fasthttp.RequestCtx, _ []string) error {
	p, err := parseParams(ctx)
	if err != nil {
		return err
	}
	olderThan, err := p.duration("older_than", defaultStale)
	if err != nil {
		return err
	}
	if err := p.rest(); err != nil {
		return err
	}
	count, rows, err := s.db.Stale(s.base, olderThan)
	if err != nil {
		return err
	}
	return answer(ctx, struct {
		Count uint64            `json:"count"`
		Rows  []engine.StaleRow `json:"rows"`
	}{count, list(rows)})
}

// archive is POST /v1/archive. It answers when what was acknowledged before the call is cold.
func (s *Server) archive(ctx *fasthttp.RequestCtx, _ []string) error {
	if err := noParams(ctx); err != nil {
		return err
	}
	u, body, err := s.unpack(ctx, 1<<10)
	defer u.release()
	if err != nil {
		return err
	}
	if len(body) > 0 {
		return refuse(codeBadRequest, "this call takes no body")
	}
	r, err := s.db.Archive(s.base)
	if err != nil {
		return err
	}
	return answer(ctx, struct {
		Records  uint64 `json:"records"`
		Files    int    `json:"files"`
		Raw      int64  `json:"raw_bytes"`
		File     int64  `json:"file_bytes"`
		Duration int64  `json:"duration_ms"`
	}{r.Records, r.Files, r.RawBytes, r.Bytes, r.Duration.Milliseconds()})
}
