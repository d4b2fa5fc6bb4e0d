package hot

import (
	"bytes"
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

// A page of an unknown kind makes bbolt panic. Wherever that happens, the file is
// not left locked: with the page mended it opens again.
func TestDamagedPageLeavesNoLock(t *testing.T) {
	m := newModel(t, 38)
	o := testOptions()
	o.Check = false
	g := newGeneration(t, o)
	if err := g.Apply(m.memory(20, 8), nil, 1); err != nil {
		t.Fatal(err)
	}
	pages := int(g.Bytes() / pageSize)
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(g.Path())
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for page := range pages {
		at := page*pageSize + 8 // the page's kind
		if err := writeAt(g.Path(), at, file[at]^0x80); err != nil {
			t.Fatal(err)
		}
		bad, err := OpenGeneration(g.Path(), o)
		if err == nil {
			_ = bad.Close()
		} else {
			refused++
		}
		if err := os.WriteFile(g.Path(), file, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := openAndWalk(g.Path(), o)
		if err != nil {
			t.Fatalf("after page %d was mended: %v", page, err)
		}
		sameWalk(t, got, m.wantWalk(m.seq))
	}
	if refused == 0 {
		t.Error("no page is needed for opening: the test proves nothing")
	}
}

// A page that leads back makes the keys come round again. Reading must end.
func TestPageThatLeadsBack(t *testing.T) {
	m := newModel(t, 39)
	o := testOptions()
	o.Check = false
	g := newGeneration(t, o)
	if err := g.Apply(m.memory(200, 8), nil, 1); err != nil {
		t.Fatal(err)
	}
	pages := int(g.Bytes() / pageSize)
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(g.Path())
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for page := 2; page < pages; page++ {
		// Header of 16 bytes: id, kind (1 is a branch), count. Then a branch's
		// elements of 16 bytes each, the last 8 the number of the page below.
		p := file[page*pageSize:]
		if p[8] != 1 || p[9] != 0 || p[10] < 3 {
			continue
		}
		bad := bytes.Clone(file)
		copy(bad[page*pageSize+16+2*16+8:], p[16+8:16+16])
		if err := os.WriteFile(g.Path(), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := openAndWalk(g.Path(), o)
		var damage *CorruptError
		if errors.As(err, &damage) && damage.Reason == "keys are out of order" {
			found++
		}
	}
	if found == 0 {
		t.Error("no inner page that led back was found out by the order of keys")
	}
}
