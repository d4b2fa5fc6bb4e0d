package catalog

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

var updateGolden = flag.Bool("update", false, "write the golden files anew")

// The rows of a fixed catalog, byte for byte. Files of this format must stay
// readable: the golden rows make a catalog that gives what was written.
func TestGoldenRows(t *testing.T) {
	path, want := filled(t)
	var b strings.Builder
	b.WriteString("# bucket, key, value (checksum first); made by fill in damage_test.go\n")
	for _, row := range dump(t, path) {
		fmt.Fprintf(&b, "%s %x %x\n", row.bucket, row.key, row.value)
	}
	golden := filepath.Join("testdata", "rows-v1.txt")
	if *updateGolden {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(file) != b.String() {
		t.Errorf("rows are written as\n%s\nwant\n%s", b.String(), file)
	}

	old := filepath.Join(t.TempDir(), "old.db")
	db, err := bolt.Open(old, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bolt.Tx) error {
		for _, name := range bucketNames {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		for line := range strings.Lines(string(file)) {
			fields := strings.Fields(line)
			if fields[0] == "#" {
				continue
			}
			key, err := hex.DecodeString(fields[1])
			if err != nil {
				return err
			}
			value, err := hex.DecodeString(fields[2])
			if err != nil {
				return err
			}
			top, table, nested := strings.Cut(fields[0], "/")
			bucket := tx.Bucket([]byte(top))
			if nested {
				if bucket, err = bucket.CreateBucketIfNotExists([]byte(table)); err != nil {
					return err
				}
			}
			if err := bucket.Put(key, value); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	c := open(t, old, Options{})
	s := view(t, c)
	defer s.Close()
	if got, err := everything(s); err != nil || got != want {
		t.Fatalf("the golden rows read as %v\n%s\nwant\n%s", err, got, want)
	}
}

// Files that are no catalog of this format: an error of the right kind, and the
// file stays as it is.
func TestFilesThatAreNoCatalog(t *testing.T) {
	path, _ := filled(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	used := len(bytes.TrimRight(whole, "\x00"))
	change := func(fn func(tx *bolt.Tx) error) []byte {
		other := filepath.Join(t.TempDir(), "other.db")
		if err := os.WriteFile(other, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := bolt.Open(other, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Update(fn); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(other)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	meta := []byte(bucketNames[bktMeta])
	for name, test := range map[string]struct {
		content []byte
		want    error
	}{
		"empty":          {nil, ErrCorrupt},
		"text":           {[]byte("this is no catalog"), ErrCorrupt},
		"zeros":          {make([]byte, 1<<16), ErrCorrupt},
		"first page":     {whole[:4096], ErrCorrupt},
		"two pages":      {whole[:8192], ErrCorrupt},
		"half":           {whole[:used/2], ErrCorrupt},
		"bucket missing": {change(func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte("lists")) }), ErrCorrupt},
		"format missing": {change(func(tx *bolt.Tx) error { return tx.Bucket(meta).Delete(keyFormat) }), ErrCorrupt},
		"state missing":  {change(func(tx *bolt.Tx) error { return tx.Bucket(meta).Delete(keyState) }), ErrCorrupt},
		"later format": {change(func(tx *bolt.Tx) error {
			return tx.Bucket(meta).Put(keyFormat, appendSealed(nil, keyFormat, []byte{formatVersion + 1}))
		}), ErrFormat},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c.db")
			if err := os.WriteFile(path, test.content, 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the first attempt lets go of the file
				c, err := Open(path, Options{})
				if err == nil {
					c.Close()
				}
				if !errors.Is(err, test.want) {
					t.Fatalf("got %v, want %v", err, test.want)
				}
			}
			if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, test.content) {
				t.Errorf("the file was changed, %v", err)
			}
		})
	}
	if _, err := Open(t.TempDir(), Options{}); err == nil {
		t.Error("a folder was opened")
	}
	if _, err := Open(filepath.Join(t.TempDir(), "no", "such", "folder"), Options{}); err == nil {
		t.Error("a catalog was made in no folder")
	}
}

// What an interrupted creation leaves behind is no obstacle.
func TestCreationAfterACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	if err := os.WriteFile(path+".new", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := open(t, path, Options{})
	if !c.Created() {
		t.Error("it is not new")
	}
	if _, err := os.Stat(path + ".new"); !os.IsNotExist(err) {
		t.Errorf("the temporary file is still there: %v", err)
	}
	update(t, c, func(tx *Tx) error { return tx.SetSettings("t", Settings{}) })
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	// Rows, but no identity yet: it was never named.
	if c = open(t, path, Options{}); !c.Created() {
		t.Error("a catalog without identity does not call itself new")
	}
}
