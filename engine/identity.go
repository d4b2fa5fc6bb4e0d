package engine

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// identityName is the file that says whose folder this is. It lies outside the catalog, so that a
// folder that lost its catalog still knows whether it is the writer of its store.
const identityName = "firn.json"

// folderFormat is the version of the data folder's layout.
const folderFormat = 1

// identity names a writer of a store.
type identity struct {
	Format   int    `json:"format"`
	WriterID string `json:"writer_id"`
	Epoch    uint32 `json:"epoch"`
	StoreID  string `json:"store_id"`
	Salt     []byte `json:"store_salt"`
}

// readIdentity returns the identity of a folder; found is false for a fresh one.
func readIdentity(dir string) (id identity, found bool, err error) {
	b, err := os.ReadFile(filepath.Join(dir, identityName))
	if errors.Is(err, os.ErrNotExist) {
		return identity{}, false, nil
	}
	if err != nil {
		return identity{}, false, err
	}
	if err := json.Unmarshal(b, &id); err != nil {
		return identity{}, false, &CorruptError{File: identityName, Offset: -1, Reason: err.Error()}
	}
	if id.Format != folderFormat {
		return identity{}, false, fmt.Errorf("%s has format %d, this program knows %d", identityName, id.Format, folderFormat)
	}
	if id.WriterID == "" || len(id.Salt) != 16 {
		return identity{}, false, &CorruptError{File: identityName, Offset: -1, Reason: "incomplete"}
	}
	return id, true, nil
}

func (id identity) write(dir string) error {
	b, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	return writeDurably(filepath.Join(dir, identityName), append(b, '\n'))
}

// newWriterID makes a name that no other writer has.
func newWriterID() string { return rand.Text() }
