package server

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/firndb/firn/engine"
)

// calls are the methods of *engine.DB that handlers use as they are. They keep that type's
// contract.
type calls interface {
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

// database is what the handlers ask of an engine.
type database interface {
	calls
	Query(ctx context.Context, q engine.Query) (rows, error)
}

// source is a database whose rows have a type of their own, as *engine.DB has.
type source[R rows] interface {
	calls
	Query(ctx context.Context, q engine.Query) (R, error)
}

// typed makes a source a database.
type typed[R rows] struct{ source[R] }

func (t typed[R]) Query(ctx context.Context, q engine.Query) (rows, error) {
	r, err := t.source.Query(ctx, q)
	if err != nil {
		return nil, err // not a nil *engine.Rows in an interface that is not nil
	}
	return r, nil
}

// New makes a server for db, which is an *engine.DB, stays the caller's and must outlive it. It
// neither listens nor starts anything.
func New[R rows](db source[R], o Options) (*Server, error) { return newServer(typed[R]{db}, o) }

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
