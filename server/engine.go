package server

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/firndb/firn/engine"
)

// database is what the handlers ask of an engine. Its methods are those of *engine.DB and keep
// that type's contract; only the type of rows differs, so that tests can bring rows of their own.
type database interface {
	Query(ctx context.Context, q engine.Query) (rows, error)
	IngestAll(ctx context.Context, r engine.Request) (engine.Ack, error)
	Explain(ctx context.Context, q engine.Query) (engine.Plan, error)
	Archive(ctx context.Context) (engine.ArchiveReport, error)
	Tables(ctx context.Context) ([]engine.TableInfo, error)
	Table(ctx context.Context, name string) (engine.TableInfo, error)
	SetTable(ctx context.Context, name string, s engine.TableSettings) (engine.TableInfo, error)
	Schemas(ctx context.Context, table string) ([]engine.SchemaVersion, error)
	Datasets(ctx context.Context, table string) iter.Seq2[engine.DatasetInfo, error]
	HotCold(ctx context.Context) iter.Seq2[engine.DatasetInfo, error]
	Files(ctx context.Context) iter.Seq2[engine.FileInfo, error]
	FilesByRatio(ctx context.Context) ([]engine.FileInfo, error)
	Stale(ctx context.Context, olderThan time.Duration) (uint64, []engine.StaleRow, error)
	File(ctx context.Context, path string) (engine.FileInfo, error)
	ReadFile(ctx context.Context, path string, off int64, p []byte) error
	Ready() engine.Readiness
}

// opened is an open database.
type opened struct{ *engine.DB }

// Query is that of the database, without ever hiding a nil *engine.Rows in an interface.
func (o opened) Query(ctx context.Context, q engine.Query) (rows, error) {
	r, err := o.DB.Query(ctx, q)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// New makes a server for db, which stays the caller's and must outlive it. It neither listens
// nor starts anything. A nil db is one that is still being opened: until Attach brings it, every
// request but /healthz is answered with 503.
func New(db *engine.DB, o Options) (*Server, error) {
	if db == nil {
		return newServer(nil, o)
	}
	return newServer(opened{db}, o)
}

// Attach brings the database to a server that was made without one. Call it once.
func (s *Server) Attach(db *engine.DB) { s.attach(opened{db}) }

func (s *Server) attach(db database) {
	s.db = db
	s.attached.Store(true)
}

// rows is one read under way: the methods of *engine.Rows.
type rows interface {
	Next() bool
	Record() engine.Record
	Err() error
	Close() error
	ETag() string
	Planned() (requests int, bytes int64)
	Spent() (requests int, bytes int64)
	Counts() (hot, cold uint64)
	NextCursor() string
	Missing() []engine.Missing
	WriteOCF(ctx context.Context, w io.Writer) error
}
