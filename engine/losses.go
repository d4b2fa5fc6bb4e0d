package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// lossesName is the file that holds the damage of the log whose loss was accepted by hand. The
// ledger needs it: the records are counted as accepted and will never be archived.
const lossesName = "losses.json"

// LostRange is a range of the log that was damaged, with what was in it.
type LostRange struct {
	File     string `json:"file"`
	Offset   int64  `json:"offset"`
	Bytes    int64  `json:"bytes"`
	Position uint64 `json:"position"` // in the log
	Reason   string `json:"reason"`

	// FirstSeq to LastSeq are the sequence numbers lost, none when LastSeq is below FirstSeq.
	FirstSeq uint64 `json:"first_seq"`
	LastSeq  uint64 `json:"last_seq"`

	// Records are the records lost of each table, counted from the running totals on both sides.
	Records map[string]uint64 `json:"records"`
}

// lossList are the accepted losses, in log order.
type lossList []LostRange

// between counts the records of a table that were lost with sequence numbers above after and up to
// upTo. Every archive run covers a range of its own, so each loss is counted once.
func (l lossList) between(table string, after, upTo uint64) (n uint64) {
	for _, r := range l {
		if r.LastSeq > after && r.LastSeq <= upTo {
			n += r.Records[table]
		}
	}
	return n
}

func readLosses(dir string) (lossList, error) {
	b, err := os.ReadFile(filepath.Join(dir, lossesName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var l lossList
	if err := json.Unmarshal(b, &l); err != nil {
		return nil, &CorruptError{File: lossesName, Offset: -1, Reason: err.Error()}
	}
	return l, nil
}

func (l lossList) write(dir string) error {
	b, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	return writeDurably(filepath.Join(dir, lossesName), append(b, '\n'))
}

// writeDurably replaces a small file: another name, synced, renamed, folder synced.
func writeDurably(path string, b []byte) (err error) {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp))
		}
	}()
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err = os.Rename(tmp, path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// gapFinder follows the frames of a replay and notes the sequence numbers and totals that are
// missing between them: what was in damaged ranges.
type gapFinder struct {
	lastSeq uint64            // of the last frame, or applied before the log begins
	totals  map[string]uint64 // last known of each table
	gaps    []gap
}

type gap struct {
	position uint64 // of the frame behind it
	first    uint64
	last     uint64
	records  map[string]uint64
}

// sequence tells that a frame at a position holds the sequence numbers from first to last.
func (g *gapFinder) sequence(position, first, last uint64) {
	if first > g.lastSeq+1 {
		g.gaps = append(g.gaps, gap{position: position, first: g.lastSeq + 1, last: first - 1, records: make(map[string]uint64)})
	}
	g.lastSeq = max(g.lastSeq, last)
}

// total tells a table's running total and how many records of the frame it counts. What is
// missing is laid to the last gap.
func (g *gapFinder) total(table string, total, counted uint64) {
	if before := g.totals[table]; len(g.gaps) > 0 && total > before+counted {
		g.gaps[len(g.gaps)-1].records[table] += total - before - counted
	}
	g.totals[table] = max(g.totals[table], total)
}

func (g gap) String() string { return fmt.Sprintf("sequence numbers %d to %d", g.first, g.last) }
