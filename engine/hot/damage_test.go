package hot

import (
	"errors"
	"os"
	"testing"
)

// damagedFile changes bytes of the file one after the other, reads it whole and
// compares. A walk that ends without error must have given everything.
func damagedFile(t *testing.T, m *model, path string, o GenerationOptions) {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := m.wantWalk(m.seq)
	good, found := 0, 0
	for range 400 {
		// Mostly in the first bytes of a page, where bbolt keeps what it trusts.
		at := m.rng.IntN(int(min(int64(len(file)), 400<<10))) / pageSize * pageSize
		if m.rng.IntN(4) == 0 {
			at += m.rng.IntN(pageSize)
		} else {
			at += m.rng.IntN(96)
		}
		bad := file[at]
		change := byte(1 << m.rng.IntN(8))
		err := writeAt(path, at, bad^change)
		if err != nil {
			t.Fatal(err)
		}
		got, err := openAndWalk(path, o)
		if errors.Is(err, ErrLocked) {
			t.Fatalf("a handle stayed open after the change before, at %d", at)
		}
		if err == nil {
			sameWalk(t, got, want)
			good++
		} else {
			found++
		}
		// Opening may have written; start over from the good file.
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d changes did no harm, %d were found", good, found)
	if good == 0 || found == 0 {
		t.Error("the changes were all of one kind: the test proves little")
	}
}

func writeAt(path string, at int, b byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte{b}, int64(at))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func openAndWalk(path string, o GenerationOptions) ([]walked, error) {
	g, err := OpenGeneration(path, o)
	if err != nil {
		return nil, err
	}
	defer func() { _ = g.Close() }()
	tx, err := g.Begin()
	if err != nil {
		return nil, err
	}
	defer tx.Close()
	return walkAll(tx)
}
