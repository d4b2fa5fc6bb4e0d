package bench

import (
	"fmt"
	"strconv"
)

const (
	batchRecords = 1000
	datasets     = 50
	table        = "access"
	firstTime    = 1_700_000_000_000 // ms; the records of the default run lie within two UTC days
	stepMillis   = 7
)

// appendRecord appends the n-th record, without a line end.
func appendRecord(dst []byte, n int) []byte {
	r := mix(uint64(n))
	pick := func(count uint64) uint64 {
		v := r % count
		r = mix(r)
		return v
	}
	dst = append(dst, `{"timestamp":`...)
	dst = strconv.AppendInt(dst, firstTime+int64(n)*stepMillis, 10)
	dst = append(dst, `,"host":"10.47.`...)
	dst = strconv.AppendUint(dst, pick(256), 10)
	dst = append(dst, '.')
	dst = strconv.AppendUint(dst, pick(256), 10)
	dst = append(dst, `","method":"`...)
	dst = append(dst, methods[pick(uint64(len(methods)))]...)
	dst = append(dst, `","path":"/api/v1/items/`...)
	dst = strconv.AppendUint(dst, pick(5000), 10)
	dst = append(dst, `","status":`...)
	dst = strconv.AppendUint(dst, 200+pick(5), 10)
	dst = append(dst, `,"bytes":`...)
	dst = strconv.AppendUint(dst, pick(100_000), 10)
	dst = append(dst, `,"duration":`...)
	dst = strconv.AppendFloat(dst, float64(pick(40_000))/1000, 'f', -1, 64)
	dst = append(dst, `,"trace":"`...)
	const digits = "0123456789abcdef"
	for t, i := r, 0; i < 16; i++ {
		dst = append(dst, digits[t>>(4*i)&15])
	}
	dst = append(dst, `","cached":`...)
	dst = strconv.AppendBool(dst, pick(7) == 0)
	dst = append(dst, `,"agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537 load/1.`...)
	dst = strconv.AppendUint(dst, pick(4), 10)
	return append(dst, `"}`...)
}

var methods = []string{"GET", "GET", "GET", "HEAD", "POST", "DELETE"}

// mix is the finisher of SplitMix64: equal numbers give equal records in every run.
func mix(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// appendBatch appends the lines of batch n, of the given number of records, and gives its dataset.
func appendBatch(dst []byte, n, records int) ([]byte, string) {
	for i := range records {
		dst = append(appendRecord(dst, n*batchRecords+i), '\n')
	}
	return dst, fmt.Sprintf("device-%02d", n%datasets)
}
