package http

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/firndb/firn/engine"
	"github.com/firndb/firn/tests/harness"
)

// TestIdempotencyKeys repeats a batch under its key: at once from several clients, after a restart,
// after an archive. It is there once, every answer says how many records were accepted.
func TestIdempotencyKeys(t *testing.T) {
	d := harness.Start(t, t.TempDir(), manual(engine.Options{}))
	body := []byte("{\"timestamp\":1}\n{\"timestamp\":2}\n")
	post := func(key string, body []byte) (int, bool, int) {
		status, _, answer := d.Do(t, "POST", "/v1/ingest?dataset_id=u&table=t", http.Header{
			"Content-Type": {"application/x-ndjson"}, "Idempotency-Key": {key},
		}, body)
		var a struct {
			Accepted  int
			Duplicate bool
		}
		if status == 200 {
			if err := json.Unmarshal(answer, &a); err != nil {
				t.Errorf("%s: %v", answer, err)
			}
		}
		return status, a.Duplicate, a.Accepted
	}
	const clients = 16
	for round := range 20 {
		key := fmt.Sprintf("round-%d", round)
		var wg sync.WaitGroup
		var mu sync.Mutex
		first := 0
		for range clients {
			wg.Go(func() {
				status, duplicate, accepted := post(key, body)
				if status != 200 || accepted != 2 {
					t.Errorf("%d, %d accepted", status, accepted)
				}
				mu.Lock()
				defer mu.Unlock()
				if !duplicate {
					first++
				}
			})
		}
		wg.Wait()
		if first != 1 {
			t.Errorf("%d of %d calls say they were the first", first, clients)
		}
	}
	check := func(when string) {
		t.Helper()
		if status, duplicate, accepted := post("round-7", body); status != 200 || !duplicate || accepted != 2 {
			t.Errorf("%s: %d, duplicate %v, %d accepted", when, status, duplicate, accepted)
		}
		if status, _, _ := post("round-7", []byte("{\"timestamp\":3}\n")); status != http.StatusConflict {
			t.Errorf("%s: another body is %d, want 409", when, status)
		}
		if n := len(harness.SplitLines(d.Get(t, harness.ReadPath("t", "u", "format", "ndjson")))); n != 40 {
			t.Errorf("%s: %d records, want 40", when, n)
		}
	}
	check("in memory")
	d.Restart(t)
	check("after a restart")
	d.Post(t, "/v1/archive", "", nil, 200)
	check("after an archive")
	d.Restart(t)
	check("after an archive and a restart")
}
