package storelog

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/firndb/firn/blockfile/store"
)

// StoreInfo is what a store says of itself, once and for all.
type StoreInfo struct {
	Format  int
	ID      string   // random, 32 hex digits
	Salt    [16]byte // random; part of every block family
	Created string   // RFC 3339
}

const maxInfoBytes = 64 << 10

type infoLine struct {
	Format  int    `json:"format"`
	ID      string `json:"id"`
	Salt    string `json:"salt"`
	Created string `json:"created"`
}

// Info reads what the store says of itself; store.ErrNotFound when nothing is
// there yet.
func Info(ctx context.Context, st store.Store) (StoreInfo, error) {
	b, err := st.Get(ctx, storeKey, maxInfoBytes)
	if err != nil {
		return StoreInfo{}, fmt.Errorf("storelog: %w", err)
	}
	var line infoLine
	if err := decodeObject(storeKey, b, &line); err != nil {
		return StoreInfo{}, err
	}
	info := StoreInfo{Format: line.Format, ID: line.ID, Created: line.Created}
	if err := unhex(info.Salt[:], []byte(line.Salt)); err != nil {
		return StoreInfo{}, corrupt(storeKey, fmt.Errorf("salt: %w", err))
	}
	var id [16]byte
	if err := unhex(id[:], []byte(line.ID)); err != nil {
		return StoreInfo{}, corrupt(storeKey, fmt.Errorf("id: %w", err))
	}
	if _, err := time.Parse(time.RFC3339Nano, line.Created); err != nil {
		return StoreInfo{}, corrupt(storeKey, fmt.Errorf("created: %w", err))
	}
	return info, nil
}

// Init reads what the store says of itself, and names a store that says nothing
// yet. When two do so at once, both return the one that was first. After an
// error it can be called again.
func Init(ctx context.Context, st store.Store) (StoreInfo, error) {
	info, err := Info(ctx, st)
	if !errors.Is(err, store.ErrNotFound) {
		return info, err
	}
	var id, salt [16]byte
	rand.Read(id[:])
	rand.Read(salt[:])
	b, err := appendLine(nil, infoLine{Format: formatVersion, ID: hex.EncodeToString(id[:]), Salt: hex.EncodeToString(salt[:]),
		Created: time.Now().UTC().Format(time.RFC3339)})
	if err != nil {
		return StoreInfo{}, fmt.Errorf("storelog: %w", err)
	}
	put := st.PutIfAbsent(ctx, storeKey, appendTrailer(b, crc32.Checksum(b, castagnoli)))
	// Whoever's it is, what can be read is what was put first; a put without an
	// answer is settled by the same look.
	info, err = Info(ctx, st)
	if err != nil && put != nil && !errors.Is(put, store.ErrExists) {
		return StoreInfo{}, fmt.Errorf("storelog: %w", put)
	}
	return info, err
}
