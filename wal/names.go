package wal

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// The names in a log's folder. Ids are padded so that the order of the names is that of the ids.
//
//	0000000007.wal   segment 7, in use or made ready to be the next one
//	0000000003.free  a file that was segment 3, kept to become a later segment
//	segment.tmp      a segment that is being made; the next one takes its place
//
// Anything else in the folder is left alone.
const (
	segmentSuffix = ".wal"
	freeSuffix    = ".free"
	tempName      = "segment.tmp"
	idDigits      = 10
)

func segmentName(id uint32) string { return fmt.Sprintf("%0*d%s", idDigits, id, segmentSuffix) }
func freeName(id uint32) string    { return fmt.Sprintf("%0*d%s", idDigits, id, freeSuffix) }

func (l *Log) path(name string) string { return filepath.Join(l.dir, name) }

// parseName returns the id in a name with the given suffix.
func parseName(name, suffix string) (uint32, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok || len(digits) != idDigits {
		return 0, false
	}
	id, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || id == 0 {
		return 0, false
	}
	return uint32(id), true
}
