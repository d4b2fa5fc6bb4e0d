package bench

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

// baseline keeps the records the way a program without firn would: one key a record, dataset, time
// and number, in a bbolt file, each batch a transaction that is synced. There is no socket, no check
// of what a record is, and nothing becomes smaller or portable. The processor time is this process's,
// less what making the records takes.
func baseline(b *testing.B, records int) {
	path := filepath.Join(b.TempDir(), "baseline.bolt")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	var body, key []byte
	start, staged := usageOf(os.Getpid())
	for n := range records {
		body = appendRecord(body[:0], n)
	}
	before, _ := usageOf(os.Getpid())
	var bytes int64
	for from := 0; from < records; from += batchRecords {
		count := min(batchRecords, records-from)
		batch := from / batchRecords
		err := db.Update(func(tx *bbolt.Tx) error {
			bucket, err := tx.CreateBucketIfNotExists([]byte(table))
			if err != nil {
				return err
			}
			body = body[:0]
			for i := range count {
				begin := len(body)
				body = appendRecord(body, from+i)
				bytes += int64(len(body) - begin)
				key = append(key[:0], byte(batch%datasets))
				key = binary.BigEndian.AppendUint64(key, uint64(firstTime+(from+i)*stepMillis))
				key = binary.BigEndian.AppendUint64(key, uint64(from+i))
				// bbolt keeps a copy of the key but not of the value until the commit.
				if err := bucket.Put(key, body[begin:len(body):len(body)]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	after, _ := usageOf(os.Getpid())
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(info.Size())/float64(bytes), "file-B/B")
	if staged {
		u, making := after.since(before), before.since(start)
		b.ReportMetric((u.cpu()-making.cpu()).Seconds()*1e6/float64(records), "cpu-s/Mrec")
		b.ReportMetric(float64(u.written)/float64(bytes), "written-B/B")
	}
}
