package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// importState says how far the import of a file has come. It lies beside the file, under its name
// with .firn-import added, and is written before a batch is sent and after it is acknowledged: the
// end of a batch under way is kept, so that going on cuts the same batch and sends it under the same
// key.
type importState struct {
	SHA256  string `json:"sha256"`            // of the file
	Path    string `json:"path"`              // where the records went
	Offset  int64  `json:"offset"`            // acknowledged up to here: bytes of NDJSON, records of Avro
	Pending int64  `json:"pending,omitempty"` // end of the batch under way
	Records int64  `json:"records"`           // acknowledged
	Done    bool   `json:"done"`
}

// imported counts the records of one call.
type imported struct {
	Accepted   int64 `json:"accepted"`   // now
	Duplicates int64 `json:"duplicates"` // in batches that had been accepted before
}

func newImport(s *settings) *cobra.Command {
	var t targetFlags
	var again bool
	c := &cobra.Command{
		Use:   "import FILE…",
		Short: "Load NDJSON (.gz, .zst) and Avro files, resumable",
		Long: "Load whole files. How far each has come is kept beside it in FILE.firn-import, by the file's SHA-256,\n" +
			"so an import that was cut off goes on where it stopped, and a file that is done is not loaded twice.",
		RunE: func(c *cobra.Command, files []string) error {
			if len(files) == 0 {
				return usagef("import needs files")
			}
			path, err := t.path()
			if err != nil {
				return err
			}
			return s.with(c.Context(), func(cl *client) error {
				p := newProgress("import", totalSize(files))
				defer p.finish()
				var total imported
				for _, file := range files {
					n, err := importFile(c.Context(), cl, &t, path, file, again, p)
					total.Accepted += n.Accepted
					total.Duplicates += n.Duplicates
					if err != nil {
						return fmt.Errorf("%s: %w; to go on run the same command again", file, err)
					}
				}
				p.finish()
				if total.Duplicates > 0 {
					return s.printResult(total, "%d records imported; %d had been before", total.Accepted, total.Duplicates)
				}
				return s.printResult(total, "%d records imported", total.Accepted)
			})
		},
	}
	t.add(c)
	c.Flags().BoolVar(&again, "again", false, "load files anew that were loaded before: their records will be there twice")
	s.addClient(c.Flags())
	return c
}

func importFile(ctx context.Context, cl *client, t *targetFlags, path, file string, again bool, p *progress) (n imported, err error) {
	if file == "-" {
		return n, errors.New("the standard input cannot be resumed: use firn ingest")
	}
	sum, err := hashFile(file)
	if err != nil {
		return n, err
	}
	stateFile := file + ".firn-import"
	st, err := readImportState(stateFile)
	if err != nil {
		return n, err
	}
	switch {
	case st == nil || again:
		st = &importState{SHA256: sum, Path: path}
	case st.SHA256 != sum:
		return n, fmt.Errorf("%s is of another content; remove it to load the file as a new one", stateFile)
	case st.Path != path:
		return n, fmt.Errorf("%s went to %s before, now it would go to %s; --again loads it anew", file, st.Path, path)
	case st.Done:
		return n, nil
	}
	src, err := openSource(file)
	if err != nil {
		return n, err
	}
	defer func() { err = errors.Join(err, src.close()) }()
	for src.offset < st.Offset {
		if _, err := src.next(); err != nil {
			return n, fmt.Errorf("going on at %d: %w", st.Offset, err)
		}
	}
	run := ""
	if again {
		run = fmt.Sprintf("again-%d-", os.Getpid())
	}
	var b batch
	var seen int64
	for !b.done {
		if err := src.cut(&b, t.records, t.bytes, st.Pending); err != nil {
			return n, err
		}
		if b.records > 0 {
			st.Pending = b.to
			if err := st.write(stateFile); err != nil {
				return n, err
			}
			a, err := cl.send(ctx, path, fmt.Sprintf("import-%s%s-%d", run, sum, b.from), b.body)
			if err != nil {
				return n, fmt.Errorf("batch behind record %d: %w", st.Records, err)
			}
			if a.Duplicate {
				n.Duplicates += int64(a.Accepted)
			} else {
				n.Accepted += int64(a.Accepted)
			}
			st.Records += int64(a.Accepted)
		}
		st.Offset, st.Pending, st.Done = b.to, 0, b.done
		if err := st.write(stateFile); err != nil {
			return n, err
		}
		p.add(src.read.n-seen, int64(b.records))
		seen = src.read.n
	}
	return n, nil
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func readImportState(path string) (*importState, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	st := new(importState)
	if err := json.Unmarshal(b, st); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return st, nil
}

// write replaces the state in one step.
func (st *importState) write(path string) error {
	b, err := json.Marshal(st)
	if err != nil {
		return err
	}
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
