package server

import (
	"encoding/json"
	"strconv"

	"github.com/firndb/firn/blockfile/jsonscan"
	"github.com/firndb/firn/engine"
	"github.com/valyala/fasthttp"
)

// tables is GET /v1/tables.
func (s *Server) tables(ctx *fasthttp.RequestCtx, _ []string) error {
	if err := noParams(ctx); err != nil {
		return err
	}
	tables, err := s.db.Tables(s.base)
	if err != nil {
		return err
	}
	return answer(ctx, struct {
		Tables []engine.TableInfo `json:"tables"`
	}{list(tables)})
}

// table is GET /v1/tables/{t}.
func (s *Server) table(ctx *fasthttp.RequestCtx, seg []string) error {
	if err := noParams(ctx); err != nil {
		return err
	}
	t, err := s.db.Table(s.base, seg[2])
	if err != nil {
		return err
	}
	return answer(ctx, t)
}

// maxSettings bounds the body of a settings change.
const maxSettings = 64 << 10

// setTable is PUT /v1/tables/{t}. Members that are left out stay as they are.
func (s *Server) setTable(ctx *fasthttp.RequestCtx, seg []string) error {
	if err := noParams(ctx); err != nil {
		return err
	}
	// A page of another site cannot send this type without asking first.
	if _, err := contentType(ctx, typeJSON); err != nil {
		return err
	}
	u, body, err := s.unpack(ctx, min(maxSettings, s.o.MaxBodyBytes))
	defer u.release()
	if err != nil {
		return err
	}
	settings, err := parseSettings(body)
	if err != nil {
		return err
	}
	t, err := s.db.SetTable(s.base, seg[2], settings)
	if err != nil {
		return err
	}
	return answer(ctx, t)
}

// parseSettings reads {"codec":…, "partition":…, "time_field":…}, each a string, none required.
func parseSettings(b []byte) (engine.TableSettings, error) {
	var t engine.TableSettings
	w := walker{jsonscan.NewScanner(jsonscan.Options{})}
	i := jsonscan.SkipSpace(b, 0)
	if i >= len(b) || b[i] != '{' {
		return t, refuse(codeInvalidBody, "the body is not a JSON object")
	}
	if err := w.valid(b, 0, len(b), ""); err != nil {
		return t, err // also refuses a key that is given twice
	}
	_, err := w.members(b, i, "", func(key []byte, i int) (int, error) {
		for name, dst := range map[string]*string{
			"codec": &t.Codec, "partition": &t.Partition, "time_field": &t.TimeField,
		} {
			if jsonscan.EqualString(key, name) {
				text, end, err := w.text(b, i, name)
				if err == nil && text == "" {
					err = refuse(codeInvalidBody, "%s is empty", name)
				}
				*dst = text
				return end, err
			}
		}
		return 0, refuse(codeInvalidBody, "unknown member %s", clip(key))
	})
	return t, err
}

// schemaRow is one version of a schema in an answer.
type schemaAnswer struct {
	Table    string                 `json:"table"`
	Version  uint64                 `json:"version"` // 0 before the first archive
	Schema   json.RawMessage        `json:"schema"`  // null before the first archive
	Versions []engine.SchemaVersion `json:"versions"`
}

// schema is GET /v1/tables/{t}/schema: the newest version, or the one asked for.
func (s *Server) schema(ctx *fasthttp.RequestCtx, seg []string) error {
	p, err := parseParams(ctx)
	if err != nil {
		return err
	}
	text, hasVersion := p.take("version")
	if err := p.rest(); err != nil {
		return err
	}
	var version uint64
	if hasVersion {
		if version, err = strconv.ParseUint(text, 10, 64); err != nil || version == 0 {
			return refuse(codeBadRequest, "parameter \"version\" is %q, must be a whole number from 1", clip(text))
		}
	}
	versions, err := s.db.Schemas(s.base, seg[2])
	if err != nil {
		return err
	}
	a := schemaAnswer{Table: seg[2], Schema: json.RawMessage("null"), Versions: list(versions)}
	found := !hasVersion
	for _, v := range versions { // oldest first, so without a version the last one stays
		if !hasVersion || v.Version == version {
			a.Version, a.Schema, found = v.Version, v.Text, true
		}
	}
	if !found {
		return refuse(codeNotFound, "table %q has no schema version %d", clip(seg[2]), version)
	}
	return answer(ctx, a)
}

// datasets is GET /v1/datasets?table=.
func (s *Server) datasets(ctx *fasthttp.RequestCtx, _ []string) error {
	p, err := parseParams(ctx)
	if err != nil {
		return err
	}
	table, ok, err := p.table()
	if err != nil {
		return err
	}
	if err := p.rest(); err != nil {
		return err
	}
	if !ok {
		return refuse(codeBadRequest, "parameter table is missing")
	}
	return sendList(s, ctx, "datasets", s.db.Datasets(s.base, table))
}
